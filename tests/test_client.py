"""The client over real sockets: sessions, requests, walks, and what it leaves behind."""

import asyncio
import copy
import gc
import logging
import pickle
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import apimall_async
from apimall_async import (
    APIConnectionError,
    APIError,
    ApimallError,
    APITimeoutError,
    AsyncClient,
    ClientClosedError,
    PaginationError,
    RetryPolicy,
)
from apimall_async.testing import Fault, LocalGateway, RateLimit, RecordedRequest


QUICK = RetryPolicy(max_tries=3, wait_initial=0.01, wait_max=0.02)


async def read(client: AsyncClient, **options: Any) -> list[str]:
    """Return the ids of the whole history."""
    return [task.task_id async for task in client.iter_history(**options)]


def ids(gateway: LocalGateway) -> list[str]:
    """Return the ids that there are."""
    return [task.task_id for task in gateway.tasks]


# --- what is sent -------------------------------------------------------------------------------


async def test_one_page(gateway: LocalGateway) -> None:
    """A page is what the gateway has, and the request says who asks."""
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
    """They are a ValueError where they stand, not at the first step of the walk."""
    async with gateway.client() as client:
        with pytest.raises(ValueError, match="limit must be an integer, 1 to 50, not 51"):
            await client.list_history(limit=51)
        with pytest.raises(ValueError, match="page must be an integer, 1 or more, not 0"):
            await client.list_history(page=0)
        with pytest.raises(ValueError, match="start_page"):
            client.iter_history(start_page=0)
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


# --- sessions and lives -------------------------------------------------------------------------


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
    """With a borrowed session, too, none is sent after that."""
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
    assert sum(isinstance(result, ClientClosedError) for result in results) == 4


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


async def test_a_borrowed_session(gateway: LocalGateway) -> None:
    """It is used as it is, with its own middlewares, never closed, and its settings do not get in the way."""
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


async def test_a_borrowed_session_that_was_closed(gateway: LocalGateway) -> None:
    """ClientClosedError, as if the client were."""
    session = aiohttp.ClientSession()
    client = gateway.client(session=session)
    await session.close()
    with pytest.raises(ClientClosedError):
        await client.list_history()


async def test_a_borrowed_session_that_cannot_be_used(gateway: LocalGateway) -> None:
    """Whatever aiohttp complains of leaves as an APIConnectionError that is not tried again."""
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


# --- the walk -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tasks", "requests"), [(0, 1), (1, 1), (49, 1), (50, 2), (51, 2), (120, 3), (200, 5)]
)
async def test_the_plain_walks_requests(tasks: int, requests: int) -> None:
    """So many tasks take n // 50 + 1 requests."""
    async with LocalGateway(tasks) as gateway, gateway.client() as client:
        assert await read(client) == ids(gateway)
        assert [request.page for request in gateway.requests] == list(range(1, requests + 1))


async def test_a_reader_that_breaks(gateway: LocalGateway) -> None:
    """After the first task, one request was sent, and none follows."""
    async with gateway.client() as client:
        async for _ in client.iter_history():
            break
        await asyncio.sleep(0.05)
    assert len(gateway.requests) == 1


async def test_max_items(gateway: LocalGateway) -> None:
    """No more is asked for than needed."""
    async with gateway.client() as client:
        assert await read(client, max_items=5) == ids(gateway)[:5]
        assert await read(client, max_items=0) == []
        assert await read(client, start_page=2, limit=20, max_items=5) == ids(gateway)[20:25]
    assert [request.limit for request in gateway.requests] == [5, 5]


async def test_a_capped_limit() -> None:
    """A gateway that caps 50 to 20 is not finished after its first page."""
    async with LocalGateway(120, max_limit=20) as gateway, gateway.client() as client:
        assert await read(client) == ids(gateway)
        assert await read(client, exact=True) == ids(gateway)
        assert await read(client, read_ahead=4) == ids(gateway)


