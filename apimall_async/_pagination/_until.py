"""Where an iteration is to end before the list does."""

from datetime import datetime
from itertools import pairwise
from typing import Any

from apimall_async._pagination._options import Known


class Until:
    """Ends an iteration before an item, or at what is older than a time.

    A list need not be in the order of time. Where it is not, what is older ends nothing, and is left out.
    An item that was deleted is not found: if its time is known, what is older ends the iteration.
    """

    def __init__(self, end: Known | datetime) -> None:
        self._id = None if isinstance(end, datetime) else end.task_id
        self._time = end if isinstance(end, datetime) else end.created_at
        self._newest_first = True  # as far as was seen
        self._last: datetime | None = None
        self.over = False
        """Whether the end was reached."""

    def cut(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the items of the next page that are before the end."""
        self._see_order(items)
        kept: list[Any] = []
        for item in items:
            if item.task_id == self._id:
                self.over = True
                break
            if self._time and item.created_at < self._time:
                if self._newest_first:
                    self.over = True
                    break
                if self._id:
                    kept.append(item)
                continue
            kept.append(item)
        return tuple(kept) if len(kept) < len(items) else items

    def _see_order(self, items: tuple[Any, ...]) -> None:
        times = [item.created_at for item in items]
        if self._last:
            times.insert(0, self._last)
        self._newest_first = self._newest_first and all(one >= other for one, other in pairwise(times))
        self._last = times[-1] if times else self._last
