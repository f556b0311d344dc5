"""Iteration over real sockets: what is requested and yielded, and what is left behind."""

import asyncio
import logging
import re
import time
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest

import apimall_async
from apimall_async import AsyncClient, PaginationError, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, RecordedRequest


QUICK = RetryPolicy(max_tries=3, wait_initial=0.01, wait_max=0.02)
EACH_KIND = pytest.mark.parametrize("options", [{}, {"exact": True}, {"read_ahead": 4}])


async def read(client: AsyncClient, **options: Any) -> list[str]:
    """Return the ids of the whole history."""
    return [task.task_id async for task in client.iter_history(**options)]


def ids(gateway: LocalGateway) -> list[str]:
    """Return the ids that there are."""
    return [task.task_id for task in gateway.tasks]


@pytest.mark.parametrize(
    ("tasks", "requests"), [(0, 1), (1, 1), (49, 1), (50, 2), (51, 2), (120, 3), (200, 5)]
)
async def test_the_requests_of_plain_iteration(tasks: int, requests: int) -> None:
    """So many tasks take n // 50 + 1 requests."""
    async with LocalGateway(tasks) as gateway, gateway.client() as client:
        assert await read(client) == ids(gateway)
        assert [request.page for request in gateway.requests] == list(range(1, requests + 1))


