"""Pages requested ahead of the reader, concurrently."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from apimall_async._page_ranges import PageRange


def _retrieve_exception(request: "asyncio.Task[Any]") -> None:
    """Keep asyncio from logging an error that nobody saw, because nobody came to that page."""
    if not request.cancelled():
        request.exception()


class Prefetch:
    """A queue of pages under way, in the order in which they are read."""

    def __init__(self, read: Callable[[PageRange], Coroutine[Any, Any, Any]]) -> None:
        self._read = read
        self._queue: deque[tuple[PageRange, asyncio.Task[Any]]] = deque()
        self._dropped: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._queue)

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
        request = asyncio.create_task(self._read(wanted))
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
        """Cancel those that end before a position, up to the first one that does not."""
        while self._queue and self._queue[0][0].stop <= up_to:
            _, request = self._queue.popleft()
            request.cancel()
            self._dropped.add(request)
            request.add_done_callback(self._dropped.discard)

    async def close(self) -> None:
        """Cancel all of them, and see them end."""
        self.drop()
        await asyncio.gather(*self._dropped, return_exceptions=True)
