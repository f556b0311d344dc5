"""Plain iteration: page after page upward, each requested only when it is needed."""

import contextlib
from typing import Any, Generic, TypeVar

from apimall_async._conversion import Page
from apimall_async._errors import APIError, PaginationError
from apimall_async._page_ranges import PageRange, range_beyond
from apimall_async._pagination._fetch import Fetch, fetch_range, refused_past_end, with_items, wrong_page
from apimall_async._pagination._memory import Memory, Progress
from apimall_async._pagination._options import Options, Stats


P = TypeVar("P", bound=Page[Any])


class PlainIteration(Generic[P]):
    """Read until a page is short, by the limit that its response *echoes*, if that is less.

    A gateway that caps 50 to 20 is not at its end after page 1. A page of 20 begins elsewhere, so from there
    on 20 are requested, beginning with what was not read. No total is sent: n tasks take n // page_size + 1
    requests. Where a gateway refuses pages behind the last, or sends the last one again, it takes one more,
    and only if n is a multiple of page_size.
    """

    def __init__(self, fetch: Fetch[P], options: Options, stats: Stats) -> None:
        self._fetch = fetch
        self._stats = stats
        self._memory = Memory()
        self._progress = Progress()
        self._next = options.first_page()
        self._read = 0  # the position up to which pages were read
        self._last: tuple[Any, ...] = ()  # what the last page showed
        self._over = False

    @property
    def position(self) -> int:
        """The position in the list up to which pages were read."""
        return self._read

    async def next(self) -> P | None:
        """Return the next page that shows something new, with that alone; None at the end."""
        while not self._over:
            page = await self._read_next()
            self._stats.pages += 1
            if fresh := self._take(page):
                return with_items(page, fresh)
        return None

    async def close(self) -> None:
        """Read no further. Between two pages nothing is under way."""
        self._over = True

    async def _read_next(self) -> P:
        """Return the next page; or, if that is past the end, the one that shows the end."""
        requested = self._next
        try:
            page = await fetch_range(self._fetch, requested)
            if page.page < requested.page:  # the last page, with its own number
                raise wrong_page(page, requested)
        except APIError as error:
            past_end = refused_past_end(error) or isinstance(error, PaginationError)
            last = await self._find_end(requested) if past_end else None
            if last is None:
                raise
            return last
        return await self._find_end(requested) or page if self._repeats(page) else page

    def _repeats(self, page: P) -> bool:
        """Whether a page shows what the last one showed, as if it were another."""
        shown, last = page.items, self._last
        if not (shown and last) or shown[0].task_id != last[0].task_id:
            return False
        return [item.task_id for item in shown] == [item.task_id for item in last]

    async def _find_end(self, requested: PageRange) -> P | None:
        """Return a page that shows what the end of the list is, if one does.

        A passing 404 of a proxy, and a wrong ``base_url``, are not taken for the end.
        """
        if not self._read:
            return None if requested.page == 1 else await self._begin_past_end(requested)
        wanted = range_beyond(self._read - 1, self._next.limit)  # it shows the last item read
        with contextlib.suppress(APIError):
            page = await fetch_range(self._fetch, wanted)
            if page.page == wanted.page and 0 < len(page.items) < min(page.limit, wanted.limit):
                return page
        return None

    async def _begin_past_end(self, requested: PageRange) -> P | None:
        """Read the first page once more; the list ends before it if it is refused again and page 1 is not."""
        with contextlib.suppress(APIError):
            first = await fetch_range(self._fetch, PageRange(1, requested.limit))
            try:
                page = await fetch_range(self._fetch, requested)
                if page.page == requested.page:
                    return page
            except APIError as again:
                if not refused_past_end(again):
                    raise
            self._over = True
            return with_items(first, ())
        return None

    def _take(self, page: P) -> tuple[Any, ...]:
        """Take the new items of one page, and settle what to read next."""
        fresh = self._memory.fresh(page.items)
        self._stats.duplicates += len(page.items) - len(fresh)
        if page.items:
            self._progress.note(page.items, fresh=bool(fresh))
        self._last = page.items
        limit = min(page.limit, self._next.limit)
        self._over |= len(page.items) < limit
        begin, self._read = self._read, max(self._read, page.page * limit)
        self._next = PageRange(max(page.page, begin // limit) + 1, limit)
        return fresh
