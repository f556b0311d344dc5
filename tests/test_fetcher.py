"""One page, tried again: how often, after which waits, and which error is raised in the end. No network."""

import asyncio
import logging
import math
import re
from collections.abc import Callable
from itertools import pairwise

import aiohttp
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
    APITimeoutError,
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
from apimall_async._retry import DEFAULT_CALL, DEFAULT_ITERATION, RetryPlan
from apimall_async._timeouts import Limits
from apimall_async._transport import Gate, Response
from apimall_async._waits import Waits


KEY = "sk-secret"
TIMEOUT = aiohttp.ClientTimeout(30)
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
    limits: list[Limits] = attrs.field(factory=list[Limits])
    starts: list[float] = attrs.field(factory=list[float])
    closed: bool = False
    waits: Waits = attrs.field(factory=Waits)

    def is_ready(self) -> bool:
        """Say that no request has to wait for a connection."""
        return True

    def close(self) -> None:
        """End what waits."""
        self.closed = True
        self.waits.end_all()

    def check_open(self) -> None:
        """Raise ClientClosedError once it is closed."""
        if self.closed:
            raise ClientClosedError("closed")

    async def get(self, url: URL, gate: Gate, limits: Limits) -> Response | None:
        """Do what the script says."""
        started = gate.start()
        if started is None:
            return None
        self.urls.append(url)
        self.starts.append(self.loop.time())
        self.limits.append(limits)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        try:
            return await self._respond(step, gate, limits, started)
        finally:
            gate.end(started)

    async def _respond(self, step: Step, gate: Gate, limits: Limits, started: float) -> Response:
        if self.takes > limits.seconds:
            await asyncio.sleep(limits.seconds)
            raise APITimeoutError(f"no whole response within {limits.seconds:g} seconds")
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
    policy: RetryPolicy | RetryPlan | None = None,
    takes: float = 0.0,
    pages: int = 0,
    meanwhile: Callable[[ScriptedTransport], None] = lambda _: None,
) -> Run:
    """Fetch page 3 of 20, after so many others; without a policy it is tried once.

    ``meanwhile`` happens after a second.
    """
    plan = policy if isinstance(policy, RetryPlan) else RetryPlan(policy or RetryPolicy(), once=not policy)

    async def main(loop: OwnClockLoop) -> Run:
        transport = ScriptedTransport(loop, list(script), takes)
        guard = Guard(plan.policy)
        fetcher = Fetcher(base, transport, guard, Redactor(KEY), TIMEOUT, plan)  # type: ignore[arg-type]
        run, began = Run(transport, Stats(pages)), loop.time()
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


@pytest.mark.parametrize("script", [[500], [(429, "100")], [503], [cut()]])
def test_closing_ends_what_waits_at_once(script: list[Step]) -> None:
    """At the guard, or for a retry: with ClientClosedError, not when the wait is over."""
    run = fetch(*script, policy=RetryPolicy(wait_initial=30), meanwhile=ScriptedTransport.close)
    assert isinstance(run.error, ClientClosedError)
    assert run.error.__context__ is None
    assert run.took == pytest.approx(1)


PASSING: dict[str, list[Step]] = {
    "500": [500],
    "503": [503],
    "429": [429],
    "429 with a wait": [(429, "7")],
    "HTML": [b"<html>"],
    "cut": [APIConnectionError("cut")],
    "all of them": [500, 429, b"", 503, (429, "3"), APIConnectionError("cut")] * 50,
}


@pytest.mark.parametrize("takes", [0, 3, 1000])
@pytest.mark.parametrize("script", PASSING.values(), ids=PASSING.keys())
def test_a_call_gives_up_in_time(script: list[Step], takes: float) -> None:
    """By default after 20 seconds, and 300 for a page of an iteration; a try under way is ended, too."""
    call = fetch(*script, policy=DEFAULT_CALL, takes=takes)
    assert isinstance(call.error, APIError)
    assert call.took <= 20
    page = fetch(*script, policy=DEFAULT_ITERATION, takes=takes)
    assert isinstance(page.error, APIError)
    assert call.took < page.took <= 300


