"""The objects that ``iter_history`` and ``iter_history_pages`` return, over real sockets."""

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from apimall_async import (
    APIConnectionError,
    ApimallError,
    AsyncClient,
    InternalServerError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
)
from apimall_async.testing import Fault, LocalGateway


KINDS: dict[str, dict[str, Any]] = {"plain": {}, "exact": {"exact": True}, "prefetched": {"read_ahead": 4}}
EACH_KIND = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
NO_RETRY = None


def ids(gateway: LocalGateway) -> list[str]:
    """Return the ids that there are."""
    return [task.task_id for task in gateway.tasks]


@EACH_KIND
async def test_they_are_async_generators(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """By collections.abc, with asend, athrow and aclose; and each is its own iterator's."""
    async with gateway.client() as client:
        tasks = client.iter_history(**options)
        assert isinstance(tasks, AsyncGenerator)
        assert isinstance(client.iter_history_pages(**options), AsyncGenerator)
        assert await anext(tasks) == gateway.tasks[0]
        assert await tasks.asend(None) == gateway.tasks[1]
        assert [task async for task in tasks] == gateway.tasks[2:]
        with pytest.raises(StopAsyncIteration):
            await anext(tasks)


@EACH_KIND
async def test_aclose(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """It ends the iteration, before its first page too, and twice is as once; nothing is yielded after it."""
    async with gateway.client() as client:
        for read in range(3):
            tasks = client.iter_history(page_size=20, **options)
            for _ in range(read):
                await anext(tasks)
            await tasks.aclose()
            await tasks.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(tasks)
            assert "over" in repr(tasks)


@EACH_KIND
async def test_athrow(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """The exception comes out, and the iteration is over."""
    async with gateway.client() as client:
        for tasks in (client.iter_history(**options), client.iter_history_pages(**options)):
            await anext(tasks)
            with pytest.raises(KeyError):
                await tasks.athrow(KeyError())
            with pytest.raises(StopAsyncIteration):
                await anext(tasks)


@EACH_KIND
async def test_async_with(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """It closes the iteration, as ``aclosing`` does, whatever ends the block."""
    async with gateway.client() as client:
        async with client.iter_history(**options) as tasks:
            first = await anext(tasks)
        assert first == gateway.tasks[0]
        with pytest.raises(StopAsyncIteration):
            await anext(tasks)
        with pytest.raises(KeyError):
            async with client.iter_history_pages(**options) as pages:
                raise KeyError
        assert [page async for page in pages] == []
        async with aclosing(client.iter_history(**options)) as tasks:
            assert await anext(tasks) == first


@EACH_KIND
async def test_pages_and_tasks_in_turn(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """``pages()`` goes on with the rest of the current page, and the tasks go on behind the pages."""
    async with gateway.client() as client:
        tasks = client.iter_history(page_size=20, **options)
        seen = [await anext(tasks) for _ in range(7)]
        pages = tasks.pages()
        seen += [*await anext(pages), *await anext(pages)]
        assert len(seen) > 20
        seen += [await anext(tasks) for _ in range(3)]
        seen += [task async for page in tasks.pages() for task in page]
        assert seen == gateway.tasks
        assert [task async for task in tasks] == []


@EACH_KIND
async def test_stats_and_repr(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """They can be read at any time, and say how far the iteration came."""
    async with gateway.client() as client:
        tasks = client.iter_history(**options)
        assert (tasks.stats.pages, tasks.stats.tasks) == (0, 0)
        assert repr(tasks) == "<ItemIterator at position 0: 0 tasks, 0 pages read>"
        await anext(tasks)
        assert tasks.stats.tasks == 50
        assert "at position 50: 50 tasks" in repr(tasks)
        assert tasks.pages().stats is tasks.stats
        assert [task async for task in tasks] == gateway.tasks[1:]
        assert tasks.stats.tasks == 120
        assert tasks.stats.pages == len(gateway.requests)
        assert repr(tasks).startswith("<ItemIterator over: 120 tasks")


# An iteration that goes on.


@EACH_KIND
@pytest.mark.parametrize("waits", range(1, 9))
async def test_a_cancelled_anext(options: dict[str, Any], waits: int) -> None:
    """Again and again, each time after so many turns of the loop: nothing is lost, nothing twice."""
    async with LocalGateway(150) as gateway, gateway.client() as client:
        tasks = client.iter_history(page_size=20, **options)
        seen, cancelled, turns = [], 0, waits
        while True:
            step = asyncio.ensure_future(anext(tasks))
            for _ in range(turns):
                await asyncio.sleep(0)
            step.cancel()
            try:
                seen.append((await step).task_id)
                turns = waits
            except asyncio.CancelledError:
                cancelled += 1
                turns = turns * 2 if turns < 10_000 else waits
            except StopAsyncIteration:
                break
        assert seen == ids(gateway)
        assert cancelled


@EACH_KIND
async def test_an_anext_that_times_out(options: dict[str, Any]) -> None:
    """A slow page: the reader waits for it in several turns of ``wait_for``, and misses nothing."""
    async with LocalGateway(150) as gateway, gateway.client() as client:
        gateway.rule(lambda _: Fault.slow(0.08) if len(gateway.requests) in (2, 4) else None)
        for iterator in (client.iter_history(**options), client.iter_history_pages(**options)):
            gateway.requests.clear()
            seen: list[Any] = []
            late = 0
            while True:
                try:
                    seen.append(await asyncio.wait_for(anext(iterator), 0.03 * (1 + late)))
                except TimeoutError:
                    late += 1
                except StopAsyncIteration:
                    break
            assert late
            tasks = seen if hasattr(seen[0], "task_id") else [task for page in seen for task in page]
            assert tasks == gateway.tasks


FAULTS = {
    "a rate limit": ([Fault.error(429, retry_after=0)], RateLimitError),
    "an error of the gateway": ([Fault.error(500)], InternalServerError),
    "a cut connection": ([Fault.truncate()], APIConnectionError),
    "a reset connection": ([Fault.reset()], APIConnectionError),
}


@EACH_KIND
@pytest.mark.parametrize(("faults", "kind"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("at", [1, 3, 5])
async def test_an_error_that_passes(
    faults: list[Fault], kind: type[ApimallError], at: int, options: dict[str, Any]
) -> None:
    """It is raised, with the number of the page; the reader sits it out, and goes on with nothing lost."""
    async with LocalGateway(150) as gateway, gateway.client(retry=NO_RETRY) as client:
        gateway.fault(*[Fault()] * (at - 1), *faults)
        tasks = client.iter_history(page_size=30, **options)
        seen: list[str] = []
        errors: list[ApimallError] = []
        while True:
            try:
                seen.append((await anext(tasks)).task_id)
            except StopAsyncIteration:
                break
            except ApimallError as error:
                errors.append(error)
        assert seen == ids(gateway)
        for error in errors:
            assert isinstance(error, kind)
            assert error.page in {request.page for request in gateway.requests}
        assert len(errors) == 1 or options, "what was prefetched in vain is no error"


@EACH_KIND
async def test_an_outage(options: dict[str, Any]) -> None:
    """Every request fails for a while: each anext raises, and when it is over the iteration goes on."""
    async with LocalGateway(150) as gateway, gateway.client(retry=NO_RETRY) as client:
        down = False
        gateway.rule(lambda _: Fault.error(503) if down else None)
        tasks = client.iter_history(page_size=20, **options)
        seen = [(await anext(tasks)).task_id for _ in range(20)]
        down = True
        for _ in range(3):
            with pytest.raises(InternalServerError):
                while True:
                    seen.append((await anext(tasks)).task_id)
        down = False
        seen += [task.task_id async for task in tasks]
        assert seen == ids(gateway)


# An iteration that nobody closes.


async def _break(client: AsyncClient, gateway: LocalGateway, options: dict[str, Any]) -> None:
    async for _ in client.iter_history(page_size=20, **options):
        break


async def _break_between_pages(client: AsyncClient, gateway: LocalGateway, options: dict[str, Any]) -> None:
    read = 0
    async for _ in client.iter_history_pages(page_size=20, **options):
        read += 1
        if read == 3:
            break


async def _error(client: AsyncClient, gateway: LocalGateway, options: dict[str, Any]) -> None:
    gateway.rule(lambda _: Fault.error(403) if len(gateway.requests) >= 4 else None)
    with pytest.raises(PermissionDeniedError):
        async for _ in client.iter_history(page_size=20, **options):
            pass


async def _cancelled(client: AsyncClient, gateway: LocalGateway, options: dict[str, Any]) -> None:
    gateway.rule(lambda _: Fault.slow(0.2) if len(gateway.requests) >= 3 else None)
    tasks = client.iter_history(page_size=20, **options)
    with pytest.raises(TimeoutError):
        while True:
            await asyncio.wait_for(anext(tasks), 0.05)


async def _unused(client: AsyncClient, gateway: LocalGateway, options: dict[str, Any]) -> None:
    client.iter_history(**options)
    client.iter_history_pages(**options)


async def _pages_of_tasks(client: AsyncClient, gateway: LocalGateway, options: dict[str, Any]) -> None:
    tasks = client.iter_history(page_size=20, **options)
    await anext(tasks)
    await anext(tasks.pages())


@EACH_KIND
@pytest.mark.parametrize("drop", [_break, _break_between_pages, _error, _cancelled, _unused, _pages_of_tasks])
async def test_an_iteration_that_is_dropped(drop: Any, options: dict[str, Any]) -> None:
    """It leaves no request, no warning and no asyncio task behind, however it was left."""
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    with LocalGateway(300).in_thread() as gateway:
        async with gateway.client(retry=RetryPolicy(max_tries=1)) as client:
            before = asyncio.all_tasks()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                await drop(client, gateway, options)
                gc.collect()
                for _ in range(5):
                    await asyncio.sleep(0.005)
                gc.collect()
            assert asyncio.all_tasks() == before
            sent = len(gateway.requests)
            await asyncio.sleep(0.05)
            assert len(gateway.requests) == sent
    assert not caught
    assert not problems