@pytest.mark.parametrize("echo_asked", [True, False])
@pytest.mark.parametrize("options", [{}, {"exact": True}, {"read_ahead": 4}])
async def test_an_ignored_page(gateway: LocalGateway, options: dict[str, Any], echo_asked: bool) -> None:
    """PaginationError after the tasks that there were, not an endless loop."""
    gateway.rule(lambda _: Fault.stuck(echo_asked=echo_asked))
    seen = []
    async with gateway.client() as client:
        with pytest.raises(PaginationError):
            async for task in client.iter_history(**options):
                seen.append(task.task_id)
    assert seen == ids(gateway)[:50]


@pytest.mark.parametrize("read_ahead", [0, 1, 8])
async def test_exact_while_the_history_moves(read_ahead: int) -> None:
    """Births and deletions at every request: who stays comes out once, in order."""
    async with LocalGateway(400, latency=0.001) as gateway, gateway.client() as client:
        start = ids(gateway)

        def move(request: RecordedRequest) -> None:
            gateway.insert_new(1)
            if len(gateway.requests) % 3 == 0:
                gateway.delete(start.pop((request.page or 1) * 7 % len(start)))

        gateway.rule(move)
        seen = await read(client, exact=True, read_ahead=read_ahead)
    stayed = set(start)
    assert [task_id for task_id in seen if task_id in stayed] == start
    assert len(set(seen)) == len(seen)


async def test_an_error_comes_after_what_came_before(gateway: LocalGateway) -> None:
    """A page that fails for good does not cost the pages before it, read ahead or not."""
    gateway.rule(
        lambda request: Fault.error(403) if (request.page or 0) * (request.limit or 0) > 100 else None
    )
    for read_ahead in (0, 8):
        seen = []
        async with gateway.client() as client:
            with pytest.raises(apimall_async.PermissionDeniedError):
                async for task in client.iter_history(read_ahead=read_ahead, exact=True):
                    seen.append(task.task_id)
        assert seen == ids(gateway)[: len(seen)]
        assert len(seen) >= 50


@pytest.mark.parametrize("way_out", ["break", "raise", "cancel"])
async def test_what_was_read_ahead_ends_with_the_reader(way_out: str) -> None:
    """Whatever ends the reader: no request follows, and a pool of one connection is free again."""
    connector = aiohttp.TCPConnector(limit=1)
    with LocalGateway(2_000).in_thread() as gateway:
        session = aiohttp.ClientSession(connector=connector)
        client = gateway.client(session=session)
        before = asyncio.all_tasks()

        async def reader() -> None:
            tasks = 0
            async for _ in client.iter_history(read_ahead=8):
                tasks += 1
                if tasks == 300 and way_out == "raise":
                    raise KeyError
                if tasks == 300 and way_out == "break":
                    break
                if tasks == 300:
                    asyncio.current_task().cancel()  # type: ignore[union-attr]

        task = asyncio.create_task(reader())
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), KeyError | None)
        del task
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        await asyncio.sleep(0.05)  # what is on its way arrives
        sent = len(gateway.requests)
        await asyncio.sleep(0.05)
        assert len(gateway.requests) == sent
        await asyncio.wait_for(client.list_history(), 5)
        await session.close()


async def test_the_walk_says_what_it_saw(gateway: LocalGateway, caplog: pytest.LogCaptureFixture) -> None:
    """One debug record a walk: pages, tasks, duplicates, seams, retries, seconds waited."""
    caplog.set_level(logging.DEBUG, "apimall_async")
    gateway.fault(Fault(), Fault.error(500))
    async with gateway.client(retry=QUICK) as client:
        await read(client)
    retry, walk = caplog.messages
    assert retry.startswith("trying again in 0.01 seconds after: ")
    assert walk.startswith(
        "walk ended: Tally(pages=3, tasks=120, duplicates=0, seams_repaired=0, retries=1, waited=0.0"
    )