@pytest.mark.parametrize("max_time", [1.0, 5.0, 299.5])
def test_max_time_ends_a_try_under_way(max_time: float) -> None:
    """The first one, or a later one, at that moment: then the error is that of the last try that ended."""
    policy = RetryPolicy(max_tries=99, max_time=max_time, wait_initial=0.01)
    first = fetch(EXAMPLE, policy=policy, takes=1000)
    second = fetch(500, cut(), 500, policy=policy, takes=max_time / 1.5)
    assert isinstance(first.error, APITimeoutError)
    assert isinstance(second.error, InternalServerError if max_time < 30 else APITimeoutError)
    for run in (first, second):
        assert run.error
        assert run.took == pytest.approx(max_time) or max_time > TIMEOUT.total  # type: ignore[operator]
        assert run.took <= max_time + 1e-6
        assert run.error.__context__ is None


def test_no_time_is_one_try() -> None:
    """``max_time=0`` tries once, for ``timeout`` seconds."""
    policy = RetryPolicy(max_time=0)
    assert fetch(EXAMPLE, policy=policy, takes=20).page
    for step in (500, 429, (503, "1"), cut()):
        run = fetch(step, EXAMPLE, policy=policy)
        assert len(run.transport.urls) == 1
        assert isinstance(run.error, APIError)


@pytest.mark.parametrize("refusal", [429, (429, "2")])
def test_429s_do_not_count(refusal: Step) -> None:
    """Neither among themselves, nor among other errors: those have their tries all the same."""
    policy = RetryPolicy(max_tries=3, max_time=10_000)
    assert fetch(*[refusal] * 30, EXAMPLE, policy=policy).page
    assert fetch(refusal, 500, *[refusal] * 9, 500, refusal, EXAMPLE, policy=policy).page
    run = fetch(refusal, 500, *[refusal] * 9, 500, refusal, 500, EXAMPLE, policy=policy)
    assert isinstance(run.error, InternalServerError)


def unconnected() -> APIConnectionError:
    """Make the error of a host that cannot be reached."""
    error = APIConnectionError("cannot connect")
    error.connected = False
    return error


@pytest.mark.parametrize("takes", [0.0, 0.2, 1.0])
def test_a_host_that_cannot_be_reached(takes: float) -> None:
    """It is given up within 10 seconds, and there is no time to connect beyond them."""
    for plan in (DEFAULT_CALL, DEFAULT_ITERATION):
        run = fetch(unconnected(), policy=plan, takes=takes)
        assert run.error
        assert 3 < run.took <= 10 + takes
        for start, limits in zip(run.transport.starts, run.transport.limits, strict=True):
            assert start - run.transport.starts[0] + (limits.phases.connect or math.inf) <= 10.01


def test_a_host_that_was_reached_before() -> None:
    """In this call, or by a page before it: it may come back. So it may where a policy says for how long."""
    runs = [
        fetch(unconnected(), policy=DEFAULT_ITERATION, pages=1),
        fetch(500, unconnected(), policy=DEFAULT_ITERATION),
        fetch(unconnected(), policy=RetryPolicy()),
    ]
    for run in runs:
        assert len(run.transport.urls) == 8
        assert 60 < run.took < 300
    assert fetch(500, unconnected(), policy=DEFAULT_CALL).took > 10


def test_a_503_slows_all_requests() -> None:
    """Not only its own is held back; and it is a try, as it may be no limit."""

    async def main(loop: OwnClockLoop) -> tuple[float, int]:
        transport = ScriptedTransport(loop, [503, EXAMPLE])
        guard = Guard(RetryPolicy())
        fetcher = Fetcher(BASE, transport, guard, Redactor(KEY), TIMEOUT, DEFAULT_CALL)  # type: ignore[arg-type]
        first = asyncio.create_task(fetcher.reader(IMAGE_HISTORY, Stats())(1, 20))
        await asyncio.sleep(0.01)
        await fetcher.reader(IMAGE_HISTORY, Stats())(2, 20)
        await first
        return transport.starts[1] - transport.starts[0], len(transport.urls)

    gap, requests = own_clock.run(main)
    assert gap >= 0.4
    assert requests == 3
    assert len(fetch(503, policy=RetryPolicy(max_tries=4)).transport.urls) == 4