@EACH_KIND
async def test_all_tasks(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """In the order of the history, task by task or page by page, with any page size."""
    async with gateway.client() as client:
        assert [task async for task in client.iter_history(**options)] == gateway.tasks
        pages = [page async for page in client.iter_history_pages(page_size=20, **options)]
    assert [task for page in pages for task in page] == gateway.tasks


async def test_a_reader_that_breaks(gateway: LocalGateway) -> None:
    """After the first task, one request was sent, and none follows."""
    async with gateway.client() as client:
        async for _ in client.iter_history():
            break
        await asyncio.sleep(0.05)
    assert len(gateway.requests) == 1


async def test_max_items(gateway: LocalGateway) -> None:
    """No more is requested than needed."""
    async with gateway.client() as client:
        assert await read(client, max_items=5) == ids(gateway)[:5]
        assert await read(client, max_items=0) == []
        assert await read(client, start_page=2, page_size=20, max_items=5) == ids(gateway)[20:25]
    assert [request.limit for request in gateway.requests] == [5, 5]


@pytest.mark.parametrize("name", ["iter_history", "iter_history_pages"])
async def test_limit_is_no_argument_of_an_iteration(gateway: LocalGateway, name: str) -> None:
    """It could mean two things. The error names both, at the call, and no request is sent."""
    async with gateway.client() as client:
        with pytest.raises(TypeError) as caught:
            getattr(client, name)(limit=20)
    assert "page_size" in str(caught.value)
    assert "max_items" in str(caught.value)
    assert not gateway.requests


async def test_a_capped_limit() -> None:
    """A gateway that caps 50 to 20 is not at its end after its first page."""
    async with LocalGateway(120, max_limit=20) as gateway, gateway.client() as client:
        assert await read(client) == ids(gateway)
        assert await read(client, exact=True) == ids(gateway)
        assert await read(client, read_ahead=4) == ids(gateway)


@pytest.mark.parametrize("honest", [True, False])
@EACH_KIND
async def test_an_ignored_page(gateway: LocalGateway, options: dict[str, Any], honest: bool) -> None:
    """PaginationError after the tasks that there were, not an endless loop, whatever number is echoed."""
    gateway.rule(lambda _: Fault.stuck(echo_requested=not honest))
    seen = []
    async with gateway.client() as client:
        with pytest.raises(PaginationError):
            async for task in client.iter_history(**options):
                seen.append(task.task_id)
    assert seen == ids(gateway)[:50]


@pytest.mark.parametrize("read_ahead", [0, 1, 8])
async def test_exact_while_the_history_changes(read_ahead: int) -> None:
    """Tasks are created and deleted at every request: those that stay are yielded once, in order."""
    async with LocalGateway(400, latency=0.001) as gateway, gateway.client() as client:
        start = ids(gateway)

        def change(request: RecordedRequest) -> None:
            gateway.insert_new(1)
            if len(gateway.requests) % 3 == 0:
                gateway.delete(start.pop((request.page or 1) * 7 % len(start)))

        gateway.rule(change)
        seen = await read(client, exact=True, read_ahead=read_ahead)
    stayed = set(start)
    assert [task_id for task_id in seen if task_id in stayed] == start
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("read_ahead", [0, 8])
async def test_an_error_comes_after_what_came_before(gateway: LocalGateway, read_ahead: int) -> None:
    """A page that fails for good does not cost the pages before it, prefetched or not."""
    gateway.rule(
        lambda request: Fault.error(403) if (request.page or 0) * (request.limit or 0) > 100 else None
    )
    seen = []
    async with gateway.client() as client:
        with pytest.raises(apimall_async.PermissionDeniedError):
            async for task in client.iter_history(read_ahead=read_ahead, exact=True):
                seen.append(task.task_id)
    assert seen == ids(gateway)[: len(seen)]
    assert len(seen) >= 50


@pytest.mark.parametrize("way_out", ["break", "raise", "cancel"])
async def test_what_was_prefetched_ends_with_the_reader(way_out: str) -> None:
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
        if (
            way_out != "cancel"
        ):  # what was sent gets its response; a reader that was cancelled waits for nothing
            await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == before
        await asyncio.sleep(0.05)  # what is on its way arrives
        sent = len(gateway.requests)
        await asyncio.sleep(0.05)
        assert len(gateway.requests) == sent
        await asyncio.wait_for(client.list_history(), 5)
        await session.close()


@pytest.mark.parametrize("tasks", [300, 2_000], ids=["break", "to the end"])
async def test_no_request_of_a_healthy_iteration_ends_in_an_error(tasks: int) -> None:
    """What was prefetched in vain gets its response: whoever traces requests sees no error."""
    errors: list[BaseException] = []

    async def note(_: object, __: object, params: aiohttp.TraceRequestExceptionParams) -> None:
        errors.append(params.exception)

    trace = aiohttp.TraceConfig()
    trace.on_request_exception.append(note)
    with LocalGateway(2_000, latency=0.02).in_thread() as gateway:
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            client = gateway.client(session=session)
            async with aclosing(client.iter_history(read_ahead=8)) as iteration:
                read = 0
                async for _ in iteration:
                    read += 1
                    if read == tasks:
                        break
            assert read == tasks
            assert errors == []
            gateway.rule(lambda request: Fault.stall() if request.page > 4 else None)
            began = time.monotonic()
            async with aclosing(client.iter_history(read_ahead=8)) as iteration:
                async for _ in iteration:
                    break
            async with aclosing(client.iter_history(read_ahead=8)) as iteration:
                await asyncio.wait_for(anext(iteration), 5)
                await anext(iteration)
            assert time.monotonic() - began < 5


async def test_an_iteration_logs_its_stats(gateway: LocalGateway, caplog: pytest.LogCaptureFixture) -> None:
    """One debug record at its end: pages, tasks, duplicates, page boundaries, retries, seconds waited."""
    caplog.set_level(logging.DEBUG, "apimall_async")
    gateway.fault(Fault(), Fault.error(500))
    async with gateway.client(retry=QUICK) as client:
        await read(client)
    retry, end = caplog.messages
    assert re.fullmatch(r"retry 2 of 3 in 0\.01\d? s: internal server error \(500\)", retry)
    assert end.startswith("iteration ended: Stats(pages=3, tasks=120, duplicates=0, boundaries_repaired=0, ")
    assert "retries=1, waited=0.0" in end


async def test_pages_hold_what_is_new(gateway: LocalGateway) -> None:
    """Page by page, duplicates are left out, too."""

    @gateway.rule
    def create(request: RecordedRequest) -> None:
        if request.page == 2:
            gateway.insert_new(10)

    async with gateway.client() as client:
        pages = [page async for page in client.iter_history_pages()]
    assert [len(page) for page in pages] == [50, 40, 30]
