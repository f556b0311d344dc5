"""Pages into one walk over the history: the plain walk and the exact walk. Knows no HTTP.

A page is a window on a list that moves while it is read: births push every task down, deletions pull
every task up. Both walks number the tasks they hand out and remember the latest of those numbers, so
that they can tell in what a page shows what is new, what is known, and where they stand.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from itertools import count, pairwise
from math import inf
from operator import attrgetter
from typing import Any, Self

import attrs

from apimall_async._errors import PaginationError
from apimall_async._models import HistoryPage, ImageTask
from apimall_async._protocol import MAX_LIMIT


Fetch = Callable[[int, int], Coroutine[Any, Any, HistoryPage]]
"""``fetch(page, limit)``: one answer of the gateway."""

_MEMORY = 10_000  # tasks at least, twice that at most, whose ids a walk remembers
_PATIENCE = 5  # pages in a row that lead nowhere, before a walk gives up
_SEARCH = 64  # windows in a row that prove nothing, before the exact walk gives up

_task_id = attrgetter("task_id")

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
    async with _Steps(fetch, walk, tally) as steps:
        while page := await steps.next():
            yield page


async def walk_tasks(fetch: Fetch, walk: Walk, tally: Tally) -> AsyncGenerator[ImageTask]:
    """Yield the tasks of ``walk_pages``, one by one."""
    async with _Steps(fetch, walk, tally) as steps:
        while page := await steps.next():
            for task in page.items:
                yield task


class _Steps:
    """The walk itself, page by page.

    No generator, though it is much like one: of generators within generators that were dropped unclosed,
    the garbage collector may close all at once, which asyncio then reports as errors.
    """

    def __init__(self, fetch: Fetch, walk: Walk, tally: Tally) -> None:
        exact = walk.exact or walk.read_ahead > 0
        self._walk = ExactWalk(fetch, walk, tally) if exact else PlainWalk(fetch, walk, tally)
        self._tally = tally
        self._left = walk.max_items

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._walk.close()
        finally:
            _logger.debug("walk ended: %s", self._tally)

    async def next(self) -> HistoryPage | None:
        """Return the next page, or None after the last."""
        page = None if self._left == 0 else await self._walk.next()
        if page is None:
            return None
        if self._left is not None:
            page = _with_items(page, page.items[: self._left])
            self._left -= len(page.items)
        self._tally.tasks += len(page.items)
        return page


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
        ids = set(map(_task_id, tasks))
        new = self._recent.keys().isdisjoint(ids) and self._older.keys().isdisjoint(ids)
        if new and len(ids) == len(tasks):
            return tasks
        by_id = {task.task_id: task for task in tasks}
        return tuple([task for task in by_id.values() if not self.number(task)])

    def hand_out(self, fresh: Sequence[ImageTask], shown: Sequence[ImageTask]) -> None:
        """Remember ``fresh``, the new ones of the tasks ``shown`` by one page.

        Pages without a new task are well as long as they lead on: after a pause in which 500 tasks were
        born, ten pages show what is known. Falling back or standing still, time and again, is not.
        """
        if len(self._recent) >= _MEMORY:
            self._older, self._recent = self._recent, {}
        self._recent.update(zip(map(_task_id, fresh), self._numbers, strict=False))
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


class PlainWalk:
    """Read page after page upward, each only when it is needed.

    A page is short, and the walk over, by the limit that the answer *echoes*, if that is less: a gateway
    that caps 50 to 20 is not finished after page 1. A page of 20 begins elsewhere, so from there on 20 are
    asked for, beginning with what was not read. No total is sent: n tasks take n // limit + 1 requests.
    """

    def __init__(self, fetch: Fetch, walk: Walk, tally: Tally) -> None:
        self._fetch = fetch
        self._tally = tally
        self._memory = _Memory()
        self._number, self._limit = walk.first_page()
        self._read = 0  # the place in the history up to which pages were read
        self._over = False

    async def next(self) -> HistoryPage | None:
        """Return the next page that shows something new, with that alone; None at the end."""
        while not self._over:
            page = await self._fetch(self._number, self._limit)
            self._tally.pages += 1
            _check_echo(page, self._number)
            if fresh := self._take(page):
                return _with_items(page, fresh)
        return None

    async def close(self) -> None:
        """Do nothing: between two pages nothing is under way."""

    def _take(self, page: HistoryPage) -> tuple[ImageTask, ...]:
        """Take the new tasks of one page, and settle what to read next."""
        fresh = self._memory.fresh(page.items)
        self._tally.duplicates += len(page.items) - len(fresh)
        if page.items:
            self._memory.hand_out(fresh, page.items)
        limit = self._limit = min(page.limit, self._limit)
        self._over = len(page.items) < limit
        begin, self._read = self._read, max(self._read, page.page * limit)
        self._number = max(page.page, begin // limit) + 1
        return fresh


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


def _look_at(request: asyncio.Task[HistoryPage]) -> None:
    """Keep asyncio from complaining of an error that nobody saw, because nobody came to that page."""
    if not request.cancelled():
        request.exception()


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

    async def next(self) -> HistoryPage | None:
        """Return the next page that shows something new, with that alone; None at the end."""
        while not self._over:
            self._request(self._reach + 1)
            if self._ahead[0][1].done():
                await asyncio.sleep(0)  # awaiting a finished task would not let others have their turn
            page = await self._ahead[0][1]
            asked, _ = self._ahead.popleft()
            if fresh := await self._consume(asked, page):
                return _with_items(page, fresh)
        return None

    async def close(self) -> None:
        """Leave nothing running."""
        await self._drop()

    def _request(self, windows: int) -> None:
        """Have so many windows under way, but none beyond ``max_items`` or the end of the history."""
        while len(self._ahead) < windows:
            if self._ahead and (self._end_in_sight or self._ahead[-1][0].stop >= self._enough):
                return
            window = self._next
            request = asyncio.create_task(self._read(window))
            request.add_done_callback(_look_at)
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
