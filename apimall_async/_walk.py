"""Pages into one walk over the history: the plain walk and the exact walk. Knows no HTTP.

A page is a window on a list that moves while it is read: births push every task down, deletions pull
every task up. Both walks number the tasks they hand out and remember the latest of those numbers, so
that they can tell in what a page shows what is new, what is known, and where they stand.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from itertools import count, pairwise
from math import inf
from typing import Any

import attrs

from apimall_async._errors import PaginationError
from apimall_async._models import HistoryPage, ImageTask
from apimall_async._protocol import MAX_LIMIT


Fetch = Callable[[int, int], Coroutine[Any, Any, HistoryPage]]
"""``fetch(page, limit)``: one answer of the gateway."""

_MEMORY = 10_000  # tasks at least, twice that at most, whose ids a walk remembers
_PATIENCE = 5  # pages in a row that lead nowhere, before a walk gives up
_SEARCH = 64  # windows in a row that prove nothing, before the exact walk gives up

_logger = logging.getLogger("apimall_async")


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise ValueError, which names the argument, unless it is an integer in range."""
    if type(value) is not int or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be an integer, {bounds}, not {value!r}")


def _whole(least: int, most: int | None = None) -> Any:
    def check(_: object, attribute: "attrs.Attribute[int]", value: object) -> None:
        check_whole(attribute.name, value, least, most)

    return check


@attrs.frozen
class Walk:
    """What to walk over; ValueError names the argument that cannot be."""

    limit: int = attrs.field(default=MAX_LIMIT, validator=_whole(1, MAX_LIMIT))
    start_page: int = attrs.field(default=1, validator=_whole(1))
    max_items: int | None = attrs.field(default=None, validator=attrs.validators.optional(_whole(0)))
    read_ahead: int = attrs.field(default=0, validator=_whole(0))
    exact: bool = False

    def first_page(self) -> tuple[int, int]:
        """The first page to ask for, and its limit: the least that begins where the walk does."""
        start = (self.start_page - 1) * self.limit
        least = min(self.limit, self.max_items or self.limit)
        limit = next(size for size in range(least, self.limit + 1) if start % size == 0)
        return start // limit + 1, limit


@attrs.define
class Tally:
    """What one walk saw and what it cost."""

    pages: int = 0
    tasks: int = 0
    duplicates: int = 0
    """Tasks shown again: where pages overlap, and where births pushed them down."""
    seams_repaired: int = 0
    retries: int = 0
    waited: float = 0.0
    """Seconds that requests of this walk were held back, or waited for a retry."""


async def walk_pages(fetch: Fetch, walk: Walk, tally: Tally) -> AsyncGenerator[HistoryPage]:
    """Yield pages of tasks that were not yielded before, up to ``max_items`` tasks.

    Raises:
        PaginationError: the pages cannot be walked to an end, or hide what they skip.

    """
    if walk.max_items == 0:
        return
    left = walk.max_items
    exact = walk.exact or walk.read_ahead > 0
    pages = ExactWalk(fetch, walk, tally).pages() if exact else _plain_pages(fetch, walk, tally)
    try:
        async with aclosing(pages):
            async for page in pages:
                if left is not None:
                    page = _with_items(page, page.items[:left])  # noqa: PLW2901
                    left -= len(page.items)
                tally.tasks += len(page.items)
                yield page
                if left == 0:
                    return
    finally:
        _logger.debug("walk ended: %s", tally)


def _with_items(page: HistoryPage, items: tuple[ImageTask, ...]) -> HistoryPage:
    return page if len(items) == len(page.items) else attrs.evolve(page, items=items)


