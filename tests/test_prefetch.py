"""What is left of prefetched pages that nobody needs: a response that comes soon, or nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from apimall_async import AsyncClient
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