async def test_pages_hold_what_is_new(gateway: LocalGateway) -> None:
    """Page by page, duplicates are gone too."""

    @gateway.rule
    def births(request: RecordedRequest) -> None:
        if request.page == 2:
            gateway.insert_new(10)

    async with gateway.client() as client:
        pages = [page async for page in client.iter_history_pages()]
    assert [len(page.items) for page in pages] == [50, 40, 30]


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.stall(), Fault.stall(in_body=True), Fault.drip(0.02)])
async def test_a_timeout(gateway: LocalGateway, fault: Fault) -> None:
    """It covers headers and body to the last byte; what it ends is tried again."""
    gateway.fault(fault)
    async with gateway.client(timeout=0.2, retry=QUICK) as client:
        await client.list_history()
        gateway.fault(fault, fault, fault)
        with pytest.raises(APITimeoutError, match=r"no whole answer within 0\.2 seconds"):
            await client.list_history()
    assert len(gateway.requests) == 5


async def test_waiting_for_a_connection_is_no_timeout() -> None:
    """40 requests over a pool of one take longer than one may: none times out."""
    async with (
        LocalGateway(100, latency=0.02) as gateway,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit_per_host=1)) as session,
    ):
        client = gateway.client(session=session, timeout=0.3, retry=None)
        other = gateway.client(session=session, timeout=0.3, retry=None)
        await asyncio.gather(*(c.list_history(limit=1) for c in (client, other) for _ in range(20)))
    assert len(gateway.requests) == 40


async def test_a_pool_does_not_hide_429s_from_the_guard() -> None:
    """What waits for a connection has not started: the pace still counts for it."""
    limit = RateLimit(100, 20)
    async with (
        LocalGateway(100, rate_limit=limit) as gateway,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=10)) as session,
    ):
        client = gateway.client(session=session)
        await asyncio.gather(*(client.list_history(limit=1) for _ in range(150)))
        assert sum(request.status == 429 for request in gateway.requests) < 40


async def test_a_pool_without_a_limit(gateway: LocalGateway) -> None:
    """Nothing waits there."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = gateway.client(session=session)
        await asyncio.gather(*(client.list_history() for _ in range(20)))


# --- the key ------------------------------------------------------------------------------------


def told(key: str) -> list[Fault]:
    """Answers of a gateway, or a proxy, that repeats the key in every place it can."""
    envelope = '{"success": false, "error": {"code": "%s", "message": "bad %s"}, "request_id": "%s"}'
    body = (envelope % (key, key, key)).encode()
    return [
        Fault(status=401, body=body),
        Fault(status=500, body=body),
        Fault(status=429, body=body, retry_after=key),
        Fault(status=200, body=body),
        Fault(status=200, body=key.encode(), content_type=f"text/{key}"),
        Fault(status=401, body=b'{"error": {"message": "%s%s"}}' % (b"x" * 480, key.encode())),
        Fault(status=200, body=b'{"success": true, "data": {"page": "%s"}}' % key.encode()),
        Fault(status=502, body=b"<p>Bearer %s</p>" % key.encode(), content_type="text/html"),
        Fault.reset(),
        Fault.truncate(),
        Fault.stall(),
    ]


async def test_no_error_tells_the_key(gateway: LocalGateway, caplog: pytest.LogCaptureFixture) -> None:
    """Not in its text, its pickle, its attributes, its chain, its frames' variables, nor in a log."""
    caplog.set_level(logging.DEBUG)
    key = gateway.api_key
    for fault in told(key):
        gateway.fault(fault, fault)
        client = gateway.client(timeout=0.2, retry=attrs.evolve(QUICK, max_tries=2))
        async with client:
            try:
                await client.list_history()
            except ApimallError as error:
                frames = error.__traceback__.tb_next  # type: ignore[union-attr]  # this test's own aside
                # Response headers stand as they came in the frames that read them.
                in_headers = key in f"{fault.retry_after} {fault.content_type}"
                shown = traceback.TracebackException(
                    type(error), error, frames, capture_locals=not in_headers
                )
                assert key not in "".join(shown.format())
                assert key not in repr(error) + str(error) + repr(vars(error))
                assert key.encode() not in pickle.dumps(error)
                assert error.__cause__ is None
            else:
                pytest.fail(f"{fault} is no error")
        gateway._script.clear()
    assert key not in caplog.text
    assert key not in repr(client)
