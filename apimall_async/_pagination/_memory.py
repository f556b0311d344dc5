"""The items that an iteration handed out last, by their ids. Bounded."""

from collections.abc import Sequence
from itertools import count, islice
from typing import Protocol, TypeVar

from apimall_async._errors import PaginationError


class Item(Protocol):
    """What an item must have."""

    @property
    def task_id(self) -> str: ...


T = TypeVar("T", bound=Item)

_REMEMBERED = 10_000  # items at least, twice that at most, whose ids are remembered
_NO_PROGRESS_LIMIT = 5  # pages in a row that lead nowhere, before an iteration gives up


class Progress:
    """Tells pages that lead on from those that lead nowhere.

    Pages without a new item are well as long as they lead on: after a pause in which 500 tasks were created,
    ten pages show what is known. To see the same known items time and again is no progress.
    """

    def __init__(self, limit: int = _NO_PROGRESS_LIMIT) -> None:
        self._limit = limit
        self._shown: set[str] = set()  # on pages without a new item, since the last new one
        self._no_progress = 0

    def note(self, shown: Sequence[Item], *, fresh: bool) -> None:
        """Take note of a page, and whether it showed a new item.

        Raises:
            PaginationError: page after page led nowhere.

        """
        if fresh:
            self._shown.clear()
            self._no_progress = 0
            return
        before = len(self._shown)
        self._shown.update([item.task_id for item in shown])
        self._no_progress += len(self._shown) == before
        if self._no_progress >= self._limit:
            raise PaginationError(
                f"page after page shows tasks already seen ({self._limit} times without progress)"
            )


class Memory:
    """Which items were handed out."""

    def __init__(self) -> None:
        # Dicts without values: what is added to one stands at its end, and so can be told from the rest.
        self._recent: dict[str, None] = {}
        self._older: dict[str, None] = {}

    def fresh(self, items: tuple[T, ...]) -> tuple[T, ...]:
        """Return those not handed out yet, each once, and remember them."""
        if len(self._recent) >= _REMEMBERED:
            self._older, self._recent = self._recent, {}
        recent, older = self._recent, self._older
        ids = dict.fromkeys([item.task_id for item in items])
        before = len(recent)
        recent.update(ids)
        added = len(recent) - before
        if added == len(items) and older.keys().isdisjoint(ids):
            return items
        new = set(islice(reversed(recent), added)) - older.keys()
        for name in older.keys() & ids:  # lest they push out what was handed out after them
            recent.pop(name, None)
        fresh = {item.task_id: item for item in items if item.task_id in new}
        return tuple(fresh.values())


class NumberedMemory:
    """Which items were handed out, numbered 1, 2, 3 … in that order."""

    def __init__(self) -> None:
        self._recent: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._numbers = count(1)
        self._numbers_before = count(-1, -1)

    @property
    def empty(self) -> bool:
        """Whether nothing was handed out yet."""
        return not (self._recent or self._older)

    def known(self, items: Sequence[Item]) -> list[tuple[int, int]]:
        """Return where on a page items stand that were handed out, with their numbers."""
        recent, older = self._recent, self._older
        ids = [item.task_id for item in items]
        known = recent.keys() & ids
        if older:
            known |= older.keys() & ids
        return [(index, recent.get(name) or older[name]) for index, name in enumerate(ids) if name in known]

    def remember_before(self, items: Sequence[Item]) -> None:
        """Number items that stand before all others."""
        for item, number in zip(reversed(items), self._numbers_before, strict=False):
            self._recent[item.task_id] = number

    def remember(self, fresh: Sequence[Item]) -> None:
        """Number the next ones.

        Raises:
            PaginationError: one of them is there twice.

        """
        if len(self._recent) >= _REMEMBERED:
            self._older, self._recent = self._recent, {}
        before = len(self._recent)
        self._recent.update(zip([item.task_id for item in fresh], self._numbers, strict=False))
        if len(self._recent) - before < len(fresh):
            for item in fresh:
                self._recent.pop(item.task_id, None)
            raise PaginationError("a page shows the same task twice")
