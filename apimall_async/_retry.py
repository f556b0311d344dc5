"""RetryPolicy, and what it means for one request: whether it is tried again, and after how long."""

import math
import random
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import attrs

from apimall_async._errors import APIConnectionError, APIError, RateLimitError


_MAX_SECONDS = 1e9


def _tries(_: object, __: object, value: object) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"RetryPolicy max_tries must be an integer, 1 or more, not {value!r}")


def _in_range(value: float, *, endless: bool) -> bool:
    return 0 <= value <= _MAX_SECONDS or (endless and value == math.inf)


def _seconds(*, endless: bool = False) -> Callable[[object, "attrs.Attribute[float]", object], None]:
    def check(_: object, attribute: "attrs.Attribute[float]", value: object) -> None:
        if type(value) in {int, float} and _in_range(cast("float", value), endless=endless):
            return
        raise ValueError(f"RetryPolicy {attribute.name} must be a number of seconds, not {value!r}")

    return check


@attrs.frozen
class RetryPolicy:
    """How long one request is tried. 429, 5xx, connection faults and timeouts are tried again.

    A wait that the gateway requires with ``Retry-After`` is never cut short: one that does not fit
    into what is left of ``max_time`` is raised at once, with ``retry_after`` set.

    Raises:
        ValueError: a value that is out of range, by its name.

    """

    max_tries: int = attrs.field(default=8, validator=_tries)
    """Requests sent at most, 1 or more. Those that a 429 refused do not count: ``max_time`` bounds them."""
    max_time: float = attrs.field(default=300.0, validator=_seconds(endless=True))
    """Seconds from the call to its end, all waits and tries included. With 0 there is one try, which only
    ``timeout`` limits, and no wait before it."""
    wait_initial: float = attrs.field(default=0.5, validator=_seconds())
    """Seconds before the second try; doubled for each further one, and up to a quarter more by chance."""
    wait_max: float = attrs.field(default=60.0, validator=_seconds())
    """Seconds between two tries at most, unless ``Retry-After`` requires more."""


@attrs.frozen
class RetryPlan:
    """A policy, and what it leaves open."""

    policy: RetryPolicy
    once: bool = False
    """Whether there is one try, whatever comes of it."""
    unreachable: float = math.inf
    """Seconds after which a call gives up that has never had a connection."""

    @property
    def max_time(self) -> float:
        """Seconds after which a call is ended, whatever it does then."""
        return math.inf if self.once else self.policy.max_time or math.inf


_UNREACHABLE = 10.0

DEFAULT_CALL = RetryPlan(RetryPolicy(max_time=20.0), unreachable=_UNREACHABLE)
"""For somebody who waits for one page."""
DEFAULT_ITERATION = RetryPlan(RetryPolicy(), unreachable=_UNREACHABLE)
"""For each page of an iteration."""


@attrs.define(eq=False)
class Tries:
    """The tries of one call."""

    plan: RetryPlan
    reached: bool
    """Whether the gateway was reached before: in this call, or in the iteration that it is part of."""
    began: float
    """When the call did."""
    number: int = 1
    """Of the try under way; 429s do not count."""

    @property
    def deadline(self) -> float:
        """The moment after which nothing may start any more."""
        return self.began + self.plan.policy.max_time

    @property
    def end(self) -> float:
        """The moment at which the call is ended, whatever it does then."""
        return self.began + self.plan.max_time

    @property
    def connect_seconds(self) -> float:
        """The seconds that are left to connect."""
        left = self.plan.unreachable
        return left if self.reached else self.began + left - time.monotonic()

    def waits(self, delay: Callable[[], float]) -> Generator[float, Any, None]:
        """Give ``backoff`` the wait after each error; raise it where another try is in vain.

        A 429 has slowed the guard, and waits there for ``delay()`` seconds. So does a 503, and its own wait
        beside that: not every one is a limit.
        """
        policy = self.plan.policy
        wait = policy.wait_initial
        error: APIError = yield 0.0  # backoff starts the generator before there is an error
        while True:
            pause = 0.0
            if not isinstance(error, RateLimitError):
                if self.number == policy.max_tries:
                    raise error
                self.number += 1
                pause = min(wait, policy.wait_max) * random.uniform(1, 1.25)  # noqa: S311
                wait *= 2
            if time.monotonic() + max(pause, delay()) > self._last_start(error):
                raise error
            error = yield pause

    def _last_start(self, error: APIError) -> float:
        """Return the moment after which another try is in vain."""
        self.reached |= not isinstance(error, APIConnectionError) or error.connected
        reachable = math.inf if self.reached else self.began + self.plan.unreachable
        return min(self.deadline, reachable)
