"""What an image's host learns, and how many downloads run at a time."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from image_host import KEY, PNG, Host, files, make_task, response, sends

from apimall_async import AsyncClient


async def test_the_host_learns_nothing(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """No Authorization, no cookie, no key; not even after the host has set a cookie."""
    host.script += [sends(response(302, b"", {"Location": "/2", "Set-Cookie": "a=b"}), close=False)]
    await client.download(make_task(host.url + "/1"), tmp_path)
    assert [request[""] for request in host.requests] == ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]
    for request in host.requests:
        assert request.keys() == {"", "host", "accept", "accept-encoding", "user-agent"}
        assert KEY not in str(request)


@pytest.fixture
def tracing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trace each session, and add headers to each request, as tools do that know aiohttp; list the URLs."""
    added = {"traceparent": "00-1-2-01", "Baggage": "user=me", "baggage": "a=b", "sentry-trace": "1-2-1"}
    added |= {"X-Datadog-Trace-Id": "1", "Cookie": "a=b", "Authorization": f"Bearer {KEY}"}
    urls: list[str] = []
    init, send = aiohttp.ClientSession.__init__, aiohttp.ClientSession._request

    async def inject(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        urls.append(str(params.url))
        params.headers.update(added)

    async def also_inject(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.extend(added)
        return await handler(request)

    def traced_init(session: aiohttp.ClientSession, **options: Any) -> None:
        tracer = aiohttp.TraceConfig()
        tracer.on_request_start.append(inject)
        init(session, **options, trace_configs=[tracer], middlewares=[also_inject])

    async def traced_request(
        session: aiohttp.ClientSession, method: str, url: Any, **options: Any
    ) -> aiohttp.ClientResponse:
        options["headers"] = {**options["headers"], **added}
        return await send(session, method, url, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced_init)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", traced_request)
    return urls


async def test_no_tool_adds_a_header(
    client: AsyncClient, host: Host, tmp_path: Path, tracing: list[str]
) -> None:
    """The host is none of the application's services; the tool itself sees the requests."""
    (tmp_path / "img_1.part").write_bytes(PNG[:100])
    (tmp_path / "img_1.etag").write_text('"v1"')
    await client.download(make_task(f"{host.url}/a?b=%2F"), tmp_path)
    usual = {"", "host", "accept", "accept-encoding", "user-agent"}
    assert host.requests[0].keys() == usual | {"range", "if-range"}
    assert tracing == [f"{host.url}/a?b=%2F"]
    assert files(tmp_path) == {"img_1.png": PNG}


async def test_no_proxy_is_used(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would resolve the host's name by itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await client.download(make_task(host.url), tmp_path)


async def test_many_share_connections_and_wait_for_a_slot(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """At most 16 run at a time, however many are started at once."""
    tasks = [make_task(host.url, f"img_{number}") for number in range(60)]
    paths = await asyncio.gather(*[client.download(task, tmp_path) for task in tasks])
    assert len(set(paths)) == 60
    assert host.most_open <= 16
    assert host.connections < 60
