"""A program that fails in many ways, with the tools on that report errors: it prints all that they report.

It gets the key and a proxy's password as users give them, by the environment, so that whatever shows them
has found them in the client. ``canary`` is a local variable that the tools are to show.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import sentry_sdk
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.traceback import Traceback
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.transport import Transport

from apimall_async import AsyncClient
from apimall_async.testing import Fault, LocalGateway


SOON = 0.1  # seconds
Scene = Callable[[LocalGateway, AsyncClient], Awaitable[object]]


# What goes wrong.


async def timeout(gateway: LocalGateway, client: AsyncClient) -> None:
    """End a call by a timeout of one's own."""
    canary = "canary-timeout"
    gateway.fault(Fault.stall())
    async with asyncio.timeout(SOON):
        await client.list_history()
    del canary


async def timeout_in_body(gateway: LocalGateway, client: AsyncClient) -> None:
    """The same, while the body comes in; a header of the response repeats the key."""
    canary = "canary-timeout_in_body"
    gateway.fault(attrs.evolve(Fault.stall(in_body=True), headers={"X-Echo": gateway.api_key}))
    async with asyncio.timeout(SOON):
        await client.list_history()
    del canary


async def wait_for(gateway: LocalGateway, client: AsyncClient) -> None:
    """The same with wait_for, in an iteration that prefetches."""
    canary = "canary-wait_for"
    gateway.fault(Fault.stall())
    await asyncio.wait_for(anext(client.iter_history(read_ahead=2)), SOON)
    del canary


async def cancel(gateway: LocalGateway, client: AsyncClient) -> None:
    """Cancel the task of a call."""
    canary = "canary-cancel"
    gateway.fault(Fault.stall())
    task = asyncio.create_task(client.list_history())
    await asyncio.sleep(SOON)
    task.cancel(canary)
    await task


async def task_group(gateway: LocalGateway, client: AsyncClient) -> None:
    """Have a call cancelled because another task of the group fails."""
    canary = "canary-task_group"
    gateway.fault(Fault.stall())

    async def fail() -> None:
        await asyncio.sleep(SOON)
        raise LookupError(canary)

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        await client.list_history()


async def interrupt(gateway: LocalGateway, client: AsyncClient) -> None:
    """Press Ctrl-C."""
    canary = "canary-interrupt"
    gateway.fault(Fault.stall())
    asyncio.get_running_loop().call_later(SOON, signal.raise_signal, signal.SIGINT)
    await client.list_history()
    del canary


async def refused(gateway: LocalGateway, client: AsyncClient) -> None:
    """Get an error that repeats the key in the body and in a header."""
    canary = "canary-refused"
    echo = gateway.api_key.replace("/", "\\/")
    gateway.fault(Fault(status=401, body=b'{"error":{"message":"%s"}}' % echo.encode(), retry_after=echo))
    del echo
    await client.list_history()
    del canary


async def reset(gateway: LocalGateway, client: AsyncClient) -> None:
    """Get no response."""
    canary = "canary-reset"
    gateway.fault(Fault.reset())
    await client.list_history()
    del canary


