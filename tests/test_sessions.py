"""Sessions that the caller passes: their middlewares and tracers, their loop, and their errors."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from apimall_async import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    AsyncClient,
    ConfigurationError,
    PermissionDeniedError,
    RetryPolicy,
)
from apimall_async.testing import Fault, LocalGateway


TWICE = RetryPolicy(max_tries=2, wait_initial=0.0)
Middleware = Callable[[aiohttp.ClientRequest, aiohttp.ClientHandlerType], Awaitable[aiohttp.ClientResponse]]


# Who reads the body first.


async def read_by_middleware(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Log each response, as many do."""
    response = await handler(request)
    await response.text(errors="replace")
    return response


def read_by_tracer() -> aiohttp.TraceConfig:
    """Do it in a tracer."""

    async def read(_: object, __: object, end: aiohttp.TraceRequestEndParams) -> None:
        await end.response.read()

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(read)
    return trace


READERS: dict[str, Callable[[], dict[str, Any]]] = {
    "a middleware": lambda: {"middlewares": (read_by_middleware,)},
    "a tracer": lambda: {"trace_configs": [read_by_tracer()]},
}


@pytest.mark.parametrize("reader", READERS)
async def test_a_body_that_is_read_already(gateway: LocalGateway, reader: str) -> None:
    """Pages and errors are what they are without the reader; the bound of a page holds, too."""
    huge = Fault(body=b'{"a": "%s"}' % (b" " * 3 * 2**20))
    long_error = Fault(status=403, body=b'{"error": {"code": "no"}, "a": "%s"}' % (b" " * 2**17))
    async with aiohttp.ClientSession(**READERS[reader]()) as session:
        client = gateway.client(session=session, retry=None)
        assert (await client.list_history()).items == tuple(gateway.tasks[:20])
        gateway.fault(Fault.error(403), huge, long_error, Fault.empty(403), Fault.truncate())
        with pytest.raises(PermissionDeniedError) as caught:
            await client.list_history()
        assert caught.value.code == "forbidden"
        assert caught.value.request_id
        with pytest.raises(APIResponseValidationError, match="a page of more than"):
            await client.list_history()
        for _ in range(2):
            with pytest.raises(PermissionDeniedError) as caught:
                await client.list_history()
            assert caught.value.code is None
        with pytest.raises(APIConnectionError) as broken:
            await client.list_history()
        assert broken.value.retryable


# Whose error it is.


class OwnError(Exception):
    """An error of the caller's program."""


def fail(error: Exception) -> None:
    """Raise it, in a function that is seen in the traceback."""
    raise error


