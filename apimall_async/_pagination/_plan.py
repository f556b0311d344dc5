"""Which page to request next: by the positions in the list, as far as they are known."""

from collections.abc import Sequence
from typing import Any

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._page_ranges import PageRange, range_beyond, range_from, range_over


class Plan:
    """Where the items stand that the iteration knows, and the ranges that overlap them.

    Positions move while the list changes. So a plan is a guess; what a page proves is seen on the page.
    """

    def __init__(self, first: PageRange, page_size: int) -> None:
        self._size = page_size  # less once the gateway echoes less
        self.largest = MAX_PAGE_SIZE
        """Items that a page may hold where those of ``page_size`` cannot overlap enough."""
        self.anchor = first.start
        """The position of the last item whose time differs from that of the last one."""
        self.end = first.start
        """The position behind the last item."""
        self._last = first.start  # the position of the last item, if no rows are hidden
        self._overlap = 1  # how far before the end of an unseen page the one behind it begins

    @property
    def enough(self) -> int:
        """How many positions behind the last item have to show nothing, to be the end of the list."""
        return self.largest // 2

    def cap(self, limit: int) -> None:
        """Take note that the gateway sends no more items than this on a page."""
        self._size, self.largest = min(self._size, limit), limit

    def move(self, served: PageRange, items: Sequence[Any]) -> None:
        """Take note of where a page stands that shows the last items."""
        self.end = served.stop
        self._last = served.start + len(items) - 1
        equals = trailing_equals(items)
        if equals < len(items):
            self.anchor = served.start + len(items) - equals - 1
        elif served.start == 0:
            self.anchor = 0

    def note_overlap(self) -> None:
        """Let unseen pages overlap as far as this boundary needed, within reason."""
        self._overlap = max(self._overlap, min(self.end - 1 - self.anchor, self._size // 4))

    def can_show_anchor(self) -> bool:
        """Whether a page can show the anchor and an item behind the last one."""
        return range_over(self.anchor, self._last, self._size, self.largest) is not None

    def bridge(self) -> PageRange | None:
        """Choose the page that shows the anchor and what is behind the last item; None if there is none."""
        return range_over(self.anchor, self.end - 1, self._size, self.largest)

    def link(self) -> PageRange | None:
        """Choose the page that shows what is behind a short page, and most of what may be before that.

        Where rows are hidden, the last items stand further on than the anchor was counted to be.
        """
        firsts = range(max(self.anchor, self.end - self.enough), self.end)
        pages = (range_over(first, self.end - 1, self.largest, self.largest) for first in firsts)
        return next(filter(None, pages), None)

    def next(self) -> PageRange:
        """Choose the page behind the last item, with the anchor if that can be."""
        return self.bridge() or range_beyond(self.end - 1, self._size)

    def following(self, unseen: PageRange) -> PageRange:
        """Choose the page behind one that was not seen yet."""
        last = unseen.stop - 1
        overlapping = range_over(max(0, last - self._overlap), last, self._size, self.largest)
        return overlapping or range_beyond(last, self._size)

    def look_behind(self, served: PageRange, *, with_anchor: bool) -> PageRange:
        """Choose a page that shows whether anything is behind a page; with the anchor if that can be."""
        both = None
        if with_anchor:
            both = range_over(self.anchor, self.end + self.enough - 1, self.largest, self.largest)
        return both or range_beyond(served.stop - 1, self.largest)

    def look_behind_nothing(self, served: PageRange) -> PageRange:
        """Choose a page that shows whether anything is behind a page that shows nothing.

        Where nothing is known, it must not show what stands before the first page.
        """
        if served.start == 0 and served.limit < self.largest:
            return PageRange(1, self.largest)
        return range_from(served.stop, self.largest)

    def search(self, served: PageRange, misses: int, *, forward: bool) -> PageRange:
        """Choose the page to look for a known item on: behind this one, or half a page before it.

        Each miss doubles how far it is before it.
        """
        if forward:
            return range_beyond(served.stop, self.largest)
        back = (self.largest + 1) // 2 << (misses - 1)
        return range_beyond(max(0, served.start - back), self.largest)


def trailing_equals(items: Sequence[Any]) -> int:
    """Count the items at the end of a page that share the time of the last one."""
    for count, item in enumerate(reversed(items)):
        if item.created_at != items[-1].created_at:
            return count
    return len(items)
