"""RetryPolicy, and the rate-limit guard that every request of a client passes: one 429 holds all back."""

import asyncio
import math
import random
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import attrs

from apimall_async._errors import APIError, RateLimitError
from apimall_async._loops import PerLoop
from apimall_async._pace import Pace
from apimall_async._protocol import Headers, parse_retry_after


_MAX_SECONDS = 1e9
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500  # and above


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
    """Requests sent at most, 1 or more."""
    max_time: float = attrs.field(default=300.0, validator=_seconds(endless=True))
    """Seconds from the call to the start of the last try, waits at the guard included."""
    wait_initial: float = attrs.field(default=0.5, validator=_seconds())
    """Seconds before the second try; doubled for each further one, and up to a quarter more by chance."""
    wait_max: float = attrs.field(default=60.0, validator=_seconds())
    """Seconds between two tries at most, unless ``Retry-After`` requires more."""


class Guard:
    """Holds the requests of one client back while the gateway says stop, and to the pace it allows."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._pace = Pace(wait_initial=policy.wait_initial, wait_max=policy.wait_max)
        self._mutex = threading.Lock()  # threads share the pace; each waits in the queue of its loop
        self._queues: PerLoop[asyncio.Lock] = PerLoop()

    def deadline(self) -> float:
        """The moment after which a request that is wanted now may not start any more."""
        return time.monotonic() + self._policy.max_time

    def holds_back(self) -> bool:
        """Whether a request must be admitted before it may start."""
        queue = self._queues.find()
        return (queue is not None and queue.locked()) or self._delay() > 0

    async def admit(self, deadline: float) -> None:
        """Wait until a request may start, first come, first served.

        Raises:
            RateLimitError: that will be after ``deadline``.

        """
        async with self._queues.find() or self._queues.put(asyncio.Lock()):
            while (delay := self._delay()) > 0:
                if time.monotonic() + delay > deadline:
                    raise RateLimitError(
                        "held back for longer than max_time allows, no request was sent",
                        status=_TOO_MANY_REQUESTS,
                        retry_after=delay,
                    )
                await asyncio.sleep(delay)

    def start(self) -> float | None:
        """Let a request start, and return the moment; or None if it must be admitted again."""
        with self._mutex:
            now = time.monotonic()
            if self._pace.delay(now) > 0:
                return None
            self._pace.start(now)
            return now

    def note(self, started: float, status: int, headers: Headers) -> None:
        """Take note of a response to the request that started at ``started``."""
        with self._mutex:
            self._note(started, status, headers)

    def _note(self, started: float, status: int, headers: Headers) -> None:
        now = time.monotonic()
        if status < _SERVER_ERROR and status != _TOO_MANY_REQUESTS:
            self._pace.deliver(now)
            return
        # A little more than required, lest all processes start at once.
        wait = (parse_retry_after(headers) or 0.0) * random.uniform(1, 1.02)  # noqa: S311
        if status == _TOO_MANY_REQUESTS:
            self._pace.refuse(now, started, now + wait)
        elif wait:
            self._pace.close(now, now + wait)

    def waits(self, deadline: float) -> Generator[float, Any, None]:
        """Give ``backoff`` the wait after each error of one request; raise it where another try is in vain.

        A 429 has slowed the guard, and waits there.
        """
        wait = self._policy.wait_initial
        error: APIError = yield 0.0  # backoff starts the generator before there is an error
        while True:
            pause = 0.0
            if not isinstance(error, RateLimitError):
                pause = min(wait, self._policy.wait_max) * random.uniform(1, 1.25)  # noqa: S311
                wait *= 2
            if time.monotonic() + max(pause, self._delay()) > deadline:
                raise error
            error = yield pause

    def _delay(self) -> float:
        return self._pace.delay(time.monotonic())
