"""RetryPolicy, and the guard that every request of a client passes: one 429 quiets all of them."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Generator
from typing import Any, cast

import attrs

from apimall_async._errors import APIError, APIStatusError, RateLimitError
from apimall_async._pace import Pace


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

    A wait that the gateway asks for with ``Retry-After`` is never cut short: one that does not fit
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
    """Seconds between two tries at most, unless ``Retry-After`` asks for more."""


class Guard:
    """Holds back the requests of one client while the gateway says stop, and at the pace it allows."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._pace = Pace(wait_initial=policy.wait_initial, wait_max=policy.wait_max)
        self._queue = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def closed(self) -> bool:
        """Whether the gateway has said stop, for now."""
        return self._closed_for() > 0

    def _closed_for(self) -> float:
        return self._pace.closed_until - time.monotonic()

    async def admit(self) -> float:
        """Wait until a request may start, first come, first served; return the moment it starts.

        Raises:
            RateLimitError: the gateway asked for more quiet than ``max_time`` allows.

        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a lock belongs to one loop; a client may serve several in turn
            self._loop, self._queue = loop, asyncio.Lock()
        if self._queue.locked() or self._pace.delay(time.monotonic()) > 0:
            async with self._queue:
                while (delay := self._pace.delay(time.monotonic())) > 0:
                    self._check_patience()
                    await asyncio.sleep(delay)
        now = time.monotonic()
        self._pace.start(now)
        return now

    def _check_patience(self) -> None:
        if (closed_for := self._closed_for()) > self._policy.max_time:
            raise RateLimitError(
                "the gateway asked for quiet, no request was sent", status=429, retry_after=closed_for
            )

    def refuse(self, started: float) -> None:
        """Take note of a 429 to the request that started at ``started``."""
        self._pace.refuse(time.monotonic(), started)

    def deliver(self) -> None:
        """Take note of any other answer."""
        self._pace.deliver(time.monotonic())

    def close(self, seconds: float | None) -> None:
        """Let no request start for so long, and a little more, lest all processes start at once."""
        if seconds:
            self._pace.close(time.monotonic() + seconds * random.uniform(1, 1.02))  # noqa: S311

    def waits(self) -> Generator[float, Any, None]:
        """Tell ``backoff`` how long to wait after each error; raise it where another try is in vain.

        Made for one request, when it begins. A 429 has closed the guard, and waits there.
        """
        policy = self._policy
        deadline = time.monotonic() + policy.max_time
        wait = policy.wait_initial
        error: APIError = yield 0.0  # backoff starts the generator before there is an error
        while True:
            pause = min(wait, policy.wait_max) * random.uniform(1, 1.25)  # noqa: S311
            told = error.retry_after if isinstance(error, APIStatusError) else None
            needed = max(told or 0.0, self._closed_for())
            if isinstance(error, RateLimitError):
                pause = 0.0
            else:
                wait *= 2
            if time.monotonic() + max(pause, needed) > deadline:
                raise error
            error = yield pause
