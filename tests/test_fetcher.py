"""One page, tried again: how often, after which waits, and which error is raised in the end. No network."""

import asyncio
import math
from collections.abc import Callable
from itertools import pairwise

import attrs
import own_clock
import pytest
from contract import ERROR, EXAMPLE, NO_HEADERS
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from own_clock import OwnClockLoop
from yarl import URL

from apimall_async import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    AuthenticationError,
    ClientClosedError,
    HistoryPage,
    InternalServerError,
    RateLimitError,
    RetryPolicy,
)
from apimall_async._endpoints import IMAGE_HISTORY
from apimall_async._fetcher import Fetcher
from apimall_async._guard import Guard
from apimall_async._pagination import Stats
from apimall_async._redaction import Redactor
from apimall_async._transport import Gate, Response


KEY = "sk-secret"
BASE = URL("https://gateway.test")

Step = bytes | int | Exception | tuple[int, str]
"""What a request gets: a page's body, a status, an error, or a status with Retry-After."""


@attrs.define
class ScriptedTransport:
    """Gives each request the next step of a script; the last one for ever."""

    loop: OwnClockLoop
    script: list[Step]
    takes: float = 0.0
    urls: list[URL] = attrs.field(factory=list[URL])
    starts: list[float] = attrs.field(factory=list[float])
    closed: bool = False

    def check_open(self) -> None:
        """Raise ClientClosedError once it is closed."""
        if self.closed:
            raise ClientClosedError("closed")

    async def get(self, url: URL, gate: Gate) -> Response | None:
        """Do what the script says."""
        started = gate.start()
        if started is None:
            return None
        self.urls.append(url)
        self.starts.append(self.loop.time())
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        await asyncio.sleep(self.takes)
        if isinstance(step, Exception):
            raise step
        status, headers, body = 200, NO_HEADERS, EXAMPLE
        if isinstance(step, tuple):
            status, wait = step
            headers, body = CIMultiDict({"Retry-After": wait}), ERROR
        elif isinstance(step, int):
            status, body = step, ERROR
        else:
            body = step
        gate.note(started, status, headers)
        return Response(started, status, headers, body)


@attrs.define
class Run:
    """What came of one call."""

    transport: ScriptedTransport
    stats: Stats
    page: HistoryPage | None = None
    error: APIError | ClientClosedError | None = None
    took: float = 0.0

    @property
    def waits(self) -> list[float]:
        """The seconds between the starts of two requests."""
        starts = self.transport.starts
        return [later - earlier for earlier, later in pairwise(starts)]


def fetch(
    *script: Step,
    base: URL = BASE,
    policy: RetryPolicy | None = None,
    takes: float = 0.0,
    meanwhile: Callable[[ScriptedTransport], None] = lambda _: None,
) -> Run:
    """Fetch page 3 of 20; without a policy it is tried once. ``meanwhile`` happens after a second."""

    async def main(loop: OwnClockLoop) -> Run:
        transport = ScriptedTransport(loop, list(script), takes)
        guard = Guard(policy or RetryPolicy())
        fetcher = Fetcher(base, transport, guard, Redactor(KEY), policy.max_tries if policy else 1)  # type: ignore[arg-type]
        run, began = Run(transport, Stats()), loop.time()
        loop.call_later(1, meanwhile, transport)
        try:
            run.page = await fetcher.reader(IMAGE_HISTORY, run.stats)(3, 20)
        except (APIError, ClientClosedError) as error:
            run.error = error
        run.took = loop.time() - began
        return run

    return own_clock.run(main)


def cut() -> APIConnectionError:
    """Make an error that may pass."""
    return APIConnectionError("cut")


@pytest.mark.parametrize(
    ("base", "before"),
    [
        ("https://gateway.test", "https://gateway.test"),
        ("https://gateway.test/", "https://gateway.test"),
        ("http://127.0.0.1:8080/proxy/", "http://127.0.0.1:8080/proxy"),
    ],
)
def test_one_page(base: str, before: str) -> None:
    """By one request, to the endpoint's path behind that of ``base_url``."""
    run = fetch(EXAMPLE, base=URL(base), policy=RetryPolicy())
    assert run.page
    assert len(run.page) == 1
    assert list(map(str, run.transport.urls)) == [f"{before}/api/v1/images/history?page=3&limit=20"]
    assert run.stats == Stats()


@pytest.mark.parametrize("max_tries", [1, 2, 3, 5])
@pytest.mark.parametrize("step", [500, "cut"])
def test_max_tries_counts_all_requests(max_tries: int, step: int | str) -> None:
    """The first one, too. The error of the last is raised."""
    errors = [APIConnectionError(f"cut {number}") for number in range(10)]
    run = fetch(*errors if step == "cut" else [500], policy=RetryPolicy(max_tries=max_tries))
    assert len(run.transport.urls) == max_tries
    if step == "cut":
        assert run.error is errors[max_tries - 1]
    else:
        assert isinstance(run.error, InternalServerError)
    assert run.stats.retries == max_tries - 1


