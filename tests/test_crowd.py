"""Crowds: many iterations on one client, many clients on one session, and far fewer connections."""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest

from apimall_async import AsyncClient, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, RateLimit, RecordedRequest


CROWD = 200
POOL = 10
TIMEOUT = 0.8  # seconds, for one attempt


def pool(limit: int = POOL) -> aiohttp.ClientSession:
    """Make a session with so many connections."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit))


def watch_connections(gateway: LocalGateway) -> Callable[[], int]:
    """Watch how many connections the gateway has, and return a function that returns the most there were."""
    most = 0

    @gateway.rule
    def look(_: RecordedRequest) -> Fault | None:
        nonlocal most
        most = max(most, len(gateway._server._connections.connections))  # type: ignore[union-attr]
        return None

    return lambda: most


async def iterate(client: AsyncClient, number: int) -> list[str]:
    """Read the whole history, each second time exactly."""
    return [task.task_id async for task in client.iter_history(exact=bool(number % 2))]


def ids(gateway: LocalGateway, key: str | None = None) -> list[str]:
    """Return the ids of an account's tasks."""
    return [task.task_id for task in gateway.accounts[key or gateway.api_key].tasks]


async def test_a_crowd_in_a_small_pool() -> None:
    """200 iterations share 10 connections; they wait longer than an attempt may take, and none times out."""
    async with LocalGateway(60, latency=0.05) as gateway, pool() as session:
        most = watch_connections(gateway)
        client = gateway.client(session=session, timeout=TIMEOUT, retry=None)
        began = time.monotonic()
        readings = await asyncio.gather(*(iterate(client, number) for number in range(CROWD)))
        waited = (time.monotonic() - began) / 2  # by one request of the last iteration, at least
        assert all(seen == ids(gateway) for seen in readings)
        assert waited > TIMEOUT
        assert most() == POOL


async def test_a_crowd_that_reads_ahead() -> None:
    """Each of 200 wants several of the 10 connections at a time, and gives up what it does not need."""
    async with LocalGateway(60, latency=0.005) as gateway, pool() as session:
        client = gateway.client(session=session, timeout=TIMEOUT, retry=None)

        async def read() -> list[str]:
            return [task.task_id async for task in client.iter_history(read_ahead=4)]

        readings = await asyncio.gather(*(read() for _ in range(CROWD)))
        assert all(seen == ids(gateway) for seen in readings)


async def test_a_crowd_in_the_own_session() -> None:
    """Its pool is aiohttp's own, of 100 connections."""
    async with LocalGateway(60, latency=0.02) as gateway, gateway.client(retry=None) as client:
        most = watch_connections(gateway)
        readings = await asyncio.gather(*(iterate(client, number) for number in range(CROWD)))
        assert all(seen == ids(gateway) for seen in readings)
        assert most() <= 100


async def test_a_crowd_under_a_rate_limit() -> None:
    """429s on top: all iterations end well, and no attempt is cut, neither by its timeout nor otherwise."""
    limit = RateLimit(400, 5, retry_after=0.02)
    async with LocalGateway(40, latency=0.005, rate_limit=limit) as gateway, pool() as session:
        most = watch_connections(gateway)
        client = gateway.client(session=session, timeout=TIMEOUT, retry=RetryPolicy(max_tries=20))
        readings = await asyncio.gather(*(iterate(client, number) for number in range(CROWD // 2)))
        assert all(seen == ids(gateway) for seen in readings)
        assert most() <= POOL
        assert {request.status for request in gateway.requests} == {200, 429}


async def test_a_crowd_of_clients_on_one_session() -> None:
    """60 clients of 20 accounts, two iterations each: one pool for all, and each gets its own tasks."""
    accounts = {f"sk-{number}": 40 + number for number in range(20)}
    async with LocalGateway(0, accounts=accounts, latency=0.02) as gateway, pool() as session:
        most = watch_connections(gateway)
        keys = [key for key in accounts for _ in range(3)]
        clients = [gateway.client(key, session=session, timeout=TIMEOUT, retry=None) for key in keys]
        readings = await asyncio.gather(
            *(iterate(client, number) for number in range(2) for client in clients)
        )
        assert readings == [ids(gateway, key) for key in keys * 2]
        assert most() == POOL


@pytest.mark.parametrize("options", [{}, {"read_ahead": 4}])
async def test_those_who_pause_hold_no_connection(gateway: LocalGateway, options: dict[str, Any]) -> None:
    """50 readers pause in the middle of their iterations: a pool of one connection is free for others."""
    stood = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def read(client: AsyncClient) -> int:
        read = 0
        async with aclosing(client.iter_history(**options)) as tasks:
            async for _ in tasks:
                read += 1
                if read == 20:
                    stood.release()
                    await go_on.wait()
        return read

    async with pool(1) as session:
        client = gateway.client(session=session, timeout=5)
        readers = [asyncio.create_task(read(client)) for _ in range(50)]
        for _ in readers:
            await asyncio.wait_for(stood.acquire(), 10)
        await asyncio.wait_for(client.list_history(), 5)
        go_on.set()
        assert await asyncio.gather(*readers) == [120] * 50
