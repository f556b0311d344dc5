"""The rule of the pace, against the laws of real limiters, on a clock that the tests own."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limited import run
from limiters import HINTS, LAWS, RETRY_AFTER, Bucket, Clock, Limiter, Window, ideal

from apimall_async._hints import Hint
from apimall_async._pace import Pace


LIMITS = [(100, 5.0), (60, 10.0), (30, 60.0)]

# A refusal costs as long as it takes to guess that it is over: nobody tells, and each guess makes it longer.
UNTOLD = {("blocking", "none"): 5.0, ("punishing", "none"): 1.75}
# The window may open soon, but the client is told to wait as long as a whole one.
MISLED = {("clock", "whole"): 1.9}

seeds = st.integers(0, 2**32)


def make(law: str, requests: int, seconds: float, seed: int) -> Limiter:
    """Make a limiter; windows of the clock begin at any moment."""
    limiter = LAWS[law](requests, seconds)
    if isinstance(limiter, Clock):
        limiter.phase = random.Random(seed).random() * seconds
    return limiter


@pytest.mark.parametrize(("requests", "seconds"), LIMITS)
@pytest.mark.parametrize("retry_after", RETRY_AFTER)
@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=3)
@given(seed=seeds)
def test_any_limiter_is_used(law: str, retry_after: str, requests: int, seconds: float, seed: int) -> None:
    """485 requests take at most 1.5 times what the best client needs; none starts while told to wait."""
    best = max(ideal(make(law, requests, seconds, seed), 485), (485 - requests) * seconds / requests)
    result = run(make(law, requests, seconds, seed), retry_after, responses=485, seed=seed)
    assert result.now <= best * (UNTOLD | MISLED).get((law, retry_after), 1.5)
    assert not result.clients[0].broken


@pytest.mark.parametrize(("requests", "seconds"), LIMITS[:2])
@pytest.mark.parametrize("retry_after", ["exact", "up", "whole"])
@pytest.mark.parametrize("law", LAWS)
def test_four_clients_share_any_limiter(law: str, retry_after: str, requests: int, seconds: float) -> None:
    """Each has 0.3 of its fair share after a minute, though one had the first window alone."""
    shares = [
        run(make(law, requests, seconds, seed), retry_after, seconds=60, clients=4, seed=seed).least_share
        for seed in range(3)
    ]
    assert sorted(shares)[1] > 0.3


@pytest.mark.parametrize(("requests", "seconds"), [*LIMITS, (1_000, 60.0)])
@pytest.mark.parametrize("rounded", ["exact", "up", "epoch up"])
@pytest.mark.parametrize("law", ["window", "clock", "blocking", "punishing"])
def test_hints_spare_the_refusals(law: str, rounded: str, requests: int, seconds: float) -> None:
    """With hints in every response nothing is refused, and windows are used whole."""
    limiter = make(law, requests, seconds, 1)
    result = run(limiter, "up", seconds=12 * seconds, hints=hints_of(rounded), seed=1)
    assert result.refused == 0
    assert result.admitted >= 0.92 * 12 * requests


def hints_of(rounded: str) -> Callable[[Any, float], Hint]:
    """Make what a window's responses tell."""

    def hint(limiter: Window, now: float) -> Hint:
        left, seconds = limiter.left(now)
        return Hint(left, HINTS[rounded](seconds, now))

    return hint


def test_hints_rounded_down() -> None:
    """They let the client come back too early, by one request for each window, and no more."""
    result = run(Window(100, 5.0), "up", seconds=60, hints=hints_of("down"))
    assert result.refused < 0.01
    assert result.admitted >= 0.9 * 1_200


@pytest.mark.parametrize(
    "false", [Hint(0, 1_000), Hint(0, 80), Hint(1_000, 60)], ids=["never", "late", "always more"]
)
def test_false_hints_are_given_up(false: Hint) -> None:
    """Hints against which the gateway lets requests through, or refuses them, hold back no more."""
    result = run(Bucket(20, 1.0), "up", seconds=400, hints=lambda _limiter, _now: false)
    assert result.admitted >= 0.7 * 20 * (400 - 61)


@pytest.mark.parametrize("seed", range(5))
def test_a_limiter_without_retry_after(seed: int) -> None:
    """50 a second, burst 11, no Retry-After: over 490 requests at least 85 %, at most 3 % refused."""
    result = run(Bucket(50, 1.0, 11), responses=490, seed=seed)
    assert result.rate >= 0.85 * 50
    assert result.refused <= 0.03


@pytest.mark.parametrize("seed", range(5))
def test_a_limiter_with_retry_after(seed: int) -> None:
    """100 a second, burst 20, Retry-After 1: over 2 430 requests at least 85 %, at most 2 % refused."""
    result = run(Bucket(100, 1.0, 20), "whole", responses=2_430, seed=seed)
    assert result.rate >= 0.85 * 100
    assert result.refused <= 0.02
    assert not result.clients[0].broken


@pytest.mark.parametrize("burst", [2, 5, 20, 50])
def test_a_drought_of_milliseconds(burst: int) -> None:
    """A Retry-After of some milliseconds is obeyed, and tells little: the pace is found as well."""
    result = run(Bucket(200, 1.0, burst), "exact", seconds=60, seed=1)
    assert result.rate >= 0.8 * 200


@pytest.mark.parametrize("seed", range(5))
def test_four_processes_share_a_limit(seed: int) -> None:
    """60 a second among four: together 80 %, each at least half of its share, at most 5 % refused."""
    result = run(Bucket(60, 1.0, 11), seconds=40, clients=4, seed=seed)
    assert result.rate >= 0.8 * 60
    assert result.refused <= 0.05
    assert result.least_share >= 0.5


