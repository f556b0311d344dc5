"""Many accounts in one process: a client for each key, one session for all; none gets in another's way."""

import asyncio
import multiprocessing
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp.abc import AbstractCookieJar

from apimall_async import (
    APIError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    ConfigurationError,
    HistoryPage,
    RetryPolicy,
)
from apimall_async.testing import Fault, LocalGateway, RateLimit, RecordedRequest


KEYS = [f"sk-secret-{number:03}" for number in range(200)]
SIZES = {key: number % 67 for number, key in enumerate(KEYS)}  # tasks; some have none, some more than a page


def without_cookies(connections: int = 100) -> aiohttp.ClientSession:
    """Open a session as docs/many-accounts.md advises."""
    connector = aiohttp.TCPConnector(limit=connections)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def key_in(request: RecordedRequest) -> str:
    """Tell which key a request was sent with."""
    (value,) = [value for name, value in request.headers.items() if name.lower() == "authorization"]
    return value.removeprefix("Bearer ")


@pytest.fixture
async def agency() -> AsyncIterator[LocalGateway]:
    """Run a gateway of two hundred accounts; the ids of each are its own."""
    async with LocalGateway(0, accounts=SIZES) as gateway:
        ids = [task.task_id for history in gateway.accounts.values() for task in history.tasks]
        assert len(set(ids)) == len(ids) == sum(SIZES.values())
        yield gateway


async def read(client: AsyncClient, **options: int) -> list[str]:
    """Iterate over everything."""
    return [task.task_id async for task in client.iter_history(**options)]


def tasks_of(gateway: LocalGateway, key: str) -> list[str]:
    """List the ids of an account, as they should be yielded."""
    return [task.task_id for task in gateway.accounts[key].tasks]


async def test_keys_never_mix(agency: LocalGateway) -> None:
    """Two hundred iterations at once over a pool of ten connections: each yields its own account's tasks."""
    async with without_cookies(10) as session:
        iterations = [
            read(agency.client(key, session=session), page_size=25, read_ahead=number % 3)
            for number, key in enumerate(KEYS)
        ]
        found = dict(zip(KEYS, await asyncio.gather(*iterations), strict=True))
        assert agency._server._connections
        assert len(agency._server._connections.connections) <= 10
    assert found == {key: tasks_of(agency, key) for key in KEYS}
    sent = Counter(map(key_in, agency.requests))
    assert sent.keys() == set(KEYS)
    assert all(sent[key] >= SIZES[key] / 25 for key in KEYS)


async def test_what_was_broken_off_reaches_nobody_else(agency: LocalGateway) -> None:
    """A connection whose reader left in the middle of a response serves no other account with the rest."""
    dice = random.Random(0)

    @agency.rule
    def disturb(_: RecordedRequest) -> Fault:
        return dice.choice([Fault(), Fault(), Fault.slow(0.02), Fault.stall(in_body=True), Fault.truncate()])

    async with without_cookies(10) as session:
        clients = [agency.client(key, session=session, timeout=0.1, retry=None) for key in KEYS]
        readers = [asyncio.create_task(read(client, page_size=25)) for client in clients]
        for reader in readers[::3]:
            asyncio.get_running_loop().call_later(dice.random() / 4, reader.cancel)
        ends = await asyncio.gather(*readers, return_exceptions=True)
        agency._rules.clear()
        others = [agency.client(key, session=session) for key in KEYS]
        again = await asyncio.gather(*[read(client, page_size=25) for client in others])
    own = [tasks_of(agency, key) for key in KEYS]
    assert [end for end, ids in zip(ends, own, strict=True) if isinstance(end, list) and end != ids] == []
    assert {asyncio.CancelledError, APITimeoutError} <= set(map(type, ends))
    assert again == own


async def test_a_revoked_key(agency: LocalGateway) -> None:
    """Its client says so, without the key. The others read on, also once that client is closed."""
    agency.accounts = {key: history for key, history in agency.accounts.items() if key != KEYS[7]}
    async with without_cookies() as session:

        async def count(key: str) -> int:
            async with agency.client(key, session=session) as client:
                return len(await read(client))

        ends = dict(
            zip(KEYS[:20], await asyncio.gather(*map(count, KEYS[:20]), return_exceptions=True), strict=True)
        )
        error = ends.pop(KEYS[7])
        assert not session.closed
    assert isinstance(error, AuthenticationError)
    assert "sk-" not in f"{error} {error!r} {vars(error)}"
    assert ends == {key: SIZES[key] for key in ends}


