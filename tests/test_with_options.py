"""The same client with other limits of time and tries; and closing a client, which ends whatever waits."""

import asyncio
import inspect
import math
import socket
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec

import aiohttp
import pytest

from apimall_async import (
    APIResponseValidationError,
    APITimeoutError,
    AsyncClient,
    ClientClosedError,
    ConfigurationError,
    InternalServerError,
    RateLimitError,
    RetryPolicy,
)
from apimall_async._waits import Waits
from apimall_async.testing import Fault, LocalGateway


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Listen, as a host does that never goes on with TLS."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


async def test_other_limits(gateway: LocalGateway) -> None:
    """Each of the two options alone, both, and a view of a view; the client's own stay as they are."""
    async with gateway.client(timeout=0.2, retry=None) as client:
        gateway.fault(Fault.slow(0.4))
        await client.with_options(timeout=5).list_history()
        gateway.fault(Fault.error(500), Fault.error(500))
        await client.with_options(retry=RetryPolicy(wait_initial=0.01)).list_history()
        gateway.fault(Fault.error(500), Fault.slow(0.4))
        view = client.with_options(timeout=None).with_options(retry=RetryPolicy(wait_initial=0.01))
        assert len([task async for task in view.iter_history()]) == 120
        gateway.fault(Fault.slow(0.4))
        with pytest.raises(APITimeoutError):
            await client.list_history()
        gateway.fault(Fault.error(500))
        with pytest.raises(InternalServerError):
            await client.list_history()


async def test_the_same_connections_and_guard(gateway: LocalGateway) -> None:
    """One pool, and what one of them learns of the limit holds back the other."""
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = gateway.client(session=session)
        quick = client.with_options(retry=RetryPolicy(max_time=1))
        await asyncio.gather(client.list_history(), quick.list_history())
        gateway.fault(Fault.error(429, retry_after=30))
        with pytest.raises(RateLimitError):
            await quick.list_history()
        with pytest.raises(RateLimitError, match="held back"):
            await client.list_history()
    assert len(gateway.requests) == 3


async def test_closing_it_closes_nothing(gateway: LocalGateway) -> None:
    """``closed`` tells whether the client is that it is of; closing that closes it."""
    client = gateway.client()
    async with client.with_options(timeout=5) as quick:
        await quick.list_history()
    assert not client.closed
    assert not quick.closed
    await quick.list_history()
    await client.close()
    assert quick.closed
    with pytest.raises(ClientClosedError):
        await quick.list_history()


async def test_closing_as_a_wait_ends_by_itself() -> None:
    """What is over when its turn comes is not ended once more."""
    waits, done = Waits(), asyncio.Event()
    waiting = asyncio.create_task(waits.run(done.wait(), math.inf))
    await asyncio.sleep(0)
    done.set()
    waits.end_all()
    assert await waiting


async def test_closing_twice_in_a_row() -> None:
    """What is about to end is left alone, and asyncio reports no error."""
    waits, reports = Waits(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    waiting = asyncio.create_task(waits.run(asyncio.sleep(60), math.inf))
    await asyncio.sleep(0)
    for _ in range(3):
        waits.end_all()
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await waiting
    assert not reports


async def test_what_begins_to_wait_when_all_waits_are_over() -> None:
    """It is ended, too: another thread may close the client just before."""
    waits = Waits()
    waits.end_all()
    with pytest.raises(TimeoutError):
        await waits.run(asyncio.sleep(60), math.inf)


def test_signatures_are_short() -> None:
    """What nobody passes is three dots in them."""
    assert str(inspect.signature(AsyncClient.with_options)).count(" = ...") == 2


def test_wrong_options() -> None:
    """They are refused in words, by the client as by ``with_options``."""
    client = AsyncClient("sk-x")
    for options in ({"timeout": -1}, {"retry": 3}):
        with pytest.raises(ConfigurationError, match=r"^(timeout|retry) must be "):
            client.with_options(**options)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"^(timeout|retry) must be "):
            AsyncClient("sk-x", **options)  # type: ignore[arg-type]


def test_a_subclass_stays_one() -> None:
    """With what it has of its own."""

    class Mine(AsyncClient):
        mark = "none"

    mine = Mine("sk-x")
    mine.mark = "set"
    assert type(mine.with_options(timeout=1)) is Mine
    assert mine.with_options(timeout=1).mark == "set"


async def test_a_host_that_does_not_connect(silent: str) -> None:
    """The error says that there was no connection: from there on, little time is left by default."""
    async with AsyncClient("sk-x", base_url=silent, timeout=0.3) as client:
        quick = client.with_options(retry=None)
        with pytest.raises(APITimeoutError, match="no connection in time") as caught:
            await quick.list_history()
    assert not caught.value.connected


async def test_a_pool_that_stays_full(gateway: LocalGateway) -> None:
    """Who waits for a connection is told at the end of ``max_time``."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        gateway.fault(Fault.stall())
        client = gateway.client(session=session)
        first = asyncio.create_task(client.list_history())
        while not gateway.requests:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        with pytest.raises(APITimeoutError, match=r"within 0\.3 seconds; .*: RetryPolicy"):
            await client.with_options(retry=RetryPolicy(max_time=0.3)).list_history()
        assert time.monotonic() - began < 1
        await client.close()
        with pytest.raises(ClientClosedError):
            await first
    assert len(gateway.requests) == 1


async def test_closing_ends_what_connects(silent: str) -> None:
    """At once, not when the connection is made or given up."""
    client = AsyncClient("sk-x", base_url=silent)
    first = asyncio.create_task(client.list_history())
    await asyncio.sleep(0.1)
    second = asyncio.create_task(client.list_history())  # which finds a session that is open
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await client.close()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [ClientClosedError] * 2
    assert time.monotonic() - began < 1


def test_closing_in_another_loop(apimall_gateway: LocalGateway) -> None:
    """What waits in the loop of another thread is ended, too; a loop that is gone is none."""
    client = apimall_gateway.client()
    apimall_gateway.fault(Fault.error(500))

    async def wait() -> BaseException | None:
        request = asyncio.create_task(client.with_options(retry=RetryPolicy(wait_initial=60)).list_history())
        while not apimall_gateway.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(asyncio.run, client.close())
        await asyncio.wait([request], timeout=5)
        return request.exception()

    assert isinstance(asyncio.run(wait()), ClientClosedError)


@pytest.mark.parametrize("name", ["br", "foo", "gzip, br"])
async def test_an_encoding_that_was_not_requested(gateway: LocalGateway, name: str) -> None:
    """It is one try, and named in the error: those that aiohttp cannot unpack here, or does not know."""
    if name == "br" and find_spec("brotli"):
        pytest.skip("aiohttp can read it here")
    gateway.fault(Fault(body=b"\x0b\x02\x80{}\x03", headers={"Content-Encoding": name}))
    async with gateway.client() as client:
        with pytest.raises(APIResponseValidationError, match=f"cannot be read|encoding '{name}'") as caught:
            await client.list_history()
        await client.list_history()
    assert name in str(caught.value)
    assert not caught.value.retryable
    assert len(gateway.requests) == 2
