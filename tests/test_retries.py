"""What is tried again, how often, after which wait; and one 429 that holds the whole client back."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from apimall_async import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    AsyncClient,
    InternalServerError,
    RateLimitError,
    RetryPolicy,
)
from apimall_async.testing import Fault, LocalGateway, RateLimit


QUICK = RetryPolicy(max_tries=3, wait_initial=0.01, wait_max=0.02)

PASSING = {
    "500": Fault.error(500),
    "502 in HTML": Fault.html(502),
    "503 without a body": Fault.empty(503),
    "503 with a wait": Fault.html(503, retry_after=0.01),
    "a reset": Fault.reset(),
    "a cut body": Fault.truncate(),
    "half a response": Fault.half(),
    "no JSON": Fault.html(200),
    "no body": Fault(body=b""),
    "another 2xx without JSON": Fault.empty(204),
}
REFUSALS = {
    "429": Fault.error(429),
    "429 with a wait": Fault.error(429, retry_after="0.01"),
    "429 in HTML": Fault.html(429),
}
LASTING = {
    "401": Fault.error(401),
    "403": Fault.error(403),
    "404": Fault.error(404),
    "400": Fault.error(400),
    "302": Fault.error(302),
    "a list": Fault(body=b"[]"),
    "an endless page": Fault.endless(),
    "success: false": Fault(body=b'{"success": false}'),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
async def test_passing_faults_pass(gateway: LocalGateway, fault: Fault) -> None:
    """They are tried again, as often as ``max_tries`` says and no more on the wire, then raised."""
    async with gateway.client(retry=QUICK) as client:
        gateway.fault(fault, fault)
        await client.list_history()
        assert len(gateway.requests) == 3
        gateway.fault(fault, fault, fault)
        with pytest.raises(APIError) as caught:
            await client.list_history()
        assert len(gateway.requests) == 6
    assert caught.value.retryable


@pytest.mark.parametrize("fault", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_429_is_no_try(gateway: LocalGateway, fault: Fault) -> None:
    """However many there are, and whatever the limit of tries: the time alone bounds them."""
    gateway.fault(*[fault] * 6)
    async with gateway.client(retry=RetryPolicy(max_tries=1, wait_initial=0.01, wait_max=0.02)) as client:
        await client.list_history()
        assert len(gateway.requests) == 7
        gateway.rule(lambda _: fault)
        with pytest.raises(RateLimitError) as caught:
            await client.with_options(retry=RetryPolicy(max_time=0.3)).list_history()
    assert caught.value.retryable


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING.keys())
async def test_lasting_faults_are_raised(gateway: LocalGateway, fault: Fault) -> None:
    """Trying again would not help: one request."""
    gateway.fault(fault)
    async with gateway.client(retry=QUICK) as client:
        with pytest.raises(APIError) as caught:
            await client.list_history()
    assert len(gateway.requests) == 1
    assert not caught.value.retryable


@pytest.mark.parametrize("fault", (PASSING | REFUSALS).values(), ids=(PASSING | REFUSALS).keys())
async def test_one_try(gateway: LocalGateway, fault: Fault) -> None:
    """``retry=None`` sends one request, also over a connection that turns out dead."""
    async with gateway.client(retry=None) as client:
        await client.list_history()
        gateway.fault(fault)
        with pytest.raises(APIError):
            await client.list_history()
    assert len(gateway.requests) == 2


async def test_nobody_listens() -> None:
    """A refused connection is tried again, and says where to look."""
    async with AsyncClient("sk-x", base_url="http://127.0.0.1:9", retry=QUICK) as client:
        with pytest.raises(APIConnectionError, match="check the network") as caught:
            await client.list_history()
    assert caught.value.retryable


async def test_an_endless_error_page(gateway: LocalGateway) -> None:
    """An error is known by its status; its body is read to a bound, or to where it breaks."""

    async def endless(request: Any, response: Any) -> Any:
        response.status = 500
        return await Fault.endless().deliver(request, response)

    async def cut(request: Any, response: Any) -> Any:
        response.status = 500
        return await Fault.truncate().deliver(request, response)

    async with gateway.client(retry=None) as client:
        for deliver in (endless, cut):
            gateway.fault(Fault(status=500, deliver=deliver))
            with pytest.raises(InternalServerError):
                await client.list_history()


async def test_an_endless_page_fills_no_memory(gateway: LocalGateway) -> None:
    """A page is read to a bound, which the error names."""
    gateway.fault(Fault.endless())
    async with gateway.client() as client:
        with pytest.raises(APIResponseValidationError, match="a page of more than 2097152 bytes"):
            await client.list_history()


async def test_a_wait_is_never_cut_short(gateway: LocalGateway) -> None:
    """The next request starts no sooner than Retry-After says, whoever sends it."""
    gateway.fault(Fault.error(429, retry_after="0.3"))
    async with gateway.client(retry=QUICK) as client:
        await client.list_history()
        gateway.fault(Fault.html(503, retry_after="0.3"))
        await client.list_history()
    first, second, third, fourth = (request.received_at for request in gateway.requests)
    assert second - first >= 0.3
    assert fourth - third >= 0.3


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_is_too_long_is_raised_at_once(gateway: LocalGateway, status: int) -> None:
    """It carries ``retry_after``; and until then the client sends nothing more."""
    gateway.fault(Fault.error(status, retry_after=3600))
    async with gateway.client() as client:
        began = time.monotonic()
        with pytest.raises((RateLimitError, InternalServerError)) as caught:
            await client.list_history()
        assert caught.value.retry_after == 3600
        with pytest.raises(RateLimitError, match="held back for longer than max_time allows") as caught_next:
            await client.list_history()
        assert 3500 < (caught_next.value.retry_after or 0) < 3700
        assert time.monotonic() - began < 3
    assert len(gateway.requests) == 1


async def test_max_time(gateway: LocalGateway) -> None:
    """A further try that would begin after ``max_time`` is not made."""
    gateway.rule(lambda _: Fault.error(500))
    policy = RetryPolicy(max_tries=100, max_time=0.2, wait_initial=0.06, wait_max=0.06)
    async with gateway.client(retry=policy) as client:
        began = time.monotonic()
        with pytest.raises(InternalServerError):
            await client.list_history()
    assert 2 <= len(gateway.requests) <= 4
    assert gateway.requests[-1].received_at - began <= 0.25


async def test_one_429_holds_all_back() -> None:
    """30 tasks share a client, against 5 requests a window: all succeed, none is sent while all must wait."""
    window = 0.5
    async with (
        LocalGateway(100, rate_limit=RateLimit.window(5, window)) as gateway,
        gateway.client() as client,
    ):
        await asyncio.gather(*(client.list_history(limit=1) for _ in range(30)))
    refused = [request.received_at for request in gateway.requests if request.status == 429]
    assert sum(request.status == 200 for request in gateway.requests) == 30
    # Those in flight when the refusal came were sent before it was known.
    broken = [
        request
        for request in gateway.requests
        for moment in refused
        if moment + 0.15 < request.received_at < moment + window
    ]
    assert not broken
    assert len(gateway.requests) < 120


async def test_one_guard_for_two_loops(apimall_gateway: LocalGateway) -> None:
    """A client that waits at its guard in one loop waits there in the next as well."""
    client = apimall_gateway.client()

    async def crowd() -> None:
        apimall_gateway.fault(Fault.error(429, retry_after="0.05"))
        await asyncio.gather(*(client.list_history() for _ in range(5)))

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, crowd())


async def test_the_gateway_says_stop_while_a_request_waits_for_a_connection() -> None:
    """A request that gets its connection after a 429 goes back to the guard."""
    async with (
        LocalGateway(100, latency=0.05) as gateway,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        gateway.fault(Fault.error(429, retry_after="0.4"))
        client = gateway.client(session=session)
        await asyncio.gather(*(client.list_history() for _ in range(3)))
    first, second, *_ = (request.received_at for request in gateway.requests)
    assert second - first >= 0.4
    assert len(gateway.requests) == 4


async def test_max_time_counts_at_the_guard_too() -> None:
    """A request that the pace would hold back for longer than ``max_time`` is raised instead."""
    policy = RetryPolicy(max_time=0.5, wait_initial=0.01)
    async with (
        LocalGateway(100, rate_limit=RateLimit(2, 1)) as gateway,
        gateway.client(retry=policy) as client,
    ):
        began = time.monotonic()
        results = await asyncio.gather(
            *(client.list_history(limit=1) for _ in range(12)), return_exceptions=True
        )
    assert any(isinstance(result, RateLimitError) for result in results)
    assert max(request.received_at for request in gateway.requests) - began < 0.8


async def test_a_429_counts_from_its_headers(gateway: LocalGateway) -> None:
    """A body that does not come changes nothing: all wait from then on."""

    async def stall(request: Any, response: Any) -> Any:
        response.status = 429
        response.headers["Retry-After"] = "0.5"
        return await Fault.stall(in_body=True).deliver(request, response)

    gateway.fault(Fault(status=429, deliver=stall))
    async with gateway.client(timeout=0.3) as client:
        first = asyncio.create_task(client.list_history())
        while not gateway.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await client.list_history()
        await first
    arrived = [request.received_at for request in gateway.requests]
    assert arrived[1] - arrived[0] >= 0.5


async def test_other_errors_close_nothing(gateway: LocalGateway) -> None:
    """Retry-After has no meaning with a 404 (RFC 9110, 10.2.3)."""
    gateway.fault(Fault.error(404, retry_after=400))
    async with gateway.client() as client:
        with pytest.raises(APIError):
            await client.list_history()
        await client.list_history()
