"""What the calls of a client wait for: each until its own end, and all of them until the client is closed."""

import asyncio
import math
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from apimall_async._loops import PerLoop


T = TypeVar("T")


class Waits:
    """Runs what may wait for long, so that it can be ended."""

    def __init__(self) -> None:
        self._timeouts: PerLoop[set[asyncio.Timeout]] = PerLoop()
        self._ended = False

    async def run(self, work: Coroutine[Any, Any, T], end: float) -> T:
        """Await ``work`` until ``end``, a moment of ``time.monotonic``'s clock; infinity is never.

        Raises:
            TimeoutError: it took longer, or ``end_all`` was called.

        """
        loop = asyncio.get_running_loop()
        timeouts = self._timeouts.find()
        if timeouts is None:
            timeouts = self._timeouts.put(set())
        when = None if end == math.inf else loop.time() + end - time.monotonic()
        async with asyncio.timeout_at(when) as timeout:
            timeouts.add(timeout)
            if self._ended:  # by another thread, which may not have seen this one
                timeout.reschedule(loop.time())
            try:
                return await work
            finally:
                timeouts.remove(timeout)

    def end_all(self) -> None:
        """End all that is awaited, at once, in whatever thread its loop runs; and what will be."""
        self._ended = True
        for loop, timeouts in self._timeouts.items():
            with suppress(RuntimeError):  # that loop is closed: nothing waits in it any more
                loop.call_soon_threadsafe(_end, timeouts, loop)


def _end(timeouts: set[asyncio.Timeout], loop: asyncio.AbstractEventLoop) -> None:
    for timeout in timeouts:
        if not timeout.expired():
            timeout.reschedule(loop.time())
