"""Page boundaries: whether a page carries on where the items handed out so far end."""

import logging
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from apimall_async._errors import PaginationError
from apimall_async._pagination._memory import NumberedMemory
from apimall_async._pagination._options import Stats


if TYPE_CHECKING:
    from datetime import datetime


_logger = logging.getLogger("apimall_async")

Items = tuple[Any, ...]


class Boundary:
    """Remembers what was handed out, and tells which items of a page come next.

    Two kinds of back ends are common. In one, the order of the list is stable. In the other, it follows
    ``created_at``, and items of one time ("equals") may change places from request to request. A page proves
    the same in both if it shows an item that was handed out and whose time differs from that of the last one:
    what comes next is all that is unknown behind it.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._memory = NumberedMemory()
        self._latest: str | None = None  # the id of the last item handed out,
        self._last: datetime | None = None  # and its created_at
        self._descending: bool | None = None  # whether the list is newest first, if it has an order by time
        self._has_anchor = False  # something is known to stand before all items of the time of the last one
        self._moved = False  # equals were seen to change places
        self._reported: datetime | None = None

    @property
    def has_anchor(self) -> bool:
        """Whether a page can show more than that the order of equals has not changed."""
        return self._has_anchor

    @property
    def empty(self) -> bool:
        """Whether nothing was handed out yet."""
        return self._memory.empty

    def hand_out(self, items: Items) -> None:
        """Remember the next items.

        Raises:
            PaginationError: one of them is there twice.

        """
        self._memory.remember(items)
        if not items:
            return
        time = items[-1].created_at
        before = self._last or next((i.created_at for i in reversed(items) if i.created_at != time), time)
        if self._descending is None and time != before:
            self._has_anchor, self._descending = True, time < before
        # An old response may show what was deleted since, in front of what was handed out last.
        if self._last is None or time == before or (time < before) == self._descending:
            self._latest, self._last = items[-1].task_id, time

    def remember(self, known: Sequence[Any]) -> None:
        """Take it that these items, of which the last ones may have no time, were handed out before.

        Raises:
            PaginationError: one of them is there twice.

        """
        self._memory.remember(known)
        self._latest, self._last = known[-1].task_id, known[-1].created_at
        times = [item.created_at for item in known if item.created_at]
        if times and times[0] != times[-1]:
            self._descending = times[-1] < times[0]

    def continue_behind(self, known: Sequence[Any], shown: Items) -> None:
        """Begin with a page that shows one of ``known``: what stands before them was handed out, too.

        Where none of ``known`` has another time than the last one, other items of that time may have been
        handed out or not. Only a stable order tells; that is logged.
        """
        first, _ = self._memory.known(shown)[0]
        ids = {item.task_id for item in known}
        self._last = next((item.created_at for item in shown if item.task_id == self._latest), self._last)
        others = [item for item in shown if item.created_at == self._last and item.task_id not in ids]
        varied = any(item.created_at not in (None, self._last) for item in known)
        if others and not varied:
            self._report(len(known))
        if varied:  # all of that time that were handed out are known: others are not, wherever they stand
            equals = (at for at, item in enumerate(shown[:first]) if item.created_at == self._last)
            first = next(equals, first)
        self._memory.remember_before(shown[:first])
        self._has_anchor = varied or any(item.created_at != self._last for item in shown[:first])

    def shows_latest(self, shown: Items) -> bool:
        """Whether the page shows the item that was handed out last."""
        return any(item.task_id == self._latest for item in reversed(shown))

    def shows_unknown(self, shown: Items) -> bool:
        """Whether the page shows an item that was not handed out."""
        return len(self._memory.known(shown)) < len(shown)

    def shows_known(self, shown: Items) -> bool:
        """Whether an item of the page was handed out."""
        return bool(self._memory.known(shown))

    def prove(self, shown: Items, *, from_start: bool) -> Items | None:
        """Return the items that come next; None where the page proves nothing.

        ``from_start``: the page begins where the list does, so nothing stands before it.
        """
        if self._memory.empty:
            self._has_anchor |= from_start
            return shown
        known = self._memory.known(shown)
        if not known or not self._in_order(shown, known):
            return None
        last = self._last
        for index, _ in reversed(known):
            if shown[index].created_at != last:
                return self._unknown_from(index + 1, shown, known)
        # Only equals of the last item are known. What stands before all of them is as good as a known item.
        first = next(index for index, item in enumerate(shown) if item.created_at == last)
        if from_start or (first and self._has_anchor):
            return self._unknown_from(first, shown, known)
        return None

    def prove_by_order(self, shown: Items) -> Items | None:
        """Return the items that come next if the order of equals is stable; None if it shows no such thing.

        This is for items of one time that no page can show together with their neighbours. It is logged.

        Raises:
            PaginationError: equals were seen to change places.

        """
        known = self._memory.known(shown)
        if not known or not self._in_order(shown, known):
            return None
        begin = 0 if self._has_anchor else known[0][0]  # else it may show what stands before the first page
        end = known[-1][0] + 1
        self._report(len(known))
        if self._moved or end - begin > len(known):
            raise self._unprovable()
        return shown[end:]

    def _in_order(self, shown: Items, known: list[tuple[int, int]]) -> bool:
        """Whether known items stand as they were handed out or in the order of time, equals aside."""
        if all(number < later for (_, number), (_, later) in pairwise(known)):
            return True
        for (index, number), (behind, later) in combinations(known, 2):
            before, time = shown[index].created_at, shown[behind].created_at
            if later <= number and before != time and (time < before) != self._descending:
                return False
        self._note_moved()
        return True

    def _unknown_from(self, index: int, shown: Items, known: list[tuple[int, int]]) -> Items:
        last_known = known[-1][0]
        if last_known < index:
            return shown[index:]
        known_there = {at for at, _ in known}
        unknown = [at for at in range(index, len(shown)) if at not in known_there]
        if unknown and unknown[0] < last_known:
            self._note_moved()
        return tuple([shown[at] for at in unknown])

    def _note_moved(self) -> None:
        self._moved = True
        if self._reported:
            raise self._unprovable()

    def _report(self, known: int) -> None:
        self._stats.boundaries_unproven += 1
        if self._reported == self._last:
            return
        self._reported = self._last
        _logger.warning(
            "a page boundary rests on a stable order alone: no page shows the tasks created at %s (%d known)"
            " together with those before and behind them",
            self._reported,
            known,
        )

    def _unprovable(self) -> PaginationError:
        return PaginationError(
            f"tasks created at the same time, {self._reported}, change places from request to request, and"
            " there are more of them than a page can show with those around them"
        )