def middleware_that_raises(error: Exception) -> dict[str, Any]:
    """Have a middleware raise it."""

    async def break_down(*_: object) -> aiohttp.ClientResponse:
        fail(error)
        raise AssertionError

    async def outer(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        return await handler(request)

    return {"middlewares": (outer, break_down)}


def tracer_that_raises(event: str) -> Callable[[Exception], dict[str, Any]]:
    """Have a tracer raise it at an event."""

    def make(error: Exception) -> dict[str, Any]:
        async def break_down(*_: object) -> None:
            fail(error)

        trace = aiohttp.TraceConfig()
        getattr(trace, event).append(break_down)
        return {"trace_configs": [trace]}

    return make


@pytest.mark.parametrize("kind", [OwnError, ValueError, PermissionError, OSError])
@pytest.mark.parametrize(
    "make",
    [
        middleware_that_raises,
        *map(tracer_that_raises, ["on_request_start", "on_connection_create_start", "on_request_end"]),
    ],
    ids=["middleware", "start", "connect", "end"],
)
@pytest.mark.parametrize("read_ahead", [0, 3])
async def test_an_error_of_the_callers_code_stays_what_it_is(
    gateway: LocalGateway, make: Callable[[Exception], dict[str, Any]], kind: type[Exception], read_ahead: int
) -> None:
    """It is raised at once, with the lines that raised it, and without a frame of aiohttp's."""
    error = kind(13, "mine")
    async with aiohttp.ClientSession(**make(error)) as session:
        client = gateway.client(session=session)
        async with asyncio.timeout(5):
            with pytest.raises(kind) as caught:
                await anext(client.iter_history(read_ahead=read_ahead))
    assert caught.value is error
    frames = traceback.extract_tb(error.__traceback__)
    assert [frame.name for frame in frames][-2:] == ["break_down", "fail"]
    assert not [frame.filename for frame in frames if "aiohttp" in frame.filename.split("/")]
    assert len(gateway.requests) <= 1


async def test_an_error_that_the_callers_code_raises_from_another(gateway: LocalGateway) -> None:
    """It keeps its cause, which keeps the frames of the caller's."""

    async def translate(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        try:
            fail(KeyError("settings"))
        except KeyError as error:
            raise OwnError from error
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(translate,)) as session:
        with pytest.raises(OwnError) as caught:
            await gateway.client(session=session).list_history()
    assert caught.value.__cause__
    assert [frame.name for frame in traceback.extract_tb(caught.value.__cause__.__traceback__)] == [
        "translate",
        "fail",
    ]


async def test_an_error_that_the_caller_was_handling_is_left_alone(gateway: LocalGateway) -> None:
    """Its traceback is the caller's business, also where aiohttp raised it."""
    async with (
        aiohttp.ClientSession() as other,
        aiohttp.ClientSession(**middleware_that_raises(OwnError())) as session,
    ):
        before: list[str] = []
        with pytest.raises(OwnError) as caught:
            try:
                await other.get("http://127.0.0.1:1")
            except aiohttp.ClientError as error:
                before = traceback.format_tb(error.__traceback__)
                await gateway.client(session=session).list_history()
    handled = caught.value.__context__
    assert handled
    assert traceback.format_tb(handled.__traceback__) == before


@pytest.mark.parametrize("kind", [aiohttp.ClientError, TimeoutError])
async def test_what_a_middleware_raises_of_the_network_is_tried_again(
    gateway: LocalGateway, kind: type[Exception]
) -> None:
    """It has its own reasons to end a request, such as a timeout: that is a fault like those of aiohttp."""
    seen: list[aiohttp.ClientRequest] = []

    async def end(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(request)
        if len(seen) == 1:
            raise kind
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(end,)) as session:
        client = gateway.client(session=session, retry=TWICE)
        assert len(await client.list_history()) == 20
        seen.clear()
        with pytest.raises(APITimeoutError if kind is TimeoutError else APIConnectionError):
            await gateway.client(session=session, retry=None).list_history()


async def test_a_fault_that_passes_through_a_middleware_is_one(gateway: LocalGateway) -> None:
    """What the network does below a middleware is tried again."""

    async def pass_on(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(pass_on,)) as session:
        client = gateway.client(session=session, retry=TWICE)
        gateway.fault(Fault.reset())
        assert len(await client.list_history()) == 20


# Whose session it is.


class CachedResponse(aiohttp.ClientResponse):
    """What a session that caches gives."""

    from_cache = True


async def test_a_page_from_a_cache_is_refused(gateway: LocalGateway) -> None:
    """Caches know nothing of accounts: the next one would read this one's history."""
    async with aiohttp.ClientSession(response_class=CachedResponse) as session:
        with pytest.raises(ConfigurationError, match="responded from a cache"):
            await gateway.client(session=session).list_history()


def test_a_session_of_another_loop_is_refused() -> None:
    """At once, and in words: aiohttp would hang, or raise anything."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    with LocalGateway(120).in_thread() as gateway, asyncio.Runner() as runner:
        session = runner.run(make())
        client = gateway.client(session=session)
        assert len(runner.run(client.list_history())) == 20
        with pytest.raises(ConfigurationError, match="belongs to another event loop"):
            asyncio.run(client.list_history())
        runner.run(session.close())


@pytest.mark.parametrize(
    ("login", "encoded"), [("me:pass%20word%C3%A9", "bWU6cGFzcyB3b3Jkw6k="), ("me", "bWU6")]
)
async def test_a_proxy_gets_user_and_password(gateway: LocalGateway, login: str, encoded: str) -> None:
    """By a header, whether it reads the request or makes a tunnel; and there it gets no key."""
    seen: list[bytes] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        proxy = f"http://{login}@127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for base_url in (gateway.url, "https://gateway.test"):
            async with AsyncClient("sk-x", base_url=base_url, proxy=proxy, retry=None) as client:
                with pytest.raises(APIError, match="407"):
                    await client.list_history()
    read, tunnel = seen
    assert f"\r\nProxy-Authorization: Basic {encoded}\r\n".encode() in read
    assert f"\r\nProxy-Authorization: Basic {encoded}\r\n".encode() in tunnel
    assert b"\r\nAuthorization: Bearer sk-x\r\n" in read
    assert b"sk-x" not in tunnel