class _Memory:
    """The tasks handed out last, numbered 1, 2, 3 … in that order. Bounded."""

    def __init__(self) -> None:
        self._recent: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._numbers = count(1)
        self._position = 0  # the number of the last task of the page before
        self._strikes = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was handed out yet."""
        return not (self._recent or self._older)

    def number(self, task: ImageTask) -> int:
        """The task's number, or 0 for one that is new or long forgotten."""
        return self._recent.get(task.task_id) or self._older.get(task.task_id, 0)

    def fresh(self, tasks: tuple[ImageTask, ...]) -> tuple[ImageTask, ...]:
        """Those not handed out yet, each once."""
        by_id = {task.task_id: task for task in tasks}
        if self._recent.keys().isdisjoint(by_id) and self._older.keys().isdisjoint(by_id):
            return tasks if len(by_id) == len(tasks) else tuple(by_id.values())
        return tuple([task for task in by_id.values() if not self.number(task)])

    def hand_out(self, fresh: Sequence[ImageTask], shown: Sequence[ImageTask]) -> None:
        """Remember ``fresh``, the new ones of the tasks ``shown`` by one page.

        Pages without a new task are well as long as they lead on: after a pause in which 500 tasks were
        born, ten pages show what is known. Falling back or standing still, time and again, is not.
        """
        if len(self._recent) >= _MEMORY:
            self._older, self._recent = self._recent, {}
        self._recent.update(zip([task.task_id for task in fresh], self._numbers, strict=False))
        number = self.number(shown[-1])
        if fresh:
            self._strikes = 0
        elif number <= self._position:
            self._strikes += 1
        self._position = number
        if self._strikes == _PATIENCE:
            raise PaginationError(
                f"page after page shows tasks already seen ({_PATIENCE} times it led nowhere)"
            )


def _check_echo(page: HistoryPage, asked: int) -> None:
    if page.page != asked:
        raise PaginationError(f"asked for page {asked}, got page {page.page}", request_id=page.request_id)


async def _plain_pages(fetch: Fetch, walk: Walk, tally: Tally) -> AsyncGenerator[HistoryPage]:
    """Read page after page upward, each only when it is needed, and yield what is new.

    A page is short, and the walk over, by the limit that the answer *echoes*, if that is less: a gateway
    that caps 50 to 20 is not finished after page 1. No total is sent: n tasks take n // limit + 1 requests.
    """
    memory = _Memory()
    number, limit = walk.first_page()
    while True:
        page = await fetch(number, limit)
        tally.pages += 1
        _check_echo(page, number)
        fresh = memory.fresh(page.items)
        tally.duplicates += len(page.items) - len(fresh)
        if page.items:
            memory.hand_out(fresh, page.items)
        if fresh:
            yield _with_items(page, fresh)
        if len(page.items) < min(page.limit, limit):
            return
        number += 1


@attrs.frozen
class Window:
    """A page as the stretch of the history that it covers, counted from 0 at the head."""

    page: int
    limit: int

    @property
    def start(self) -> int:
        """The position of the first task."""
        return (self.page - 1) * self.limit

    @property
    def stop(self) -> int:
        """The position after the last task."""
        return self.page * self.limit


