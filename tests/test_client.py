"""The client over real sockets: what it sends, sessions, and what it leaves behind."""

import asyncio
import copy
import gc
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import apimall_async
from apimall_async import APIConnectionError, APIError, AsyncClient, ClientClosedError
from apimall_async.testing import Fault, LocalGateway


async def read(client: AsyncClient, **options: Any) -> list[str]:
    """Return the ids of the whole history."""
    return [task.task_id async for task in client.iter_history(**options)]


async def test_one_page(gateway: LocalGateway) -> None:
    """A page is what the gateway has, and the request says which client sent it."""
    async with gateway.client() as client:
        page = await client.list_history(2, 50)
    assert page.items == tuple(gateway.tasks[50:100])
    assert (page.page, page.limit) == (2, 50)
    (request,) = gateway.requests
    assert (request.page, request.limit) == (2, 50)
    assert request.headers["Authorization"] == f"Bearer {gateway.api_key}"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == (
        f"apimall-async/{apimall_async.__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"
        f" aiohttp/{'.'.join(aiohttp.__version__.split('.')[:2])}"
    )


async def test_the_contracts_defaults(gateway: LocalGateway) -> None:
    """Page 1 of 20 tasks."""
    async with gateway.client() as client:
        page = await client.list_history()
    assert (page.page, page.limit, len(page.items)) == (1, 20, 20)


async def test_bad_arguments_send_nothing(gateway: LocalGateway) -> None:
    """They are a ValueError at the call, not at the first step of the iteration."""
    async with gateway.client() as client:
        with pytest.raises(ValueError, match="limit must be an integer, 1 to 50, not 51"):
            await client.list_history(limit=51)
        with pytest.raises(ValueError, match="page must be an integer, 1 or more, not 0"):
            await client.list_history(page=0)
        with pytest.raises(ValueError, match="start_page"):
            client.iter_history(start_page=0)
        with pytest.raises(ValueError, match="page_size must be an integer, 1 to 50, not 51"):
            client.iter_history(page_size=51)
        with pytest.raises(ValueError, match="read_ahead"):
            client.iter_history_pages(read_ahead=-1)
    assert not gateway.requests


async def test_no_cookie_is_kept(gateway: LocalGateway) -> None:
    """What the gateway sets is not sent back."""
    gateway.fault(attrs.evolve(Fault(), headers={"Set-Cookie": "id=1; Path=/"}))
    async with gateway.client() as client:
        await client.list_history()
        await client.list_history()
    assert not any("Cookie" in request.headers for request in gateway.requests)


async def test_no_redirect_is_followed(gateway: LocalGateway) -> None:
    """A redirect could carry the key elsewhere: it is an error."""
    gateway.fault(Fault(status=302, headers={"Location": f"{gateway.url}/elsewhere"}))
    async with gateway.client() as client:
        with pytest.raises(APIError, match="status=302"):
            await client.list_history()
    assert len(gateway.requests) == 1


