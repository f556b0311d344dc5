"""A list that changes while an iteration reads it, with no network: what happens is drawn from a seed.

The responses come in any order, and each shows the list as it is at that moment.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from typing import Any, Literal

import attrs

from apimall_async import APIConnectionError, ApimallError, APIStatusError, HistoryPage, ImageTask
from apimall_async._pagination import Options, Stats, iterate_pages


_ENDLESS = 3_000  # requests
_MOST_CREATED = 500  # tasks; else a list that grows at its end might do so faster than it is read
NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)


def make_task(number: int) -> ImageTask:
    """Make a task by its position at the start: the newest is 0; one that is created later is negative."""
    created = NOW - timedelta(seconds=number)
    return ImageTask(f"img_{number}", "nano-banana", "gempix2", created, "completed", 8)


PastEnd = Literal["empty", "empty as last", "refused", "last", "last as requested"]


@attrs.frozen(kw_only=True)
class Schedule:
    """What happens: how likely each step is a creation or a deletion, and each response a fault."""

    tasks: int
    options: Options
    seed: int = 0
    creations: float = 0.0
    deletions: float = 0.0
    faults: float = 0.0
    refusals: float = 0.0
    """How likely a proxy begins to send 404, for some responses in a row."""
    cap: int = 50
    """Tasks that the gateway sends on a page at most."""
    batch: int = 1
    """Tasks that were created at the same time, at most; a third of the batches have so many."""
    ties: Literal["stable", "any", "by range"] = "stable"
    """Tasks of one time: in a stable order; in any, at each response; or in one for each page and limit."""
    hidden: float = 0.0
    """How many of the tasks are hidden, after the page was cut."""
    past_end: PastEnd = "empty"
    """What a page past the end of the list is."""
    oldest_first: bool = False
    unordered: bool = False
    """Whether time does not order the list at all: it has a stable order of its own."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is created or deleted."""
        return not (self.creations or self.deletions)


@attrs.define
class Outcome:
    """What came of it."""

    start: list[ImageTask]
    """What there was to read at the first response."""
    survivors: set[ImageTask]
    """Those of ``start`` that were never deleted."""
    yielded: list[ImageTask]
    error: ApimallError | None
    ended: bool
    """Whether the iteration came to the end of the list, and was not stopped before."""
    requests: int
    stats: Stats
    warned: list[datetime]
    """The times of tasks that were logged as not provable."""
    left_running: int
    stable: bool
    """Whether the order of tasks of one time does not change."""

    def missed(self) -> list[ImageTask]:
        """Return the survivors that are not there, though what is behind them is: a gap."""
        places = self._places()
        read = [places[task] for task in self.yielded if task in self.survivors]
        behind = len(self.start) if self.ended else max(read, default=0)
        missing = self.survivors - set(self.yielded)
        return [task for task in self.start if places[task] < behind and task in missing]

    def check_exact(self) -> None:
        """Nothing twice, and every survivor, in order; or an error after a beginning without a gap.

        Only among tasks that were logged as not provable something may be missing. The order of those of one
        time does not matter where it changes.
        """
        assert len(set(self.yielded)) == len(self.yielded), "a task was yielded twice"
        places = self._places()
        read = [
            places[task]
            for task in self.yielded
            if task in self.survivors and task.created_at not in self.warned
        ]
        assert read == sorted(read), "tasks were yielded in another order"
        silent = [task for task in self.missed() if task.created_at not in self.warned]
        assert not silent, f"{len(silent)} tasks were skipped silently"
        assert bool(self.stats.boundaries_unproven) == bool(self.warned), "not logged, or not counted"

    def _places(self) -> dict[ImageTask, int]:
        if self.stable:
            return {task: number for number, task in enumerate(self.start)}
        groups = [list(group) for _, group in groupby(self.start, key=lambda task: task.created_at)]
        return {task: number for number, group in enumerate(groups) for task in group}

    def check_tidy(self) -> None:
        """Nothing that was prefetched is left running."""
        assert self.left_running == 0


