"""Clients against one rate limiter, in virtual time: nothing waits, and a seed decides all chance."""

import heapq
import itertools
import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from limiters import RETRY_AFTER, Limiter

from apimall_async._hints import Budget, Hint
from apimall_async._pace import Pace


LATENCY = 0.0015  # seconds, there and back


@attrs.define
class Client:
    """Some requests at a time, all of which pass one Pace, first come, first served."""

    pace: Any
    waiting: int
    budget: Budget = attrs.field(factory=lambda: Budget(60.0))
    in_flight: int = 0
    admitted: int = 0
    refused: int = 0
    broken: int = 0
    """Requests that started while the gateway was known to be closed."""
    wake: float = math.inf

    def delay(self, now: float) -> float:
        """Seconds until the next request may start."""
        return max(self.pace.delay(now), self.budget.delay(now))


@attrs.define
class Run:
    """Clients against one limiter, until they have so many responses or time is up."""

    limiter: Limiter
    retry_after: Callable[[float, float], float | None]
    clients: list[Client]
    rng: random.Random
    hints: Callable[[Any, float], Hint] | None = None
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    numbers: "itertools.count[int]" = attrs.field(factory=itertools.count)

    @property
    def admitted(self) -> int:
        """Responses that all of them got."""
        return sum(client.admitted for client in self.clients)

    @property
    def refused(self) -> float:
        """The share of requests that got a 429."""
        refusals = sum(client.refused for client in self.clients)
        return refusals / (refusals + self.admitted)

    @property
    def rate(self) -> float:
        """Responses a second."""
        return self.admitted / self.now

    @property
    def least_share(self) -> float:
        """What the least lucky client got of its fair share."""
        return min(client.admitted for client in self.clients) * len(self.clients) / self.admitted

    def until(self, over: Callable[[], bool]) -> None:
        """Run until it is over."""
        for client in self.clients:
            self._at(self.rng.random() * 0.02, partial(self._let_start, client))
        while not over():
            self.now, _, event = heapq.heappop(self.events)
            event()

    def _at(self, moment: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (moment, next(self.numbers), event))

    def _let_start(self, client: Client) -> None:
        """Start what may start; come back when more may."""
        client.wake = math.inf
        while client.waiting:
            delay = client.delay(self.now)
            if delay > 0:
                client.wake = self.now + delay + self.rng.random() * 0.0008  # no timer is exact
                self._at(client.wake, partial(self._wake, client, client.wake))
                return
            client.waiting -= 1
            client.broken += self.now < client.pace.closed_until
            client.pace.start(self.now)
            client.budget.start(self.now)
            client.in_flight += 1
            there = LATENCY * self.rng.uniform(0.3, 0.7)
            self._at(self.now + there, partial(self._arrive, client, self.now))

    def _wake(self, client: Client, due: float) -> None:
        """Go on, unless something else woke the client first."""
        if client.wake == due:
            self._let_start(client)

    def _arrive(self, client: Client, started: float) -> None:
        """The limiter sees a request."""
        wait = None
        admitted = self.limiter.admit(self.now)
        if not admitted:
            wait = self.retry_after(self.limiter.wait(self.now), self.limiter.seconds)
        back = LATENCY * self.rng.uniform(0.3, 0.7)
        hint = self.hints(self.limiter, self.now) if self.hints else None
        self._at(self.now + back, partial(self._respond, client, started, admitted, wait, hint))

    def _respond(
        self, client: Client, started: float, admitted: bool, wait: float | None, hint: Hint | None
    ) -> None:
        """The client sees the response, and has another request to send."""
        client.waiting += 1
        client.in_flight -= 1
        client.budget.note(self.now, started, hint, in_flight=client.in_flight, refused=not admitted)
        if admitted:
            client.admitted += 1
            client.pace.deliver(self.now, started)
        else:
            client.refused += 1
            wait = (wait or 0.0) * self.rng.uniform(1, 1.02)  # as the guard does
            client.pace.refuse(self.now, started, self.now + wait)
        self._let_start(client)


def run(
    limiter: Limiter,
    retry_after: str = "none",
    *,
    responses: float = math.inf,
    seconds: float = math.inf,
    clients: int = 1,
    seed: int = 0,
    hints: Callable[[Any, float], Hint] | None = None,
    make: Callable[[], Any] = lambda: Pace(wait_initial=0.5, wait_max=60),
) -> Run:
    """Run clients that keep 9 requests in flight each."""
    made = [Client(make(), 9) for _ in range(clients)]
    result = Run(limiter, RETRY_AFTER[retry_after], made, random.Random(seed), hints)
    result.until(lambda: result.now >= seconds or result.admitted >= responses)
    return result
