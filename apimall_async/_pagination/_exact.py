"""Exact iteration: pages that overlap, each proven to carry on where the one before it ended."""

import asyncio
from collections import deque
from itertools import pairwise
from math import inf
from typing import Any, Generic, TypeVar

from apimall_async._conversion import Page
from apimall_async._errors import PaginationError
from apimall_async._page_ranges import PageRange, range_beyond
from apimall_async._pagination._fetch import Fetch, check_page_number, with_items
from apimall_async._pagination._memory import NumberedMemory, Progress
from apimall_async._pagination._options import Options, Stats


P = TypeVar("P", bound=Page[Any])

_SEARCH_LIMIT = 64  # pages in a row that prove nothing, before an exact iteration gives up


def _retrieve_exception(request: "asyncio.Task[P]") -> None:
    """Keep asyncio from logging an error that nobody saw, because nobody came to that page."""
    if not request.cancelled():
        request.exception()


class ExactIteration(Generic[P]):
    """Read pages that overlap, and hand out only what a known item proves to come next.

    If an item already handed out stands on a page, then, in a stable order, nothing that stood behind it was
    skipped, whatever was created or deleted between the two requests and in whatever order their responses
    came. So pages can be requested ahead, and are checked as they are consumed, in order.
    """

    def __init__(self, fetch: Fetch[P], options: Options, stats: Stats) -> None:
        self._fetch = fetch
        self._options = options
        self._stats = stats
        self._memory = NumberedMemory()
        self._progress = Progress()
        self._limit = options.page_size  # less once the gateway echoes less
        self._next = options.first_page()
        self._enough = inf if options.max_items is None else self._next.start + options.max_items
        self._ahead: deque[tuple[PageRange, asyncio.Task[P]]] = deque()
        self._depth = 0  # pages to prefetch by now; doubles while boundaries hold, as TCP's slow start
        self._end_in_sight = False  # a page further on was short: there is nothing to read beyond it
        self._misses = 0  # pages in a row that proved nothing
        self._searching_forward = False
        self._over = False

    async def next(self) -> P | None:
        """Return the next page that shows something new, with that alone; None at the end."""
        while not self._over:
            requested, page = await self._next_page()
            if fresh := await self._consume(requested, page):
                return with_items(page, fresh)
        return None

    async def close(self) -> None:
        """Cancel what was requested ahead."""
        await self._drop()

    async def _next_page(self) -> tuple[PageRange, P]:
        if not (self._ahead or self._depth):  # nothing to read ahead: no task is needed
            requested = self._advance()
            return requested, await self._read(requested)
        self._request(self._depth + 1)
        if self._ahead[0][1].done():
            await asyncio.sleep(0)  # awaiting a finished task would not let others have their turn
        page = await self._ahead[0][1]
        return self._ahead.popleft()[0], page

    def _advance(self) -> PageRange:
        """Return the next range to request, and move on to the one behind it."""
        requested = self._next
        self._next = range_beyond(requested.stop - 1, self._limit)
        return requested

    def _request(self, pages: int) -> None:
        """Have so many pages requested, but none beyond ``max_items`` or the end of the list."""
        while len(self._ahead) < pages:
            if self._ahead and (self._end_in_sight or self._ahead[-1][0].stop >= self._enough):
                return
            requested = self._advance()
            request = asyncio.create_task(self._read(requested))
            request.add_done_callback(_retrieve_exception)
            self._ahead.append((requested, request))

    async def _read(self, requested: PageRange) -> P:
        page = await self._fetch(requested.page, requested.limit)
        self._end_in_sight |= len(page.items) < min(page.limit, requested.limit)
        return page

    async def _drop(self) -> None:
        """Cancel what was requested ahead, and see it end."""
        requests = [request for _, request in self._ahead]
        self._ahead.clear()
        self._end_in_sight = False
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    async def _consume(self, requested: PageRange, page: P) -> tuple[Any, ...]:
        """Take the new items of one page, and settle what to read next."""
        self._stats.pages += 1
        check_page_number(page, requested.page)
        served = PageRange(page.page, min(page.limit, requested.limit))
        if served.limit < requested.limit:  # capped: what is requested ahead begins elsewhere than planned
            await self._drop()
            self._limit = served.limit
            last = max(0, served.start + len(page.items) - 1)
            self._next = range_beyond(last, self._limit)
        fresh = self._proven(page.items)
        short = len(page.items) < served.limit
        if fresh is None:
            await self._drop()
            self._step_back(served, short=short, empty=not page.items)
            return ()
        self._stats.duplicates += len(page.items) - len(fresh)
        self._misses = 0
        self._over = short
        if page.items:
            self._memory.remember(fresh)
            self._progress.note(page.items, fresh=bool(fresh))
        if not short:
            self._depth = min(self._options.read_ahead, 2 * self._depth or 1)
            self._request(self._depth)
        return fresh

    def _proven(self, shown: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return the items behind the last known one.

        None where nothing is proven: no item is known, or the known ones stand in another order.
        """
        if self._memory.empty:
            return shown
        known = self._memory.known(shown)
        if not known or any(later <= number for (_, number), (_, later) in pairwise(known)):
            return None
        return shown[known[-1][0] + 1 :]

    def _step_back(self, served: PageRange, *, short: bool, empty: bool) -> None:
        """Look for a known item: further back each time, from the newest on forward.

        Deletions pulled the known items back. Only where more items were created than the iteration had read
        do they stand further on, and then the first page of the list shows none of them.
        """
        if not self._misses:
            self._stats.boundaries_repaired += 1
            self._searching_forward = False
        self._depth = 0
        self._misses += 1
        self._searching_forward |= served.start == 0
        if empty and served.start == 0:  # all is deleted: nothing is left that was not handed out
            self._over = True
        elif self._misses > _SEARCH_LIMIT or (short and self._searching_forward):
            raise PaginationError("the list changed too fast: no page shows where the iteration had been")
        elif self._searching_forward:
            self._next = range_beyond(served.stop, self._limit)
        else:
            back = (self._limit + 1) // 2 << (self._misses - 1)
            self._next = range_beyond(max(0, served.start - back), self._limit)