@pytest.mark.parametrize("failures", [0, 1, 2, 3, 4])
def test_a_try_that_succeeds(failures: int) -> None:
    """However many failed before it, as long as they are fewer than ``max_tries``."""
    run = fetch(*[500] * failures, EXAMPLE, policy=RetryPolicy(max_tries=5))
    assert run.page
    assert len(run.transport.urls) == failures + 1
    assert run.stats.retries == failures


@given(
    st.sampled_from([0.0, 0.5, 3.0, 100.0]),
    st.sampled_from([0.0, 1.0, 60.0]),
    st.integers(2, 10),
    st.sampled_from([0.0, 0.25]),
)
def test_the_waits_double(initial: float, most: float, max_tries: int, takes: float) -> None:
    """From ``wait_initial`` up to ``wait_max``, each up to a quarter longer; all are in the stats."""
    policy = RetryPolicy(max_tries=max_tries, max_time=math.inf, wait_initial=initial, wait_max=most)
    run = fetch(500, policy=policy, takes=takes)
    assert len(run.waits) == max_tries - 1
    for number, wait in enumerate(run.waits):
        planned = min(initial * 2**number, most)
        assert planned <= wait - takes <= 1.25 * planned + 1e-6
    assert run.stats.waited == pytest.approx(sum(run.waits) - takes * len(run.waits))


@pytest.mark.parametrize("step", [401, b"[]", b'{"success": false}', 302])
def test_what_cannot_pass_is_not_tried_again(step: Step) -> None:
    """One request; also as a second try."""
    policy = RetryPolicy(max_tries=5)
    assert len(fetch(step, policy=policy).transport.urls) == 1
    run = fetch(500, step, EXAMPLE, policy=policy)
    assert len(run.transport.urls) == 2
    assert isinstance(run.error, APIError)
    assert not run.error.retryable


@pytest.mark.parametrize("step", [500, 429, (503, "3"), cut(), 401])
def test_without_retries(step: Step) -> None:
    """``retry=None`` is one try: the error as it came, without delay."""
    run = fetch(step, EXAMPLE)
    assert len(run.transport.urls) == 1
    assert run.error
    assert run.took == 0
    assert run.stats == Stats()


def test_a_try_that_would_begin_after_max_time() -> None:
    """It is not made: the error is raised at once, not after the wait."""
    run = fetch(500, policy=RetryPolicy(max_tries=100, max_time=10, wait_initial=3, wait_max=3))
    assert len(run.transport.urls) in {3, 4}
    assert isinstance(run.error, InternalServerError)
    assert run.took == run.transport.starts[-1] - run.transport.starts[0] <= 10


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_never_cut_short(status: int) -> None:
    """Also where it is longer than ``wait_max``; and little more is waited."""
    run = fetch((status, "120"), EXAMPLE, policy=RetryPolicy(wait_initial=0.5, wait_max=1))
    assert run.page
    assert 120 <= run.waits[0] <= 120 * 1.02 + 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_that_does_not_fit(status: int) -> None:
    """Into ``max_time``: the error is raised at once, with the wait in it."""
    run = fetch((status, "3600"), EXAMPLE, policy=RetryPolicy(max_time=300))
    assert isinstance(run.error, RateLimitError if status == 429 else InternalServerError)
    assert run.error.retry_after == 3600
    assert run.took == 0


def test_what_is_raised_has_no_context() -> None:
    """Neither the tries before it, nor what aiohttp raised: that would hold the request's headers."""
    for script in ([500], [cut()], [500, cut(), 401], [429, 401], [500, b"{"]):
        for policy in (None, RetryPolicy(max_tries=3), RetryPolicy(max_tries=3, max_time=0)):
            run = fetch(*script, policy=policy)
            assert run.error
            assert run.error.__context__ is None
            assert run.error.__cause__ is None


def test_the_key_is_cut_out_of_an_error() -> None:
    """Whoever repeats it: the gateway in a body, aiohttp in a message."""
    for step in (
        APIConnectionError(f"bad {KEY}"),
        b'{"success": false, "error": {"message": "bad sk-secret"}}',
    ):
        run = fetch(step)
        assert run.error
        assert str(run.error).startswith("bad [API key]")
        assert KEY not in repr(run.error) + repr(vars(run.error))


def test_a_client_that_is_closed_meanwhile() -> None:
    """No further try is made."""

    def close(transport: ScriptedTransport) -> None:
        transport.closed = True

    run = fetch(500, policy=RetryPolicy(wait_initial=3), meanwhile=close)
    assert isinstance(run.error, ClientClosedError)
    assert len(run.transport.urls) == 1


def test_a_page_that_breaks_the_contract_at_first() -> None:
    """It is an error at once: a retry is for what may pass."""
    run = fetch(b"[]", EXAMPLE, policy=RetryPolicy())
    assert isinstance(run.error, APIResponseValidationError)
    run = fetch(401, EXAMPLE, policy=RetryPolicy())
    assert isinstance(run.error, AuthenticationError)