class Simulation:
    """Runs one schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._random = random.Random(schedule.seed)
        self._new = count(-1, -1)
        self._created = 0
        self._refuse = 0
        self.history = self._make_history()
        self._hidden = {task for task in self.history if self._random.random() < schedule.hidden}
        self._pending: list[tuple[int, int, asyncio.Future[HistoryPage]]] = []
        self._start: list[ImageTask] | None = None
        self._deleted: set[ImageTask] = set()
        self._requests = 0

    def _make_history(self) -> list[ImageTask]:
        """Make batches of any size up to the largest, each of one time; the newest task is first."""
        tasks: list[ImageTask] = []
        while len(tasks) < self._schedule.tasks:
            created = make_task(len(tasks)).created_at
            most = self._schedule.batch
            size = self._random.choice((1, self._random.randint(1, most), most))
            size = min(size, self._schedule.tasks - len(tasks))
            batch = range(len(tasks), len(tasks) + size)
            tasks += [attrs.evolve(make_task(number), created_at=created) for number in batch]
        if self._schedule.unordered:
            times = [task.created_at for task in tasks]
            self._random.shuffle(times)
            tasks = [attrs.evolve(task, created_at=time) for task, time in zip(tasks, times, strict=True)]
        return tasks

    async def run(self, consume: Callable[[int], bool] = lambda _: True) -> Outcome:
        """Iterate; after each page ``consume`` decides, by the number of tasks so far, whether to go on."""
        yielded: list[ImageTask] = []
        stats = Stats()
        before = asyncio.all_tasks()
        reader = asyncio.create_task(self._read(yielded, stats, consume))
        with _warnings() as records:
            while not reader.done():
                await self._settle(reader)
                if self._pending:
                    self._step()
        error = reader.exception()
        assert error is None or isinstance(error, ApimallError), error
        start = self._start or []
        return Outcome(
            start=start,
            survivors=set(start) - self._deleted,
            yielded=yielded,
            error=error,
            ended=error is None and reader.result() and len(yielded) != self._schedule.options.max_items,
            requests=self._requests,
            stats=stats,
            warned=[record.args[0] for record in records],
            left_running=len(asyncio.all_tasks() - before - {reader}),
            stable=self._schedule.ties == "stable",
        )

    async def _read(self, yielded: list[ImageTask], stats: Stats, consume: Callable[[int], bool]) -> bool:
        pages = iterate_pages(self._fetch, self._schedule.options, stats)
        try:
            async for page in pages:
                yielded += page.items
                if not consume(len(yielded)):
                    return False
        finally:
            await pages.aclose()
        return True

    async def _settle(self, reader: asyncio.Task[bool]) -> None:
        """Let the iteration run until it waits for a response."""
        while True:
            waiting = len(self._pending)
            for _ in range(4):
                await asyncio.sleep(0)
            if reader.done() or (waiting and waiting == len(self._pending)):
                return

    async def _fetch(self, page: int, limit: int) -> HistoryPage:
        self._requests += 1
        assert self._requests < _ENDLESS, "the iteration does not end"
        response: asyncio.Future[HistoryPage] = asyncio.get_running_loop().create_future()
        entry = (page, limit, response)
        self._pending.append(entry)
        try:
            return await response
        finally:
            if entry in self._pending:
                self._pending.remove(entry)

    def _step(self) -> None:
        """Let one thing happen: tasks are created, or deleted, or one of the requests gets its response."""
        chance = self._random.random()
        if chance < self._schedule.creations:
            for _ in range(self._random.choice((1, 1, 3, 60)) if self._created < _MOST_CREATED else 0):
                self._created += 1
                self.history.insert(0, make_task(next(self._new)))
        elif chance < self._schedule.creations + self._schedule.deletions:
            for _ in range(min(len(self.history), self._random.choice((1, 1, 2, 30)))):
                self._deleted.add(self.history.pop(self._random.randrange(len(self.history))))
        else:
            self._respond(*self._pending.pop(self._random.randrange(len(self._pending))))

    def _respond(self, page: int, limit: int, response: asyncio.Future[HistoryPage]) -> None:
        limit = min(limit, self._schedule.cap)
        history = self._in_order(page, limit)
        if response.done():
            return
        if self._random.random() < self._schedule.faults:
            response.set_exception(APIConnectionError("cut"))
            return
        if self._schedule.refusals and not self._refuse and self._random.random() < self._schedule.refusals:
            self._refuse = self._random.choice((1, 1, 2, 5, 20))
        if self._refuse:
            self._refuse -= 1
            response.set_exception(APIStatusError("no such page", status=404))
            return
        last = max(1, -(-len(history) // limit))
        past_end = self._schedule.past_end if page > last else "empty"
        if past_end == "refused":
            response.set_exception(APIStatusError("no such page", status=404))
            return
        options = self._schedule.options
        if self._start is None and (options.after or page == options.first_page().page):
            self._start = self._to_read(history, (page - 1) * limit)
        echo = last if past_end in ("empty as last", "last") else page
        shown = last if past_end in ("last", "last as requested") else page
        items = tuple([t for t in history[(shown - 1) * limit : shown * limit] if t not in self._hidden])
        response.set_result(HistoryPage(items, echo, limit, "req"))

    def _in_order(self, page: int, limit: int) -> list[ImageTask]:
        """Return the list as it is sorted for this response."""
        ties = self._schedule.ties
        history = self.history
        if ties != "stable":
            order = self._random if ties == "any" else random.Random(page * limit)
            groups = [list(group) for _, group in groupby(history, key=lambda task: task.created_at)]
            history = [task for group in groups for task in order.sample(group, len(group))]
        return history[::-1] if self._schedule.oldest_first else history

    def _to_read(self, history: list[ImageTask], start: int) -> list[ImageTask]:
        """Return what an iteration is to read of the list as it is now, at the first response."""
        options = self._schedule.options
        known = {item.task_id for item in options.after}
        places = [place for place, task in enumerate(history) if task.task_id in known]
        if places:
            start = places[-1] + 1
            if self._schedule.ties != "stable":  # then equals may be anywhere around it
                time = history[places[-1]].created_at
                start = next(place for place, task in enumerate(history) if task.created_at == time)
        return [task for task in history[start:] if task not in self._hidden and task.task_id not in known]


@contextmanager
def _warnings() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged."""
    records: list[Any] = []
    logger, handler = logging.getLogger("apimall_async"), logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


def simulate(schedule: Schedule, consume: Callable[[int], bool] = lambda _: True) -> Outcome:
    """Run one schedule in an event loop of its own."""
    return asyncio.run(Simulation(schedule).run(consume))


def simulate_many(n: int, **changes: object) -> list[Outcome]:
    """Iterate over n lists that change a lot, and prefetch; ``changes`` are of the schedule."""
    schedule = Schedule(tasks=300, options=Options(read_ahead=8), creations=0.1, deletions=0.1)
    return [simulate(attrs.evolve(schedule, seed=seed, **changes)) for seed in range(n)]
