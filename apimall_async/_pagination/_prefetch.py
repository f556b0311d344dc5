"""Pages requested ahead of the reader, concurrently."""

import asyncio
import contextlib
from collections import deque
from math import inf
from typing import Any, cast

from apimall_async._page_ranges import PageRange
from apimall_async._pagination._fetch import PageReader


_GRACE = 1.0  # seconds for the responses of requests that are not needed any more


def _retrieve_exception(request: "asyncio.Task[Any]") -> None:
    """Keep asyncio from logging an error that nobody saw, because nobody came to that page."""
    if not request.cancelled():
        request.exception()


class Prefetch:
    """A queue of pages under way, in the order in which they are read.

    Its requests do not hold it: where it is dropped unclosed, they are cancelled.
    """

    def __init__(self, reader: PageReader) -> None:
        self._reader = reader
        self._queue: deque[tuple[PageRange, asyncio.Task[Any]]] = deque()
        self._dropped: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._queue)

    def __del__(self) -> None:
        for request in (*self._dropped, *(request for _, request in self._queue)):
            if not request.done():
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
        request.add_done_callback(_retrieve_exception)
        self._queue.append((wanted, request))

    async def first(self) -> tuple[PageRange, Any]:
        """Return the first page once it is there; it stays in the queue, also if this is cancelled."""
        wanted, request = self._queue[0]
        if request.done():
            await asyncio.sleep(0)  # awaiting a finished task would not let others have their turn
        else:
            await asyncio.wait((request,))
        return wanted, request.result()

    def arrived(self) -> list[tuple[PageRange, Any]]:
        """Return the pages that are there already."""
        return [
            (wanted, request.result())
            for wanted, request in self._queue
            if request.done() and not request.cancelled() and not request.exception()
        ]

    def pop(self) -> None:
        """Take the first page from the queue."""
        self._queue.popleft()

    def drop(self, up_to: float = inf) -> None:
        """Call back those that end before a position, up to the first one that does not.

        One that is sent gets its response, if that comes soon: a request that is cancelled costs its
        connection, and is an error to whoever traces requests. Nobody waits for it here.
        """
        dropped: list[asyncio.Task[Any]] = []
        while self._queue and self._queue[0][0].stop <= up_to:
            dropped.append(self._queue.popleft()[1])
        sent = self._reader.tasks_under_way() if dropped else ()
        for request in dropped:
            self._dropped.add(request)
            request.add_done_callback(self._dropped.discard)
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


def _cancel_later(request: "asyncio.Task[Any]") -> None:
    timer = request.get_loop().call_later(_GRACE, request.cancel)
    request.add_done_callback(lambda _: timer.cancel())