async def test_netrc_is_not_consulted(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A netrc entry for the host does not replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with gateway.client() as client:
        await client.list_history()
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {gateway.api_key}"


async def test_a_proxy(gateway: LocalGateway) -> None:
    """``proxy=`` is where the request goes, by its full URL."""
    seen: list[str] = []

    async def forward(request: web.BaseRequest) -> web.Response:
        seen.append(str(request.url))
        return web.Response(status=407)

    async with TestServer(web.Application()) as server:
        server.runner.server.request_handler = forward  # type: ignore[union-attr]
        async with gateway.client(proxy=str(server.make_url("/")), retry=None) as client:
            with pytest.raises(APIError, match="407"):
                await client.list_history()
    assert seen == [f"{gateway.url}/api/v1/images/history?page=1&limit=20"]


async def test_closing(gateway: LocalGateway) -> None:
    """Closed twice is closed; used after that is ClientClosedError, by every way in."""
    client = gateway.client()
    await client.list_history()
    assert not client.closed
    await client.close()
    await client.close()
    assert client.closed
    assert repr(client) == f"<AsyncClient {gateway.url} closed>"
    with pytest.raises(ClientClosedError):
        await client.list_history()
    with pytest.raises(ClientClosedError):
        await read(client)
    with pytest.raises(ClientClosedError):
        await read(client, read_ahead=4)


async def test_closing_from_two_sides(gateway: LocalGateway) -> None:
    """Closing while it is being closed is no error either."""
    client = gateway.client()
    await client.list_history()
    await asyncio.gather(client.close(), client.close())


async def test_closing_while_requests_wait_for_a_connection(gateway: LocalGateway) -> None:
    """With the caller's session, too, none is sent after that, and all end."""
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        gateway.fault(Fault.slow(0.2))
        client = gateway.client(session=session)
        requests = [asyncio.create_task(client.list_history()) for _ in range(5)]
        while not gateway.requests:
            await asyncio.sleep(0.01)
        await client.close()
        results = await asyncio.gather(*requests, return_exceptions=True)
    assert len(gateway.requests) == 1
    assert [type(result) for result in results] == [ClientClosedError] * 5


async def test_closing_while_a_request_is_under_way(gateway: LocalGateway) -> None:
    """It fails with ClientClosedError; nothing hangs, nothing is tried again."""
    gateway.fault(Fault.stall())
    client = gateway.client()
    request = asyncio.create_task(client.list_history())
    while not gateway.requests:
        await asyncio.sleep(0.01)
    await client.close()
    with pytest.raises(ClientClosedError):
        await request
    assert len(gateway.requests) == 1


async def test_the_callers_session(gateway: LocalGateway) -> None:
    """It is used with its own middlewares, never closed, and its settings do not get in the way."""
    passed: list[str] = []

    async def note(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        passed.append(request.method)
        return await handler(request)

    async with aiohttp.ClientSession(
        middlewares=(note,),
        raise_for_status=True,
        auto_decompress=False,
        headers={"Authorization": "Bearer other", "X-Own": "1"},
        timeout=aiohttp.ClientTimeout(total=0.000001),
    ) as session:
        async with gateway.client(session=session) as client:
            await client.list_history()
            gateway.fault(Fault.error(404))
            with pytest.raises(apimall_async.NotFoundError):
                await client.list_history()
        assert not session.closed
        with pytest.raises(ClientClosedError):
            await client.list_history()
    assert passed == ["GET", "GET"]
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {gateway.api_key}"
    assert gateway.requests[0].headers["X-Own"] == "1"


async def test_the_callers_session_that_was_closed(gateway: LocalGateway) -> None:
    """ClientClosedError, as if the client were."""
    session = aiohttp.ClientSession()
    client = gateway.client(session=session)
    await session.close()
    with pytest.raises(ClientClosedError):
        await client.list_history()


async def test_the_callers_session_that_cannot_be_used(gateway: LocalGateway) -> None:
    """Whatever aiohttp raises leaves as an APIConnectionError that is not tried again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("me", "secret"))
    async with session:
        client = gateway.client(session=session)
        with pytest.raises(APIConnectionError, match="ValueError") as caught:
            await client.list_history()
    assert not caught.value.retryable
    assert not gateway.requests


def test_one_client_for_two_loops() -> None:
    """A client made outside a loop serves one loop after the other, and leaves nothing behind."""
    with LocalGateway(120).in_thread() as gateway:
        client = gateway.client()
        assert len(asyncio.run(read(client))) == 120
        assert len(asyncio.run(read(client, read_ahead=4))) == 120
        asyncio.run(client.close())
        asyncio.run(client.close())
        assert client.closed
    del client
    gc.collect()


def test_a_client_that_nobody_closed() -> None:
    """It leaves no warning: its session ends with the loop, or with the client."""

    async def forget() -> None:
        client = gateway.client()
        await client.list_history()
        del client
        gc.collect()
        await asyncio.sleep(0.01)

    with LocalGateway(120).in_thread() as gateway:
        kept = gateway.client()
        asyncio.run(forget())
        asyncio.run(read(kept, max_items=1))
        del kept
    gc.collect()


def test_a_client_stays_where_it_is() -> None:
    """It cannot be pickled or copied: the key would go along."""
    client = AsyncClient("sk-secret")
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds the API key"):
            travel(client)