def test_closing_ends_a_request_that_another_thread_overtook() -> None:
    """If a 429 came elsewhere between the look at the guard and the start, it waits as others do."""

    async def main(loop: OwnClockLoop) -> tuple[object, float]:
        began = loop.time()
        transport = ScriptedTransport(loop, [EXAMPLE])
        guard = Guard(RetryPolicy())
        guard.holds_back = iter([False, True]).__next__  # type: ignore[method-assign]
        guard.note(loop.time(), 429, CIMultiDict({"Retry-After": "15"}))
        fetcher = Fetcher(BASE, transport, guard, Redactor(KEY), TIMEOUT, DEFAULT_CALL)  # type: ignore[arg-type]
        call = asyncio.create_task(fetcher.reader(IMAGE_HISTORY, Stats())(1, 20))
        await asyncio.sleep(1)
        transport.close()
        (end,) = await asyncio.gather(call, return_exceptions=True)
        return end, loop.time() - began

    end, took = own_clock.run(main)
    assert isinstance(end, ClientClosedError)
    assert took < 2


class OneASecond:
    """A pace that never changes."""

    def __init__(self) -> None:
        self._next = 0.0

    def delay(self, now: float) -> float:
        """Seconds until the next request may start."""
        return self._next - now

    def start(self, now: float) -> None:
        """Let one start."""
        self._next = now + 1

    def deliver(self, now: float, started: float) -> None:
        """Learn nothing."""

    def lose(self, now: float, started: float) -> None:
        """Learn nothing."""


def test_a_queue_at_the_guard_is_told_in_time() -> None:
    """Of many requests that wait at a slow pace, each ends within its own time, also behind others."""

    async def main(loop: OwnClockLoop) -> list[tuple[object, float]]:
        transport = ScriptedTransport(loop, [EXAMPLE])
        guard = Guard(RetryPolicy())
        guard._pace = OneASecond()  # type: ignore[assignment]
        fetcher = Fetcher(BASE, transport, guard, Redactor(KEY), TIMEOUT, RetryPlan(RetryPolicy(max_time=5)))  # type: ignore[arg-type]

        async def call(page: int) -> tuple[object, float]:
            began = loop.time()
            try:
                result: object = await fetcher.reader(IMAGE_HISTORY, Stats())(page, 20)
            except RateLimitError as error:
                result = error
            return result, loop.time() - began

        return await asyncio.gather(*(call(page) for page in range(1, 30)))

    ends = own_clock.run(main)
    assert all(took <= 5 + 1e-6 for _, took in ends)
    late = [result for result, _ in ends if isinstance(result, RateLimitError)]
    assert len(late) in {len(ends) - 5, len(ends) - 6}
    assert all("held back for longer than max_time allows" in str(error) for error in late)


def test_the_records_of_a_retry(caplog: pytest.LogCaptureFixture) -> None:
    """Each has the facts as fields; the text names the cause. A pause of all is a record of its own."""
    caplog.set_level(logging.DEBUG, "apimall_async")
    steps = [502, (429, "3"), unconnected(), cut(), b"<p>", APITimeoutError("slow"), 599, EXAMPLE]
    assert fetch(*steps, policy=RetryPolicy()).page
    texts = [re.sub(r"in \S+ s", "in N s", record.getMessage()) for record in caplog.records]
    assert texts == [
        "retry 2 of 8 in N s: bad gateway (502)",
        "rate limited (429), next request in N s",
        "retry in N s: rate limited (429)",
        "retry 3 of 8 in N s: no connection",
        "retry 4 of 8 in N s: connection lost",
        "retry 5 of 8 in N s: no JSON",
        "retry 6 of 8 in N s: no response in time",
        "retry 7 of 8 in N s: status 599",
    ]
    retry, pause, refused = (vars(record) for record in caplog.records[:3])
    assert (retry["attempt"], retry["max_tries"], retry["status"], retry["page"]) == (2, 8, 502, 3)
    assert retry["request_id"] == "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R"
    assert 0.5 <= retry["wait"] <= 0.625
    assert "status=502" in retry["error"]
    assert pause["status"] == 429
    assert 3 <= pause["wait"] <= 3.06
    assert refused["status"] == 429
    assert 3 <= refused["wait"] <= 3.06
    assert (pause["levelname"], refused["levelname"]) == ("INFO", "DEBUG")


def test_a_page_that_breaks_the_contract_at_first() -> None:
    """It is an error at once: a retry is for what may pass."""
    run = fetch(b"[]", EXAMPLE, policy=RetryPolicy())
    assert isinstance(run.error, APIResponseValidationError)
    run = fetch(401, EXAMPLE, policy=RetryPolicy())
    assert isinstance(run.error, AuthenticationError)
