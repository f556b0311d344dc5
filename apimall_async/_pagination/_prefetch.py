"""Pages requested ahead of the reader, concurrently."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any, cast
from weakref import WeakMethod, ref

from apimall_async._page_ranges import PageRange
from apimall_async._pagination._fetch import PageReader


_KEPT = 4  # times as many pages under way, or there already, as requests under way
_KEPT_BYTES = 16 * 2**20  # … but no more than fit in here, if all were as large as the largest
_GRACE = 1.0  # seconds for the responses of requests that are not needed any more


class Prefetch:
    """A queue of pages under way, or there already, in the order in which they are read.

    A slow one keeps the reader waiting, not those behind it: the pages that are there are kept, within
    bounds. Its requests do not hold it: where it is dropped unclosed, they are cancelled.
    """

    def __init__(self, reader: PageReader, read_ahead: int, refill: Callable[[], None]) -> None:
        """Call ``refill``, a method that is not kept alive, whenever a request got its page."""
        self._reader = reader
        self._read_ahead = read_ahead
        self.depth = 0
        """Requests to have under way by now, besides one for the page that the reader waits for."""
        self._first_depth = read_ahead
        self._refill = WeakMethod(refill)
        self._queue: deque[tuple[PageRange, asyncio.Task[Any]]] = deque()
        self._dropped: set[asyncio.Task[Any]] = set()
        self._in_flight: set[asyncio.Task[Any]] = set()  # also those that were dropped
        self._short: dict[asyncio.Task[Any], Any] = {}  # pages that hold less than they might

    def __len__(self) -> int:
        return len(self._queue)

    def __del__(self) -> None:
        for request in self._in_flight:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                request.get_loop().call_soon_threadsafe(request.cancel)

    @property
    def first_range(self) -> PageRange:
        """The range of the first one."""
        return self._queue[0][0]

    @property
    def furthest(self) -> PageRange:
        """The range of the last one."""
        return self._queue[-1][0]

    def request(self, wanted: PageRange) -> None:
        """Request one more."""
        request = asyncio.create_task(self._reader.read(wanted))
        request.add_done_callback(partial(_end, ref(self), wanted))
        self._queue.append((wanted, request))
        self._in_flight.add(request)

    def end(self, wanted: PageRange, request: "asyncio.Task[Any]", page: Any) -> None:
        """Take note that a request has ended, with a page or without."""
        self._in_flight.remove(request)
        if request in self._dropped:
            self._dropped.remove(request)
            return
        if page is None:
            return
        if len(page.items) < min(page.limit, wanted.limit):
            self._short[request] = page
        if refill := self._refill():
            refill()

    @property
    def has_room(self) -> bool:
        """Whether one more may be requested."""
        waiting = not (self._queue and self._queue[0][1].done())
        kept = min(_KEPT * self.depth + 1, _KEPT_BYTES // max(1, self._reader.largest))
        return not self._queue or (len(self._in_flight) < self.depth + waiting and len(self._queue) < kept)

    def deepen(self, *, fresh: bool, may_be_last: bool) -> None:
        """Have more requests under way as pages fit together: as many as may be at first, doubling later."""
        deeper = (2 * self.depth or self._first_depth) if fresh else 1
        self.depth = 0 if may_be_last else min(self._read_ahead, deeper)

    async def first(self) -> tuple[PageRange, Any]:
        """Return the first page once it is there; it stays in the queue, also if this is cancelled."""
        wanted, request = self._queue[0]
        if request.done():
            await asyncio.sleep(0)  # awaiting a finished task would not let others have their turn
        else:
            await asyncio.wait((request,))
        return wanted, request.result()

    def short_pages(self) -> list[Any]:
        """Return the pages that are there and hold less than they might."""
        return list(self._short.values())

    def pop(self) -> None:
        """Take the first page from the queue."""
        self._take()

    def _take(self) -> "asyncio.Task[Any]":
        _, request = self._queue.popleft()
        self._short.pop(request, None)
        return request

    def begin_again(self) -> None:
        """Call back all of them, and be careful: what was planned does not hold."""
        self.drop()
        self.depth, self._first_depth = 0, 1

    def drop(self, up_to: float = inf) -> None:
        """Call back those that end before a position, up to the first one that does not.

        One that is sent gets its response, if that comes soon: a request that is cancelled costs its
        connection, and is an error to whoever traces requests. Nobody waits for it here.
        """
        dropped: list[asyncio.Task[Any]] = []
        while self._queue and self._queue[0][0].stop <= up_to:
            dropped.append(self._take())
        sent = self._reader.tasks_under_way() if dropped else ()
        for request in dropped:
            if request not in self._in_flight:
                continue
            self._dropped.add(request)
            if request in sent:
                _cancel_later(request)
            else:
                request.cancel()

    async def close(self) -> None:
        """Call back all of them, and see them end; at once, if the task that waits here is cancelled."""
        self.drop()
        task = cast("asyncio.Task[object]", asyncio.current_task())
        try:
            if self._dropped and not task.cancelling():
                await asyncio.wait(self._dropped)
        finally:
            for request in self._dropped:
                request.cancel()
            await asyncio.gather(*self._dropped, return_exceptions=True)


def _end(prefetch: "ref[Prefetch]", wanted: PageRange, request: "asyncio.Task[Any]") -> None:
    failed = request.cancelled() or request.exception()  # looked at, lest asyncio logs that nobody did
    if (one := prefetch()) is not None:
        one.end(wanted, request, None if failed else request.result())


def _cancel_later(request: "asyncio.Task[Any]") -> None:
    timer = request.get_loop().call_later(_GRACE, request.cancel)
    request.add_done_callback(lambda _: timer.cancel())
