"""The rate-limit guard with a real gateway: refusals of all kinds, hints, and who is woken when."""

import asyncio
import logging
import threading
import time
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from apimall_async import APIConnectionError, AsyncClient, RetryPolicy
from apimall_async._guard import Guard, _Queue
from apimall_async.testing import Fault, LocalGateway


async def test_a_503_without_retry_after_slows_down(gateway: LocalGateway) -> None:
    """A refusal by nginx's limit_req looks so: the whole client waits, and has a pace from then on."""
    gateway.fault(Fault.html(503))
    async with gateway.client(retry=RetryPolicy(wait_initial=0.2)) as client:
        await asyncio.gather(client.list_history())
        began = time.monotonic()
        await asyncio.gather(*(client.list_history() for _ in range(5)))
    first, second, *_ = (request.received_at for request in gateway.requests)
    assert second - first >= 0.2
    assert time.monotonic() - began > 0.05


async def test_a_500_does_not_slow_down(gateway: LocalGateway) -> None:
    """It says nothing of a limit."""
    gateway.fault(Fault.error(500))
    async with gateway.client(retry=RetryPolicy(wait_initial=5)) as client:
        failing = asyncio.create_task(client.list_history())
        while not gateway.requests:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(client.list_history(), 1)
        failing.cancel()


async def test_a_drought_ends_with_the_response_that_says_so() -> None:
    """Those who wait for the one that finds out are woken by its response, not by a clock."""
    guard = Guard(RetryPolicy(wait_initial=0.01))
    started = guard.start()
    assert started is not None
    guard.note(started, 429, CIMultiDict())
    guard.end(started)
    deadline = time.monotonic() + 60
    await guard.admit(deadline)
    knock = guard.start()
    assert knock is not None
    assert guard.start() is None
    others = [asyncio.create_task(guard.admit(deadline)) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert not any(other.done() for other in others)
    guard.note(knock, 200, CIMultiDict())
    guard.end(knock)
    await asyncio.wait_for(asyncio.gather(*others), 1)


async def test_a_knock_that_fails_makes_way(gateway: LocalGateway) -> None:
    """The request that finds out may be cancelled or lost; the next one then goes."""
    gateway.fault(Fault.error(429), Fault.stall(), Fault.reset())
    policy = RetryPolicy(wait_initial=0.02)
    async with gateway.client(retry=policy, timeout=0.3) as client:
        await asyncio.wait_for(client.list_history(), 5)
    assert len(gateway.requests) == 4


async def test_hints_hold_back(gateway: LocalGateway) -> None:
    """At nothing left the client is quiet until the reset: no 429 at all."""

    async def hint(request: Any, response: Any) -> Any:
        hints = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0.4"}
        return web.Response(status=response.status, body=response.body, headers={**response.headers, **hints})

    gateway.fault(Fault(deliver=hint))
    async with gateway.client() as client:
        await client.list_history()
        await client.list_history()
    first, second = (request.received_at for request in gateway.requests)
    assert second - first >= 0.39


async def test_a_429_of_a_proxy_slows_down() -> None:
    """A proxy that refuses to connect by 429 is obeyed as the gateway is."""
    seen: list[float] = []

    async def refuse(request: web.BaseRequest) -> web.Response:
        seen.append(time.monotonic())
        return web.Response(status=429, headers={"Retry-After": "0.4"})

    server = web.ServerRunner(web.Server(refuse))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    port = server.addresses[0][1]
    try:
        async with AsyncClient(
            "sk-x",
            base_url="https://example.invalid",
            proxy=f"http://127.0.0.1:{port}",
            retry=RetryPolicy(max_tries=2, wait_initial=0.01),
        ) as client:
            with pytest.raises(APIConnectionError):
                await client.list_history()
    finally:
        await server.cleanup()
    assert seen[1] - seen[0] >= 0.4


async def test_a_response_may_end_a_wait() -> None:
    """What was held back for a request in flight starts when that has ended, not at the reset."""
    guard = Guard(RetryPolicy())
    started = [guard.start(), guard.start()]
    first, second = (moment for moment in started if moment is not None)
    hint = CIMultiDict({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "50"})
    guard.note(first, 200, hint)
    guard.end(first)
    waiting = asyncio.create_task(guard.admit(time.monotonic() + 60))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    guard.note(second, 200, hint)
    guard.end(second)
    await asyncio.wait_for(waiting, 1)


HINTS = CIMultiDict({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"})


def test_a_response_ends_a_wait_in_another_thread() -> None:
    """Each thread waits in its own loop; the response that ends the drought comes in one of them."""
    guard = Guard(RetryPolicy())
    first = guard.start()
    assert first is not None
    guard.note(first, 200, HINTS)
    waiting = threading.Thread(target=asyncio.run, args=[guard.admit(time.monotonic() + 60)])
    waiting.start()
    while not guard._queues.items() or not guard._queues.items()[0][1].turn.locked():
        time.sleep(0.001)
    guard.note(first, 200, CIMultiDict({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "0"}))
    waiting.join(5)
    assert not waiting.is_alive()


async def test_a_loop_that_was_closed_while_somebody_waited() -> None:
    """Nobody is left there to be woken: that is no error."""
    guard = Guard(RetryPolicy())
    closed, queue = asyncio.new_event_loop(), _Queue()
    closed.close()
    await queue.turn.acquire()
    guard._queues._found[closed] = queue
    started = guard.start()
    assert started is not None
    guard.note(started, 200, CIMultiDict())
    guard.end(started)


def test_a_pause_because_of_hints_is_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """As one is because of a 429; what holds requests back for a moment is none."""
    caplog.set_level(logging.INFO, "apimall_async")
    for reset in ("0.5", "20"):
        guard = Guard(RetryPolicy())
        started = guard.start()
        assert started is not None
        guard.note(started, 200, CIMultiDict({"RateLimit-Remaining": "0", "RateLimit-Reset": reset}))
    (record,) = caplog.records
    assert record.getMessage() == "rate limit reached, next request in 20 s"
    assert (vars(record)["status"], round(vars(record)["wait"])) == (200, 20)
