"""Where an item stands in a list that iteration is to continue behind."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count, pairwise
from typing import Any

from apimall_async._errors import PaginationError
from apimall_async._page_ranges import PageRange, range_beyond
from apimall_async._pagination._boundary import Boundary
from apimall_async._pagination._fetch import PageReader
from apimall_async._pagination._memory import Memory, Progress
from apimall_async._pagination._options import Known


Found = tuple[PageRange, Any]


async def find_page(
    reader: PageReader, boundary: Boundary, after: Sequence[Known], start: PageRange
) -> Found:
    """Return a page that shows the last of the items ``after``, and its range; the boundary is set up for it.

    Tried are the range ``start``; then, by ``created_at``, those that lead to the item if the list is in its
    order; and then all pages from the first on. Where the last item is not found, any of them will do.

    Raises:
        PaginationError: no page shows one.

    """
    search = _Search(reader, boundary, start.limit)
    found = await search.read(start)
    if not found and after[-1].created_at:
        found = await search.by_time(after[-1].created_at, start.page)
    found = found or search.other or await search.all()
    if not found:
        raise PaginationError(f"no page shows the task that after= names: {after[-1].task_id}")
    requested, page = found
    if requested.start and boundary.shows_known(page.items[:1]) and not boundary.shows_known(page.items[1:]):
        # What stands before it says whether other items share its time.
        found = await search.read(range_beyond(requested.start - 1, start.limit)) or found
    boundary.continue_behind(after, found[1].items)
    return found


class _Search:
    """Looks at pages for one that shows the last known item."""

    def __init__(self, reader: PageReader, boundary: Boundary, limit: int) -> None:
        self._reader = reader
        self._boundary = boundary
        self._limit = limit
        self._shown: tuple[Any, ...] = ()
        self.other: Found | None = None
        """The last page that showed another known item."""

    async def read(self, wanted: PageRange) -> Found | None:
        """Read a page; return it if it shows the item."""
        page = await self._reader.read(wanted)
        self._shown = page.items
        self._limit = min(self._limit, page.limit)
        served = PageRange(wanted.page, min(wanted.limit, page.limit))
        if self._boundary.shows_latest(page.items):
            return (served, page)
        if self._boundary.shows_known(page.items):
            self.other = (served, page)
        return None

    async def by_time(self, time: datetime, number: int) -> Found | None:
        """Look where the item is if the list is in the order of ``created_at``: each page closer to it."""
        low, high, step = 0, 0, 1  # it is behind page ``low``, and before page ``high`` if that is known
        while not high or high - low > 1:
            if found := await self.read(PageRange(number, self._limit)):
                return found
            match _side(self._shown, time):
                case -1:
                    high = number
                case 1:
                    low = number
                case _:
                    return None
            if low and high:
                number = (low + high) // 2
            else:
                number = low + step if low else max(1, high - step)
                step *= 2
        return None

    async def all(self) -> Found | None:
        """Look at all pages."""
        memory, progress, numbers = Memory(), Progress(), count(1)
        while not (found := await self.read(PageRange(next(numbers), self._limit))):
            if not self._shown or (self.other and not self._boundary.shows_known(self._shown)):
                return self.other
            progress.note(self._shown, fresh=bool(memory.fresh(self._shown)))
        return found


def _side(shown: Sequence[Any], time: datetime) -> int:
    """Tell where an item of a time stands that a page does not show: -1 before it, 1 behind it, 0 unclear."""
    if not shown:
        return -1
    times = [item.created_at for item in shown]
    newest_first = all(one >= other for one, other in pairwise(times))
    if not newest_first and any(one > other for one, other in pairwise(times)):
        return 0
    first, last = (times[0], times[-1]) if newest_first else (times[-1], times[0])
    side = -1 if time > first else 1 if time < last else 0
    return side if newest_first else -side