async def test_a_429_quiets_one_account(agency: LocalGateway) -> None:
    """The guard is the client's: others go on while it waits as long as Retry-After says."""
    busy, other = KEYS[:2]

    @agency.rule
    def refuse_once(request: RecordedRequest) -> Fault | None:
        first = sum(key_in(one) == busy for one in agency.requests) == 1
        return Fault.error(429, retry_after=0.3) if key_in(request) == busy and first else None

    async with without_cookies() as session:
        waiting = asyncio.create_task(agency.client(busy, session=session).list_history())
        free = agency.client(other, session=session)
        while not waiting.done():
            await free.list_history()
        await waiting
    refused, served = (number for number, one in enumerate(agency.requests) if key_in(one) == busy)
    assert agency.requests[served].received_at - agency.requests[refused].received_at >= 0.3
    assert served - refused > 3  # one may have been under way
    assert {one.status for one in agency.requests if key_in(one) == other} == {200}


async def test_a_limit_for_each_account() -> None:
    """Those whose limit is low are refused, and read to the end all the same; the others are not affected."""
    refused: Counter[str] = Counter()
    low = {  # a request for each that was refused: time stands still but for those
        key: RateLimit(1, 2, clock=partial(refused.__getitem__, key)) for key in KEYS[:3]
    }
    async with (
        LocalGateway(0, accounts=dict.fromkeys(KEYS[:10], 120)) as gateway,
        without_cookies() as session,
    ):

        @gateway.rule
        def admit(request: RecordedRequest) -> Fault | None:
            key = key_in(request)
            if key not in low or low[key].admit():
                return None
            refused[key] += 1
            return Fault.error(429, retry_after=0.05)

        found = await asyncio.gather(*[read(gateway.client(key, session=session)) for key in KEYS[:10]])
    assert [len(set(ids)) for ids in found] == [120] * 10
    assert refused == dict.fromkeys(KEYS[:3], 1)
    assert Counter(map(key_in, gateway.requests)) == {key: 3 + refused[key] for key in KEYS[:10]}


@pytest.mark.parametrize(
    ("jar", "carried"),
    [(aiohttp.DummyCookieJar, None), (partial(aiohttp.CookieJar, unsafe=True), "account=first")],
    ids=["DummyCookieJar", "CookieJar"],
)
async def test_cookies(jar: Callable[[], AbstractCookieJar], carried: str | None) -> None:
    """A session without cookies carries none from account to account; one that keeps them does."""
    first, second = KEYS[:2]
    async with (
        LocalGateway(0, accounts={first: 1, second: 1}) as gateway,
        aiohttp.ClientSession(cookie_jar=jar()) as session,
    ):
        gateway.fault(attrs.evolve(Fault(), headers={"Set-Cookie": "account=first; Path=/"}))
        await gateway.client(first, session=session).list_history()
        await gateway.client(second, session=session).list_history()
    assert [request.headers.get("Cookie") for request in gateway.requests] == [None, carried]


# Between processes.

FAULTS = {  # and how many requests it takes
    "401": (Fault.error(401), 1),
    "403": (Fault.error(403), 1),
    "404": (Fault.error(404), 1),
    "418": (Fault.error(418), 1),
    "429": (Fault.error(429, retry_after=7000), 1),
    "500": (Fault.error(500), 2),
    "a reset": (Fault.reset(), 2),
    "silence": (Fault.stall(), 2),
    "half a response": (Fault.half(), 2),
    "success: false": (Fault(body=b'{"success": false, "error": {"code": "no", "message": "No"}}'), 1),
}


def read_page(key: str, url: str, policy: RetryPolicy, seconds: float = 30.0) -> HistoryPage:
    """Read a page, in whichever process this is."""

    async def request() -> HistoryPage:
        async with AsyncClient(key, base_url=url, retry=policy, timeout=seconds) as client:
            return await client.list_history()

    return asyncio.run(request())


def test_other_processes() -> None:
    """A policy goes there and holds; a page and every kind of error come back as they are here."""
    policy = RetryPolicy(max_tries=2, wait_initial=0.01)
    spawn = multiprocessing.get_context("spawn")
    with LocalGateway(50).in_thread() as gateway, ProcessPoolExecutor(1, spawn) as processes:
        account = gateway.api_key, gateway.url, policy
        page = processes.submit(read_page, *account).result()
        assert attrs.evolve(page, request_id="") == attrs.evolve(read_page(*account), request_id="")
        assert list(page.items) == gateway.tasks[:20]
        with pytest.raises(ConfigurationError, match="pass api_key="):
            processes.submit(read_page, "no key", *account[1:]).result()
        for name, (fault, requests) in FAULTS.items():
            seconds = 0.3 if name == "silence" else 30.0
            ends: list[Any] = []
            for read_somewhere in (partial(processes.submit, read_page), read_page):
                gateway.requests.clear()
                gateway.fault(*[fault] * requests)
                with pytest.raises(APIError) as caught:
                    result = read_somewhere(*account, seconds)
                    assert isinstance(result, Future)
                    result.result()
                ends.append((type(caught.value), vars(caught.value) | {"request_id": None}))
                assert len(gateway.requests) == requests
            assert ends[0] == ends[1], name