async def middleware(gateway: LocalGateway, client: AsyncClient) -> None:
    """Have a middleware fail, while it handles an error of aiohttp's."""

    async def translate(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        canary = "canary-middleware"
        try:
            return await handler(request)
        except aiohttp.ClientError as error:
            raise LookupError(canary) from error

    gateway.fault(Fault.reset())
    async with aiohttp.ClientSession(middlewares=(translate,)) as session:
        await AsyncClient(base_url=gateway.url, session=session).list_history()


async def tracer(gateway: LocalGateway, client: AsyncClient) -> None:
    """Have a tracer fail that is given the request's headers."""

    async def start(session: object, context: object, params: aiohttp.TraceRequestStartParams) -> None:
        raise LookupError("canary-tracer")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(start)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        await AsyncClient(base_url=gateway.url, session=session).list_history()


@asynccontextmanager
async def silent_proxy() -> AsyncIterator[str]:
    """Run a proxy that does not respond; give its URL, with the password."""

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(be_silent, "127.0.0.1", 0) as server:
        yield f"http://me:{os.environ['PROXY_PASSWORD']}@127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def proxy(gateway: LocalGateway, client: AsyncClient) -> None:
    """Wait for a proxy in vain."""
    canary = "canary-proxy"
    async with silent_proxy() as url:
        os.environ["HTTPS_PROXY"] = url
        del url
        async with AsyncClient(base_url="https://gateway.test") as behind_it, asyncio.timeout(SOON):
            await behind_it.list_history()
    del canary


async def proxy_of_the_session(gateway: LocalGateway, client: AsyncClient) -> None:
    """The same, with a session of one's own, which has the proxy from the environment."""
    canary = "canary-proxy_of_the_session"
    async with silent_proxy() as url, aiohttp.ClientSession(trust_env=True) as session:
        os.environ["HTTPS_PROXY"] = url
        del url
        async with asyncio.timeout(SOON):
            await AsyncClient(base_url="https://gateway.test", session=session).list_history()
    del canary


async def not_made(gateway: LocalGateway, client: AsyncClient) -> None:
    """Configure a client wrongly."""
    canary = "canary-not_made"
    os.environ["HTTPS_PROXY"] = f"socks5h://me:{os.environ['PROXY_PASSWORD']}@127.0.0.1:1080"
    AsyncClient(base_url="https://gateway.test")
    del canary


async def not_made_of_arguments(gateway: LocalGateway, client: AsyncClient) -> None:
    """The same, with arguments."""
    canary = "canary-not_made_of_arguments"
    AsyncClient(os.environ["APIMALL_API_KEY"], proxy=f"http://me:{os.environ['PROXY_PASSWORD']}@[::1")
    del canary


async def key_is_wrong(gateway: LocalGateway, client: AsyncClient) -> None:
    """Have a line break behind the key, as one that was read from a file has."""
    canary = "canary-key_is_wrong"
    os.environ["APIMALL_API_KEY"] += "\n"
    AsyncClient()
    del canary


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in [
        timeout,
        timeout_in_body,
        wait_for,
        cancel,
        task_group,
        interrupt,
        refused,
        reset,
        middleware,
        tracer,
        proxy,
        proxy_of_the_session,
        not_made,
        not_made_of_arguments,
        key_is_wrong,
    ]
}


# What is reported.


class Envelopes(Transport):
    """Keeps what would be sent to Sentry."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.sent: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        """Take it."""
        self.sent += [item.get_bytes().decode(errors="replace") for item in envelope.items]


async def play(scene: Scene) -> None:
    """Play a scene."""
    async with (
        LocalGateway(300, api_key=os.environ["APIMALL_API_KEY"]) as gateway,
        gateway.client(retry=None) as client,
    ):
        await scene(gateway, client)


def shown_by_rich(error: BaseException) -> str:
    """Take the variables that rich would show, without its colours, which take long."""
    trace = Traceback.extract(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=1_000
    )
    stacks = [
        *trace.stacks,
        *(stack for one in trace.stacks for group in one.exceptions for stack in group.stacks),
    ]
    variables = [str(frame.locals) for stack in stacks for frame in stack.frames]
    return "\n".join([stack.exc_value for stack in stacks] + variables)


def main() -> None:
    """Play each scene, and print the reports as JSON."""
    envelopes = Envelopes()
    sentry_sdk.init(
        "https://public@sentry.test/1",
        transport=envelopes,
        traces_sample_rate=1.0,
        integrations=[AioHttpIntegration()],
        auto_enabling_integrations=False,  # it would import each framework that is there
    )
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    AioHttpClientInstrumentor().instrument(tracer_provider=provider)
    reports: dict[str, dict[str, str]] = {}
    environment = dict(os.environ)
    for name, scene in SCENES.items():
        try:
            asyncio.run(play(scene))
        except BaseException as error:  # noqa: BLE001 - a cancellation, and Ctrl-C
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            sentry_sdk.capture_exception(error)
            report = traceback.TracebackException.from_exception(error, capture_locals=True)
            reports[name] = {
                "type": type(error).__name__,
                "rich": shown_by_rich(error),
                "traceback": "".join(report.format()),
                "sentry": "".join(envelopes.sent),
                "opentelemetry": "".join(span.to_json() for span in spans.get_finished_spans()),
            }
        envelopes.sent.clear()
        spans.clear()
        os.environ.update(environment)
        os.environ.pop("HTTPS_PROXY", None)
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main()
