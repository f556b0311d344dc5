"""The end of a list, as far as it can be seen."""

from typing import Any

import attrs

from apimall_async._page_ranges import PageRange
from apimall_async._pagination._plan import trailing_equals


Items = tuple[Any, ...]


@attrs.define
class End:
    """What was seen behind the last page that showed something new.

    A page may be short because the list ends, or because rows of it are hidden. So a number of positions
    behind it have to show nothing new. The page that shows this has to show the last items, too: else a
    deletion may have moved an item out of its range, just before. Where no page can do both, the last items
    are looked at once more afterwards; unless three quarters of a full page are empty.
    """

    page: PageRange | None = None
    """The last page."""
    items: Items = ()
    """What it shows."""
    enough: int = 0
    """How many positions behind it have to show nothing new."""
    looked_to: int = 0
    """The position up to which nothing new is behind it."""
    unlinked: PageRange | None = None
    """A page behind it that shows something new, and no known item."""

    @property
    def near(self) -> bool:
        """Whether the page may be the last one of the list, or was seen to be by a page behind it."""
        return self.page is not None and (self.short or self.looked_to > self.page.stop)

    @property
    def short(self) -> bool:
        """Whether the page shows less than it might."""
        return self.page is not None and len(self.items) < self.page.limit

    @property
    def seen(self) -> bool:
        """Whether enough positions behind it were looked at."""
        return self.page is not None and self.looked_to >= self.page.stop + self.enough

    @property
    def almost_empty(self) -> bool:
        """Whether so much of the page is empty that the list rather ends than has so many hidden rows."""
        return self.page is not None and 2 * (self.page.limit - len(self.items)) >= 3 * self.enough

    def has_room(self, served: PageRange, shown: Items) -> bool:
        """Whether another page may be empty behind the last one; if not, the list has moved."""
        behind = served.stop - max(served.start, self.page.stop if self.page else 0)
        return served.limit - len(shown) >= min(behind, self.enough)

    def look(self, served: PageRange) -> None:
        """Take it that a page shows nothing new."""
        if self.borders_on(served):
            self.looked_to = served.stop

    def forget(self) -> None:
        """Look at what is behind the page anew."""
        self.looked_to = self.page.stop if self.page else 0

    def borders_on(self, served: PageRange) -> bool:
        """Whether another page shows what is right behind the positions looked at."""
        return served.start <= self.looked_to < served.stop

    def ends_like(self, shown: Items) -> bool:
        """Whether another page ends with the same items, in whatever order those of one time are."""
        if not (self.items and shown):
            return self.page is not None and not shown
        return self.ends_with(shown[-1]) and self._last() <= {item.task_id for item in shown}

    def ends_with(self, item: Any) -> bool:
        """Whether an item is the last one, or one of the same time right before it."""
        return item.task_id in self._last()

    def is_repeated_by(self, served: PageRange, shown: Items) -> bool:
        """Whether another page is the last page again, as some gateways send it for those past the end."""
        if self.page in (None, served) or not (shown and self.items):
            return False
        if served.start > self.page.start and [item.task_id for item in shown] == [
            item.task_id for item in self.items
        ]:
            return True
        shared = self.page.stop - served.start  # positions of both pages
        behind = served.start >= self.page.start + len(self.items)
        if not behind or len(shown) <= shared:
            return False
        # A full page may be one in the middle of a group: all known, in the order of its range.
        return self.ends_with(shown[-1]) if len(shown) < served.limit else self.ends_like(shown)

    def _last(self) -> set[str]:
        return {item.task_id for item in self.items[-trailing_equals(self.items) :]}
