"""``timeout=`` over real sockets: what it covers, what it does not, and what is left of it."""

import asyncio
import time

import aiohttp
import pytest

from apimall_async import ApimallError, APITimeoutError, ClientClosedError, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, RateLimit


QUICK = RetryPolicy(max_tries=3, wait_initial=0.01, wait_max=0.02)


def timers(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many timers are set."""
    return sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [Fault.stall(), Fault.stall(in_body=True), Fault.drip(0.02)])
async def test_a_timeout(gateway: LocalGateway, fault: Fault) -> None:
    """It covers headers and body to the last byte; what it ends is tried again."""
    gateway.fault(fault)
    async with gateway.client(timeout=0.2, retry=QUICK) as client:
        await client.list_history()
        gateway.fault(fault, fault, fault)
        with pytest.raises(APITimeoutError, match=r"^no whole response within 0\.2 seconds; "):
            await client.list_history()
    assert len(gateway.requests) == 5


async def test_no_timeout(gateway: LocalGateway) -> None:
    """None is none."""
    async with gateway.client(timeout=None, retry=None) as client:
        gateway.fault(Fault.slow(0.3))
        await client.list_history()


async def test_a_timeout_of_aiohttps_own(gateway: LocalGateway) -> None:
    """What its other parts end is an APITimeoutError, too."""
    limits = aiohttp.ClientTimeout(sock_read=0.2)
    gateway.fault(Fault.stall())
    async with gateway.client(timeout=limits, retry=None) as client:
        with pytest.raises(APITimeoutError, match=r"^no whole response in time; "):
            await client.list_history()
        await client.list_history()


async def test_many_requests_time_out_each_in_its_time(gateway: LocalGateway) -> None:
    """Those that began later end later, over one timer."""
    gateway.rule(lambda _: Fault.stall())
    ended: list[float] = []

    async def request(delay: float) -> None:
        await asyncio.sleep(delay)
        began = time.monotonic()
        with pytest.raises(APITimeoutError):
            await client.list_history()
        ended.append(time.monotonic() - began)

    async with gateway.client(timeout=0.3, retry=None) as client:
        await asyncio.gather(*(request(delay / 50) for delay in range(10)))
    assert all(0.29 <= took < 0.6 for took in ended)


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


async def test_a_client_that_is_closed_leaves_no_timer() -> None:
    """Nor does one whose session is the caller's: a loop can end, and a clock can be owned."""
    loop = asyncio.get_running_loop()
    if not hasattr(loop, "_scheduled"):
        pytest.skip("looks into asyncio's own loop")
    with LocalGateway(20).in_thread() as gateway:
        async with aiohttp.ClientSession() as session:
            for options in ({}, {"session": session}):
                before = timers(loop)
                async with gateway.client(**options) as client:
                    await asyncio.gather(*(client.list_history() for _ in range(5)))
                    assert timers(loop) > before
                kept_alive = "session" in options  # aiohttp's own timer, for idle connections
                assert timers(loop) <= before + kept_alive


@pytest.mark.parametrize("own", [True, False], ids=["own session", "the caller's session"])
async def test_closing_does_not_take_the_timeout_away(gateway: LocalGateway, own: bool) -> None:
    """What is under way when the client is closed ends all the same, not later than it would have."""
    gateway.fault(Fault.stall())
    async with aiohttp.ClientSession() as session:
        client = gateway.client(timeout=0.3, retry=None, **({} if own else {"session": session}))
        request = asyncio.create_task(client.list_history())
        while not gateway.requests:
            await asyncio.sleep(0.01)
        await client.close()
        done, _ = await asyncio.wait([request], timeout=2)
        assert done, "the request waits for ever"
        with pytest.raises(ApimallError) as caught:
            await request
    assert isinstance(caught.value, ClientClosedError if own else ClientClosedError | APITimeoutError)
