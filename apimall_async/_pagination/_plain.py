"""Plain iteration: page after page upward, each requested only when it is needed."""

from typing import Any, Generic, TypeVar

from apimall_async._conversion import Page
from apimall_async._pagination._fetch import Fetch, check_page_number, with_items
from apimall_async._pagination._memory import Memory, Progress
from apimall_async._pagination._options import Options, Stats


P = TypeVar("P", bound=Page[Any])


class PlainIteration(Generic[P]):
    """Read until a page is short, by the limit that its response *echoes*, if that is less.

    A gateway that caps 50 to 20 is not at its end after page 1. A page of 20 begins elsewhere, so from there
    on 20 are requested, beginning with what was not read. No total is sent: n tasks take n // page_size + 1
    requests.
    """

    def __init__(self, fetch: Fetch[P], options: Options, stats: Stats) -> None:
        self._fetch = fetch
        self._stats = stats
        self._memory = Memory()
        self._progress = Progress()
        first = options.first_page()
        self._number, self._limit = first.page, first.limit
        self._read = 0  # the position up to which pages were read
        self._over = False

    async def next(self) -> P | None:
        """Return the next page that shows something new, with that alone; None at the end."""
        while not self._over:
            page = await self._fetch(self._number, self._limit)
            self._stats.pages += 1
            check_page_number(page, self._number)
            if fresh := self._take(page):
                return with_items(page, fresh)
        return None

    async def close(self) -> None:
        """Do nothing: between two pages nothing is under way."""

    def _take(self, page: P) -> tuple[Any, ...]:
        """Take the new items of one page, and settle what to read next."""
        fresh = self._memory.fresh(page.items)
        self._stats.duplicates += len(page.items) - len(fresh)
        if page.items:
            self._progress.note(page.items, fresh=bool(fresh))
        limit = self._limit = min(page.limit, self._limit)
        self._over = len(page.items) < limit
        begin, self._read = self._read, max(self._read, page.page * limit)
        self._number = max(page.page, begin // limit) + 1
        return fresh
