"""The rule of the pace, against simulated limiters, on a clock that the tests own."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from functools import partial

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async._pace import Pace


LATENCY = 0.0015  # seconds, there and back


@attrs.define
class Bucket:
    """A token bucket, as nginx's limit_req with nodelay is one too."""

    rate: float
    burst: float
    retry_after: float | None = None
    tokens: float = attrs.field(init=False)
    filled: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.tokens = self.burst

    def admit(self, now: float) -> bool:
        """Take a token, if there is one."""
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@attrs.define
class FixedWindow:
    """So many requests a window; the next one begins with the first request after it."""

    requests: int
    seconds: float
    retry_after: float | None = None
    begun: float = -math.inf
    count: int = 0

    def admit(self, now: float) -> bool:
        """Count a request, if the window has room."""
        if now >= self.begun + self.seconds:
            self.begun, self.count = now, 0
        self.count += 1
        return self.count <= self.requests


class Client:
    """Some requests at a time, all of which pass one Pace, first come, first served."""

    def __init__(self, pace: Pace, at_a_time: int) -> None:
        self.pace = pace
        self.waiting = at_a_time
        self.admitted = 0
        self.refused = 0
        self.broken = 0  # requests that started while the gateway was known to be closed
        self.wake = math.inf


@attrs.define
class Run:
    """Clients against one limiter, until they have so many responses or time is up."""

    limiter: Bucket | FixedWindow
    clients: list[Client]
    rng: random.Random
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self.events, (moment, next(self.numbers), event))

    def until(self, over: Callable[[], bool]) -> None:
        """Run until it is over."""
        for client in self.clients:
            self.at(self.rng.random() * 0.02, partial(self.let_start, client))
        while not over():
            self.now, _, event = heapq.heappop(self.events)
            event()

    def let_start(self, client: Client) -> None:
        """Start what may start; come back when more may."""
        client.wake = math.inf
        while client.waiting:
            delay = client.pace.delay(self.now)
            if delay > 0:
                client.wake = self.now + delay + self.rng.random() * 0.0008  # no timer is exact
                self.at(client.wake, partial(self.wake, client, client.wake))
                return
            client.waiting -= 1
            client.broken += self.now < client.pace.closed_until
            client.pace.start(self.now)
            there = LATENCY * self.rng.uniform(0.3, 0.7)
            self.at(self.now + there, partial(self.arrive, client, self.now))

    def wake(self, client: Client, due: float) -> None:
        """Go on, unless something else woke the client first."""
        if client.wake == due:
            self.let_start(client)

    def arrive(self, client: Client, started: float) -> None:
        """The limiter sees a request."""
        admitted = self.limiter.admit(self.now)
        back = LATENCY * self.rng.uniform(0.3, 0.7)
        self.at(self.now + back, partial(self.respond, client, started, admitted))

    def respond(self, client: Client, started: float, admitted: bool) -> None:
        """The client sees the response, and has another request to send."""
        client.waiting += 1
        if admitted:
            client.admitted += 1
            client.pace.deliver(self.now)
        else:
            client.refused += 1
            client.pace.refuse(self.now, started, self.now + (self.limiter.retry_after or 0))
        self.let_start(client)


def run(
    limiter: Bucket | FixedWindow,
    *,
    responses: int = 10**9,
    seconds: float = math.inf,
    clients: int = 1,
    seed: int = 0,
) -> Run:
    """Run clients that keep 9 requests in flight each."""
    made = [Client(Pace(wait_initial=0.5, wait_max=60), 9) for _ in range(clients)]
    result = Run(limiter, made, random.Random(seed))
    result.until(lambda: result.now >= seconds or sum(c.admitted for c in made) >= responses)
    return result


def efficiency(result: Run, rate: float) -> float:
    """The share of the allowed rate that was used."""
    return sum(client.admitted for client in result.clients) / result.now / rate


def refused(result: Run) -> float:
    """The share of requests that got a 429."""
    refusals = sum(client.refused for client in result.clients)
    return refusals / (refusals + sum(client.admitted for client in result.clients))


@pytest.mark.parametrize("seed", range(5))
def test_a_limiter_without_retry_after(seed: int) -> None:
    """50 a second, burst 10, no Retry-After: over 490 requests at least 85 %, at most 3 % refused."""
    result = run(Bucket(50, 11), responses=490, seed=seed)
    assert efficiency(result, 50) >= 0.85
    assert refused(result) <= 0.03


@pytest.mark.parametrize("seed", range(5))
def test_a_limiter_with_retry_after(seed: int) -> None:
    """100 a second, burst 20, Retry-After 1: over 2 430 requests at least 85 %, at most 2 % refused."""
    result = run(Bucket(100, 20, retry_after=1), responses=2_430, seed=seed)
    assert efficiency(result, 100) >= 0.85
    assert refused(result) <= 0.02
    assert not result.clients[0].broken


