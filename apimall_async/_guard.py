"""The rate-limit guard that every request of a client passes: one 429 holds all back."""

import asyncio
import random
import threading
import time
from contextlib import suppress

import attrs

from apimall_async._errors import RateLimitError
from apimall_async._hints import Budget, parse_hint
from apimall_async._log import log_pause
from apimall_async._loops import PerLoop
from apimall_async._pace import Pace
from apimall_async._protocol import Headers, parse_retry_after
from apimall_async._retry import RetryPolicy


_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503
_SERVER_ERROR = 500  # and above
_NEWS = 0.01  # seconds by which a pause must be longer than the one before, to be a record of its own
_LONG = 1.0  # … after a response that was no refusal: what the pace holds back from day to day is none


@attrs.frozen(eq=False)
class _Queue:
    """Those who wait in one event loop, one behind the other."""

    turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    news: asyncio.Event = attrs.field(factory=asyncio.Event)
    """That the first one may not have to wait any more."""


class Guard:
    """Holds the requests of one client back while the gateway says stop, and to the pace it allows."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._pace = Pace(wait_initial=policy.wait_initial, wait_max=policy.wait_max)
        self._budget = Budget(policy.wait_max)
        self._in_flight = 0
        self._mutex = threading.Lock()  # threads share the pace; each waits in the queue of its loop
        self._queues: PerLoop[_Queue] = PerLoop()

    def holds_back(self) -> bool:
        """Whether a request must be admitted before it may start."""
        queue = self._queues.find()
        return (queue is not None and queue.turn.locked()) or self.delay() > 0

    async def admit(self, deadline: float) -> None:
        """Wait until a request may start, first come, first served.

        Raises:
            RateLimitError: that will be after ``deadline``.

        """
        self._check(deadline)  # before others in the queue, which may wait for longer
        queue = self._queues.find() or self._queues.put(_Queue())
        async with queue.turn:
            while (delay := self.delay()) > 0:
                self._check(deadline)
                queue.news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await queue.news.wait()

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
            if self._delay(now) > 0:
                return None
            self._pace.start(now)
            self._budget.start(now)
            self._in_flight += 1
            return now

    def end(self, started: float) -> None:
        """Take note that the request that started at ``started`` has ended, with a response or without."""
        with self._mutex:
            now = time.monotonic()
            self._in_flight -= 1
            self._pace.lose(now, started)
            self._budget.lose(now, started)
        self._wake()

    def note(self, started: float, status: int, headers: Headers) -> None:
        """Take note of a response to the request that started at ``started``."""
        with self._mutex:
            now = time.monotonic()
            before = max(0.0, self._delay(now))
            refused = self._note_status(now, started, status, headers)
            hint = parse_hint(headers)
            self._budget.note(now, started, hint, in_flight=self._in_flight - 1, refused=refused)
            delay = self._delay(now)
        self._wake()
        # The mutex is free by now: what handles the record may take its time.
        if delay > before + (_NEWS if status >= _TOO_MANY_REQUESTS else _LONG):
            log_pause(status, delay)

    def _note_status(self, now: float, started: float, status: int, headers: Headers) -> bool:
        """Take note of what a response says of the pace, and return whether it is a refusal."""
        # A little more than required, lest all processes start at once.
        wait = (parse_retry_after(headers) or 0.0) * random.uniform(1, 1.02)  # noqa: S311
        refused = status == _TOO_MANY_REQUESTS or (status == _UNAVAILABLE and not wait)
        if refused:
            self._pace.refuse(now, started, now + wait)
        elif status < _SERVER_ERROR:
            self._pace.deliver(now, started)
        elif wait:
            self._pace.close(now, started, now + wait)
        return refused

    def _wake(self) -> None:
        """Let those who wait look again, in whatever thread: a response may end a wait before its time."""
        for loop, queue in self._queues.items():
            if queue.turn.locked():
                with suppress(RuntimeError):  # that loop is closed: nothing waits in it any more
                    loop.call_soon_threadsafe(queue.news.set)

    def delay(self) -> float:
        """Seconds until the next request may start; 0 or less: it may."""
        with self._mutex:
            return self._delay(time.monotonic())

    def _delay(self, now: float) -> float:
        return max(self._pace.delay(now), self._budget.delay(now))
