"""Prefetched pages: how many are under way, are kept, and what is left of those that nobody needs."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import own_clock
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from own_clock import OwnClockLoop
from simulation import Schedule, Simulation, make_task

from apimall_async import AsyncClient, HistoryPage
from apimall_async._page_ranges import PageRange
from apimall_async._pagination import Options, Stats, iterate_pages
from apimall_async._pagination._fetch import PageReader
from apimall_async._pagination._prefetch import Prefetch
from apimall_async.testing import Fault, LocalGateway


@pytest.fixture
async def client(apimall_gateway: LocalGateway) -> AsyncIterator[AsyncClient]:
    """Use a gateway, in a thread of its own, that never sends a page behind the first one."""
    apimall_gateway.insert_new(200)
    apimall_gateway.rule(lambda request: Fault.stall() if request.page != 1 else None)
    async with apimall_gateway.client() as client:
        yield client
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def read_one(client: AsyncClient, gateway: LocalGateway, *, then_sleep: float) -> None:
    """Read a task and, when the next page was requested, leave."""
    async with aclosing(client.iter_history(read_ahead=4)) as tasks:
        async for _ in tasks:
            while len(gateway.requests) < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(then_sleep)
            break


async def test_a_response_that_does_not_come(client: AsyncClient, apimall_gateway: LocalGateway) -> None:
    """It is waited for, but not for long, and then nothing is left."""
    began = time.monotonic()
    await read_one(client, apimall_gateway, then_sleep=0.0)
    assert 1.0 <= time.monotonic() - began < 2.0


@pytest.mark.parametrize("then_sleep", [0.0, 60.0], ids=["waiting for it", "between two pages"])
async def test_a_cancelled_reader_waits_for_no_response(
    client: AsyncClient, apimall_gateway: LocalGateway, then_sleep: float
) -> None:
    """It ends at once, wherever it was, also if it closes the iteration; and nothing is left."""
    reader = asyncio.create_task(read_one(client, apimall_gateway, then_sleep=then_sleep))
    while len(apimall_gateway.requests) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not reader.done()
    began = time.monotonic()
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    assert time.monotonic() - began < 0.3


class Watched(Simulation):
    """Notes how many requests are in flight."""

    most = 0

    async def _fetch(self, page: int, limit: int) -> HistoryPage:
        self.most = max(self.most, len(self._pending) + 1)
        return await super()._fetch(page, limit)


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(0, 999), st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0, 0.02]))
def test_never_more_than_one_more_in_flight(
    read_ahead: int, seed: int, changes: float, faults: float
) -> None:
    """However the list changes, in whatever order the responses come, and while gaps are closed."""
    options = Options(read_ahead=read_ahead)
    simulation = Watched(
        Schedule(
            tasks=500, options=options, seed=seed, creations=changes, deletions=changes, faults=faults, cap=20
        )
    )
    asyncio.run(simulation.run())
    assert simulation.most <= read_ahead + 1


def times_the_ideal(mean: float, sigma: float, read_ahead: int, seed: int) -> float:
    """Read 20 000 tasks in virtual time, with latency that is distributed lognormally."""
    tasks = [make_task(number) for number in range(20_000)]
    latency = random.Random(seed)
    requests = 0

    async def fetch(page: int, limit: int) -> HistoryPage:
        nonlocal requests
        requests += 1
        await asyncio.sleep(latency.lognormvariate(math.log(mean) - sigma**2 / 2, sigma))
        return HistoryPage(tuple(tasks[(page - 1) * limit : page * limit]), page, limit, "req")

    async def main(loop: OwnClockLoop) -> float:
        began = loop.time()
        read = [page async for page in iterate_pages(fetch, Options(read_ahead=read_ahead), Stats())]
        assert sum(map(len, read)) == len(tasks)
        return loop.time() - began

    return own_clock.run(main) / (requests * mean / (read_ahead + 1))


@pytest.mark.parametrize(("read_ahead", "most"), [(1, 1.15), (8, 1.1), (16, 1.2), (32, 1.4)])
def test_uneven_latency(read_ahead: int, most: float) -> None:
    """A slow response keeps the reader waiting, but not the slots of others: with each end one starts."""
    assert max(times_the_ideal(0.06, 0.5, read_ahead, seed) for seed in range(3)) <= most


def test_even_latency() -> None:
    """All slots are used from the second response on, until the end is seen."""
    assert times_the_ideal(0.02, 0.0, 32, 0) <= 1.13


async def requested_meanwhile(gateway: LocalGateway, read_ahead: int) -> int:
    """Read one page, wait until nothing more is requested, and count the requests for others."""
    async with gateway.client() as client, client.iter_history(read_ahead=read_ahead).pages() as pages:
        await anext(pages)
        before = 0
        while before < len(gateway.requests):
            before = len(gateway.requests)
            await asyncio.sleep(0.3)
    return before - 1


async def test_what_is_kept_for_a_slow_reader() -> None:
    """Some pages for each request under way, and then no more."""
    async with LocalGateway(5_000) as gateway:
        assert await requested_meanwhile(gateway, 4) == 4 * 4 + 1


async def test_large_pages_are_kept_in_a_small_number() -> None:
    """However many are requested at a time, they take a bounded number of bytes."""

    async def deliver(_: object, response: Any) -> web.Response:
        return web.Response(body=response.body + b" " * (2_000_000 - len(response.body)))

    async with LocalGateway(10_000) as gateway:
        gateway.rule(lambda _: Fault(deliver=deliver))
        assert await requested_meanwhile(gateway, 64) == 16 * 2**20 // 2_000_000


async def test_an_iteration_that_is_gone_needs_no_more_pages() -> None:
    """A request that ends later than the iteration that it was for is followed by no other."""

    class Gone:
        def refill(self) -> None:
            raise AssertionError

    async def fetch(page: int, limit: int) -> HistoryPage:
        return HistoryPage((), page, limit, "req")

    prefetch = Prefetch(PageReader(fetch, Stats()), 1, Gone().refill)
    prefetch.request(PageRange(1, 50))
    await prefetch.first()
    assert len(prefetch) == 1