@pytest.mark.parametrize("seed", range(5))
def test_four_processes_share_a_limit(seed: int) -> None:
    """60 a second among four: together 80 %, each at least half of its share, at most 5 % refused."""
    result = run(Bucket(60, 11), seconds=40, clients=4, seed=seed)
    assert efficiency(result, 60) >= 0.8
    assert refused(result) <= 0.05
    admitted = [client.admitted for client in result.clients]
    assert min(admitted) >= 0.5 * sum(admitted) / 4


@settings(max_examples=40)
@given(
    rate=st.floats(1, 500),
    burst=st.integers(1, 50),
    retry_after=st.sampled_from([None, 0.5, 1, 3]),
    seed=st.integers(0, 2**32),
)
def test_any_bucket(rate: float, burst: int, retry_after: float | None, seed: int) -> None:
    """Whatever the limit, a fair part of it is used, and nothing starts while the gateway is closed.

    Less where a bucket of one token has the Retry-After of six: each 429 costs what six requests would.
    """
    result = run(Bucket(rate, burst, retry_after), seconds=60, seed=seed)
    assert result.clients[0].admitted >= burst
    assert efficiency(result, rate) > (0.4 if retry_after is None else 0.1)
    assert not result.clients[0].broken


@given(st.integers(1, 50), st.sampled_from([1.0, 2.0, 10.0]), st.integers(0, 2**32))
def test_any_fixed_window(requests: int, seconds: float, seed: int) -> None:
    """Windows that open all at once are used as well."""
    result = run(FixedWindow(requests, seconds, retry_after=seconds), seconds=60, seed=seed)
    assert efficiency(result, requests / seconds) > 0.3
    assert not result.clients[0].broken


def test_no_limit_no_pace() -> None:
    """Until the first 429 nothing is held back."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    for moment in range(1_000):
        assert pace.delay(moment / 1e6) <= 0
        pace.start(moment / 1e6)
        pace.deliver(moment / 1e6)


def test_a_gateway_that_lets_nothing_through() -> None:
    """429 after 429: the waits double from ``wait_initial`` to ``wait_max``."""
    pace = Pace(wait_initial=0.5, wait_max=8)
    now, waits = 0.0, []
    for _ in range(8):
        pace.start(now)
        pace.refuse(now, started=now)
        waits.append(pace.delay(now))
        now += waits[-1]
    assert waits == pytest.approx([0.5, 0.5, 1, 2, 4, 8, 8, 8])


def test_refusals_of_the_past_are_no_news() -> None:
    """429s of requests sent before the last cut do not cut again."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    for moment in range(30):
        pace.deliver(moment / 1_000)
    pace.refuse(0.1, started=0.05)
    rate = pace.rate
    for _ in range(20):
        pace.refuse(0.11, started=0.09)
    assert pace.rate == rate == 30


def test_a_burst_that_took_long() -> None:
    """Where the limit was met slowly, burst and refill cannot be distinguished: what was delivered counts."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    for moment in range(100):
        pace.deliver(moment / 100)
    pace.refuse(1.0, started=0.99)
    assert pace.rate == 99
    for moment in range(100):
        pace.deliver(1 + moment / 100)
    pace.refuse(2.0, started=1.99)
    assert pace.rate == pytest.approx(97)


def test_a_client_that_sends_little_learns_nothing() -> None:
    """Only where the pace held requests back is it raised: not while idle, nor by a request now and then."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.deliver(0.0)
    pace.refuse(0.1, started=0.0)
    rate = pace.rate
    for moment in range(1, 3_600):
        pace.start(float(moment))
        pace.deliver(moment + 0.01)
    assert pace.rate == rate


def test_a_closing_without_a_429_opens_step_by_step() -> None:
    """After a 503 with Retry-After what waited does not start all at once; and the pace is soon gone."""
    pace = Pace(wait_initial=0.5, wait_max=60)
    pace.close(0.0, until=3.0)
    now, starts = 0.0, []
    while len(starts) < 1_000:
        now += max(0.0, pace.delay(now))
        starts.append(now)
        pace.start(now)
    assert starts[0] >= 3.0
    assert sum(start < 3.5 for start in starts) < 10
    assert starts[-1] < 10


@pytest.mark.parametrize(("rate", "burst"), [(1 / 6, 5), (0.5, 2), (1, 10), (5, 5)])
@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_slow_limits(rate: float, burst: int, retry_after: float | None) -> None:
    """A few requests a minute are found as well, and once found, most requests are let through."""
    result = run(Bucket(rate, burst, retry_after), seconds=600 / rate)
    assert efficiency(result, rate) > 0.85
    assert refused(result) < 0.25


def test_waits_of_zero_are_possible() -> None:
    """A policy without waits still leaves a millisecond between tries."""
    pace = Pace(wait_initial=0, wait_max=0)
    pace.refuse(0.0, started=0.0)
    assert 0 < pace.delay(0.0) <= 0.001