@settings(max_examples=25)
@given(
    rate=st.floats(1, 200),
    burst=st.integers(1, 50),
    retry_after=st.sampled_from(list(RETRY_AFTER)),
    seed=seeds,
)
def test_any_bucket(rate: float, burst: int, retry_after: str, seed: int) -> None:
    """Whatever the limit, a fair part of it is used, and nothing starts while the gateway is closed.

    Less where a bucket of one token has the Retry-After of six: each 429 costs what six requests would.
    """
    result = run(Bucket(rate, 1.0, burst), retry_after, seconds=60, seed=seed)
    assert result.clients[0].admitted >= burst
    assert result.rate > (0.1 if retry_after in {"whole", "up"} else 0.4) * rate
    assert not result.clients[0].broken


@pytest.mark.parametrize(("rate", "burst"), [(1 / 6, 5), (0.5, 2), (1, 10), (5, 5)])
@pytest.mark.parametrize("retry_after", ["none", "whole"])
def test_slow_limits(rate: float, burst: int, retry_after: str) -> None:
    """A few requests a minute are found as well, and once found, most requests are let through."""
    result = run(Bucket(rate, 1.0, burst), retry_after, seconds=600 / rate)
    assert result.rate > 0.85 * rate
    assert result.refused < 0.25


def test_no_limit_no_pace() -> None:
    """Until the first 429 nothing is held back."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    for moment in range(1_000):
        assert pace.delay(moment / 1e6) <= 0
        pace.start(moment / 1e6)
        pace.deliver(moment / 1e6, moment / 1e6)


def test_one_request_at_a_time_finds_out() -> None:
    """While the gateway refuses, a second request waits for the response to the first."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.start(0.0)
    pace.refuse(0.1, started=0.0, until=1.0)
    pace.start(1.0)
    assert pace.delay(1.0) > 0
    assert pace.delay(30.0) > 0
    pace.deliver(30.1, started=1.0)
    pace.start(34.0)
    assert pace.delay(38.0) <= 0


def test_a_request_that_got_no_response_finds_out_nothing() -> None:
    """Another one may, after the wait."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.start(0.0)
    pace.refuse(0.1, started=0.0, until=1.0)
    pace.start(1.0)
    pace.lose(1.2, started=1.0)
    assert pace.delay(1.2) == pytest.approx(0.5)


def test_a_gateway_that_lets_nothing_through() -> None:
    """429 after 429: the waits grow from ``wait_initial`` to ``wait_max``."""
    pace = Pace(wait_initial=0.5, wait_max=2)
    now, waits = 0.0, []
    for _ in range(8):
        pace.start(now)
        pace.refuse(now, started=now)
        waits.append(pace.delay(now))
        now += waits[-1]
    assert waits == pytest.approx([0.5, 0.5, 0.7, 0.98, 1.372, 1.9208, 2, 2])


def test_refusals_of_the_past_are_no_news() -> None:
    """429s of requests sent before the gateway opened again do not slow down again."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.start(0.0)
    pace.refuse(0.1, started=0.0, until=1.0)
    pace.start(1.0)
    pace.deliver(1.1, started=1.0)
    delay = pace.delay(1.2)
    pace.refuse(1.2, started=0.5)
    assert pace.delay(1.2) == delay


def test_a_client_that_sends_little_learns_nothing() -> None:
    """Only where the pace held requests back is it raised: not while idle, nor by a request now and then."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.start(0.0)
    pace.refuse(0.1, started=0.0)
    pace.start(0.6)
    pace.deliver(0.7, started=0.6)
    rate = pace.rate
    for moment in range(2, 3_600):
        pace.start(float(moment))
        pace.deliver(moment + 0.01, started=float(moment))
    assert pace.rate == rate


@pytest.mark.parametrize("idle", [0, 600])
def test_idle_time_does_not_count(idle: float) -> None:
    """What was let through before and after a pause is no lower rate than without it."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    now = 0.0

    def send(*, refused: bool) -> None:
        nonlocal now
        now = max(now, now + pace.delay(now))
        pace.start(now)
        pace.refuse(now, now) if refused else pace.deliver(now, now)

    for response in [*[0] * 50, 1, *[0] * 30, 1, *[0] * 30]:
        send(refused=bool(response))
    now += idle
    for response in [*[0] * 30, 1, 0]:
        send(refused=bool(response))
    assert pace.rate > 20


def test_a_closing_without_a_429_opens_step_by_step() -> None:
    """After a 503 with Retry-After what waited does not start all at once; and the pace is soon gone."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.start(-0.1)
    pace.close(0.0, started=-0.1, until=3.0)
    now, starts = 0.0, []
    while len(starts) < 1_000:
        now += max(0.0, pace.delay(now))
        starts.append(now)
        pace.start(now)
        pace.deliver(now, now)
    assert starts[0] >= 3.0
    assert sum(start < 3.5 for start in starts) < 12
    assert starts[-1] < 10


def test_a_closing_leaves_the_pace() -> None:
    """A 503 with Retry-After tells nothing of the limit that was found, nor does a second one."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.start(0.0)
    pace.refuse(0.1, started=0.0, until=1.0)
    pace.start(1.0)
    pace.deliver(1.0, started=1.0)
    rate = pace.rate
    pace.close(2.0, started=1.5, until=3.0)
    pace.close(2.0, started=1.6, until=3.1)
    assert pace.delay(2.0) == pytest.approx(1.1)
    pace.start(3.1)
    pace.deliver(3.1, started=3.1)
    assert pace.rate == rate


def test_waits_of_zero_are_possible() -> None:
    """A policy without waits still leaves a millisecond between tries."""
    pace = Pace(wait_initial=0, wait_max=0)
    pace.start(0.0)
    pace.refuse(0.0, started=0.0)
    assert 0 < pace.delay(0.0) <= 0.001
