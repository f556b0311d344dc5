"""One client in several threads, each with a loop of its own: threaded web servers, Streamlit, executors."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from apimall_async import AsyncClient, ClientClosedError, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, RateLimit


THREADS = 6


@pytest.fixture
def thread() -> Iterator[LocalGateway]:
    """Run a gateway of 600 tasks in a thread of its own."""
    with LocalGateway(600, latency=0.005).in_thread() as gateway:
        yield gateway


def in_threads(work: Callable[[], Coroutine[Any, Any, object]], times: int = 1) -> list[object]:
    """Do it in several threads at once, a number of times in each, with a new loop each time."""

    def run() -> list[object]:
        ends: list[object] = []
        for _ in range(times):
            try:
                ends.append(asyncio.run(asyncio.wait_for(work(), 30)))
            except BaseException as error:  # noqa: BLE001 - what ends it is what the tests are about
                ends.append(error)
        return ends

    with ThreadPoolExecutor(THREADS) as threads:
        running = [threads.submit(run) for _ in range(THREADS)]
        return [end for one in running for end in one.result(60)]


async def count(client: AsyncClient, **options: Any) -> int:
    """Count the tasks that there are."""
    return len({task.task_id async for task in client.iter_history(**options)})


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"read_ahead": 3}], ids=["plain", "exact", "ahead"])
def test_every_iteration_is_whole(thread: LocalGateway, options: dict[str, Any]) -> None:
    """Nobody's connections are cut by another thread, whose loop begins or ends meanwhile."""
    client = thread.client(retry=None)
    assert in_threads(lambda: count(client, **options), 3) == [600] * THREADS * 3


def test_a_client_with_a_limit_has_one_pace_for_all() -> None:
    """Each thread waits in its own loop, and all keep the pace that one has learnt."""
    limit = RateLimit(rate=100, burst=4, retry_after=0.05)
    with LocalGateway(300, rate_limit=limit).in_thread() as gateway:
        client = gateway.client(retry=RetryPolicy(max_tries=30))
        assert in_threads(lambda: count(client, page_size=25)) == [300] * THREADS
        refused = sum(request.status == 429 for request in gateway.requests)
        assert 0 < refused < len(gateway.requests) / 2


def test_one_429_holds_all_threads_back(thread: LocalGateway) -> None:
    """Nothing starts before its time, in whatever thread."""
    client = thread.client()
    thread.fault(Fault.error(429, retry_after=0.5))
    refused = threading.Thread(target=asyncio.run, args=[client.list_history()])
    refused.start()
    while client._parts.calls.guard.delay() <= 0:
        time.sleep(0.001)
    assert all(in_threads(client.list_history))
    refused.join()
    first, *others = [request.received_at for request in thread.requests]
    assert len(others) == 1 + THREADS
    assert min(others) - first >= 0.5


def test_closing_while_other_threads_use_it(thread: LocalGateway) -> None:
    """Their requests end by ClientClosedError, at once; nothing hangs."""
    client = thread.client()
    thread.fault(*[Fault.stall()] * THREADS)

    def close() -> None:
        while len(thread.requests) < THREADS:
            time.sleep(0.01)
        asyncio.run(client.close())

    closer = threading.Thread(target=close)
    closer.start()
    ends = in_threads(client.list_history)
    closer.join()
    assert [type(end) for end in ends] == [ClientClosedError] * THREADS
    assert client.closed


def test_loops_that_are_closed_leave_nothing(thread: LocalGateway) -> None:
    """Hundreds of them, one after the other and several at a time, leave neither a session nor a lock."""
    client = thread.client()
    thread.fault(Fault.error(429, retry_after=0.01))
    assert in_threads(lambda: count(client, max_items=1), 20) == [1] * THREADS * 20
    asyncio.run(count(client, max_items=1))
    assert len(client._parts.transport._connections._found) <= 1 + THREADS
    assert len(client._parts.calls.guard._queues._found) <= 1 + THREADS
    asyncio.run(client.close())
    gc.collect()


def test_closing_while_other_threads_wait(thread: LocalGateway) -> None:
    """Those that wait for a retry, or at the guard, end at once, too: in whatever thread."""
    client = thread.client(retry=RetryPolicy(wait_initial=60.0))
    faults = [Fault.error(500)] * (THREADS - 1)
    thread.fault(*faults, Fault.error(429, retry_after=60))

    def close() -> None:
        while len(thread.requests) < THREADS:
            time.sleep(0.01)
        time.sleep(0.1)
        asyncio.run(client.close())

    closer = threading.Thread(target=close)
    closer.start()
    began = time.monotonic()
    ends = in_threads(client.list_history)
    closer.join()
    assert [type(end) for end in ends] == [ClientClosedError] * THREADS
    assert time.monotonic() - began < 5


class Ending:
    """An event loop that ends between two questions."""

    def is_running(self) -> bool:
        """Say so for the last time."""
        return True

    def call_soon_threadsafe(self, *_: object) -> None:
        """Do what a closed loop does."""
        raise RuntimeError("Event loop is closed")


def test_a_loop_that_ends_while_the_client_is_closed(thread: LocalGateway) -> None:
    """It has closed its session by itself: that is no error."""
    client = thread.client()
    asyncio.run(count(client, max_items=1))
    connections = client._parts.transport._connections._found
    connections[Ending()] = next(iter(connections.values()))  # type: ignore[index]
    asyncio.run(client.close())
    assert client.closed