def furthest_window(begin: int, limit: int) -> Window:
    """The window of at most ``limit`` tasks that covers position ``begin`` and reaches furthest.

    A page of size n starts at a multiple of n, so only its size can move a window by less than a page.
    Where ``begin`` is the last task of every page of up to ``limit`` tasks, the window is a little larger.
    """
    size = max(range(1, limit + 1), key=lambda size: (begin // size + 1) * size)
    if (begin + 1) % size == 0:
        size = next(size for size in range(limit + 1, begin + 3) if (begin + 1) % size)
    return Window(begin // size + 1, size)


class ExactWalk:
    """Read windows that overlap, and hand out only what a known task proves to come next.

    If a task already handed out stands in a window, then, in a stable order, nothing that stood after
    it was skipped, whatever was born or deleted between the two requests and in whatever order they
    were answered. So windows can be requested ahead, and are checked as they are consumed, in order.
    """

    def __init__(self, fetch: Fetch, walk: Walk, tally: Tally) -> None:
        self._fetch = fetch
        self._walk = walk
        self._tally = tally
        self._memory = _Memory()
        self._limit = walk.limit  # less once the gateway echoes less
        self._next = Window(*walk.first_page())
        self._enough = inf if walk.max_items is None else self._next.start + walk.max_items
        self._ahead: deque[tuple[Window, asyncio.Task[HistoryPage]]] = deque()
        self._reach = 0  # windows to read ahead by now; doubles while seams hold, as TCP's slow start
        self._end_in_sight = False  # a window further on was short: there is nothing to read beyond it
        self._misses = 0  # windows in a row that proved nothing
        self._searching_forward = False
        self._over = False

    async def pages(self) -> AsyncGenerator[HistoryPage]:
        """Yield the new tasks of window after window; nothing is left running at the end."""
        try:
            while not self._over:
                self._request(self._reach + 1)
                if self._ahead[0][1].done():
                    await asyncio.sleep(0)  # awaiting a finished task would not let others have their turn
                page = await self._ahead[0][1]
                asked, _ = self._ahead.popleft()
                if fresh := await self._consume(asked, page):
                    yield _with_items(page, fresh)
        finally:
            await self._drop()

    def _request(self, windows: int) -> None:
        """Have so many windows under way, but none beyond ``max_items`` or the end of the history."""
        while len(self._ahead) < windows:
            if self._ahead and (self._end_in_sight or self._ahead[-1][0].stop >= self._enough):
                return
            window = self._next
            request = asyncio.create_task(self._read(window))
            self._ahead.append((window, request))
            self._next = furthest_window(window.stop - 1, self._limit)

    async def _read(self, window: Window) -> HistoryPage:
        page = await self._fetch(window.page, window.limit)
        self._end_in_sight |= len(page.items) < min(page.limit, window.limit)
        return page

    async def _drop(self) -> None:
        """Cancel what was read ahead, and see it end."""
        requests = [request for _, request in self._ahead]
        self._ahead.clear()
        self._end_in_sight = False
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    async def _consume(self, asked: Window, page: HistoryPage) -> tuple[ImageTask, ...]:
        """Take the new tasks of one page, and settle what to read next."""
        self._tally.pages += 1
        _check_echo(page, asked.page)
        served = Window(page.page, min(page.limit, asked.limit))
        if served.limit < asked.limit:  # capped: what is read ahead begins elsewhere than planned
            await self._drop()
            self._limit = served.limit
            last = max(0, served.start + len(page.items) - 1)
            self._next = furthest_window(last, self._limit)
        fresh = self._proven(page.items)
        short = len(page.items) < served.limit
        if fresh is None:
            await self._drop()
            self._step_back(served, short=short, empty=not page.items)
            return ()
        self._tally.duplicates += len(page.items) - len(fresh)
        self._misses = 0
        self._over = short
        if page.items:
            self._memory.hand_out(fresh, page.items)
        if not short:
            self._reach = min(self._walk.read_ahead, 2 * self._reach or 1)
            self._request(self._reach)
        return fresh

    def _proven(self, shown: tuple[ImageTask, ...]) -> tuple[ImageTask, ...] | None:
        """The tasks after the last known one; None where no known task, or a new order, proves nothing."""
        if self._memory.empty:
            fresh = shown
        else:
            numbers = [self._memory.number(task) for task in shown]
            known = [number for number in numbers if number]
            if not known or any(later <= number for number, later in pairwise(known)):
                return None
            fresh = shown[numbers.index(known[-1]) + 1 :]
        if len({task.task_id for task in fresh}) < len(fresh):
            raise PaginationError("a page shows the same task twice")
        return fresh

    def _step_back(self, served: Window, *, short: bool, empty: bool) -> None:
        """Look for a known task: further back each time, from the head on forward.

        Deletions pulled the known tasks back. Only where more tasks were born than the walk had read
        do they stand further on, and then the head of the history shows none of them.
        """
        if not self._misses:
            self._tally.seams_repaired += 1
            self._searching_forward = False
        self._reach = 0
        self._misses += 1
        self._searching_forward |= served.start == 0
        if empty and served.start == 0:  # all is deleted: nothing is left that was not handed out
            self._over = True
        elif self._misses > _SEARCH or (short and self._searching_forward):
            raise PaginationError("the history moved on too fast: no page shows where the walk had been")
        elif self._searching_forward:
            self._next = furthest_window(served.stop, self._limit)
        else:
            back = (self._limit + 1) // 2 << (self._misses - 1)
            self._next = furthest_window(max(0, served.start - back), self._limit)
