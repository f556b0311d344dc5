"""The rate-limit guard that every request of a client passes: one 429 holds all back."""

import asyncio
import random
import threading
import time

from apimall_async._errors import RateLimitError
from apimall_async._log import log_pause
from apimall_async._loops import PerLoop
from apimall_async._pace import Pace
from apimall_async._protocol import Headers, parse_retry_after
from apimall_async._retry import RetryPolicy


_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503
_SERVER_ERROR = 500  # and above
_NEWS = 0.01  # seconds by which a pause must be longer than the one before, to be a record of its own


class Guard:
    """Holds the requests of one client back while the gateway says stop, and to the pace it allows."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._pace = Pace(wait_initial=policy.wait_initial, wait_max=policy.wait_max)
        self._mutex = threading.Lock()  # threads share the pace; each waits in the queue of its loop
        self._queues: PerLoop[asyncio.Lock] = PerLoop()

    def holds_back(self) -> bool:
        """Whether a request must be admitted before it may start."""
        queue = self._queues.find()
        return (queue is not None and queue.locked()) or self.delay() > 0

    async def admit(self, deadline: float) -> None:
        """Wait until a request may start, first come, first served.

        Raises:
            RateLimitError: that will be after ``deadline``.

        """
        self._check(deadline)  # before others in the queue, which may wait for longer
        async with self._queues.find() or self._queues.put(asyncio.Lock()):
            while (delay := self.delay()) > 0:
                self._check(deadline)
                await asyncio.sleep(delay)

    def _check(self, deadline: float) -> None:
        delay = self.delay()
        if delay > 0 and time.monotonic() + delay > deadline:
            raise self.held_back()

    def held_back(self) -> RateLimitError:
        """Make the error of a request that waited here in vain."""
        return RateLimitError(
            "held back for longer than max_time allows, no request was sent",
            status=_TOO_MANY_REQUESTS,
            retry_after=max(0.0, self.delay()),
        )

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
            now = time.monotonic()
            if status < _SERVER_ERROR and status != _TOO_MANY_REQUESTS:
                self._pace.deliver(now)
                return
            before = max(0.0, self._pace.delay(now))
            self._slow_down(now, started, status, headers)
            delay = self._pace.delay(now)
        if delay > before + _NEWS:  # the mutex is free by now: what handles the record may take its time
            log_pause(status, delay)

    def _slow_down(self, now: float, started: float, status: int, headers: Headers) -> None:
        # A little more than required, lest all processes start at once.
        wait = (parse_retry_after(headers) or 0.0) * random.uniform(1, 1.02)  # noqa: S311
        if status == _TOO_MANY_REQUESTS or (status == _UNAVAILABLE and not wait):
            self._pace.refuse(now, started, now + wait)
        elif wait:
            self._pace.close(now, now + wait)

    def delay(self) -> float:
        """Seconds until the next request may start; 0 or less: it may."""
        return self._pace.delay(time.monotonic())
