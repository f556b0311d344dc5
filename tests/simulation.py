"""A list that changes while an iteration reads it, with no network: what happens is drawn from a seed.

The responses come in any order, and each shows the list as it is at that moment.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import attrs

from apimall_async import APIConnectionError, ApimallError, HistoryPage, ImageTask
from apimall_async._pagination import Options, Stats, iterate_pages


NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)


def make_task(number: int) -> ImageTask:
    """Make a task by its position at the start: the newest is 0; one that is created later is negative."""
    created = NOW - timedelta(seconds=number)
    return ImageTask(f"img_{number}", "nano-banana", "gempix2", created, "completed", 8)


@attrs.frozen(kw_only=True)
class Schedule:
    """What happens: how likely each step is a creation or a deletion, and each response a fault."""

    tasks: int
    options: Options
    seed: int = 0
    creations: float = 0.0
    deletions: float = 0.0
    faults: float = 0.0
    cap: int = 50
    """Tasks that the gateway sends on a page at most."""


@attrs.define
class Outcome:
    """What came of it."""

    start: list[ImageTask]
    """The list at the first response, from where the iteration began."""
    survivors: set[ImageTask]
    """Those of ``start`` that were never deleted."""
    yielded: list[ImageTask]
    error: ApimallError | None
    ended: bool
    """Whether the iteration came to the end of the list, and was not stopped before."""
    requests: int
    stats: Stats
    left_running: int

    def check_exact(self) -> None:
        """Nothing twice, and every survivor, in order; or an error after a beginning without a gap."""
        assert len(set(self.yielded)) == len(self.yielded), "a task was yielded twice"
        position = {task: number for number, task in enumerate(self.start)}
        positions = [position[task] for task in self.yielded if task in self.survivors]
        assert positions == sorted(positions), "tasks were yielded in another order"
        reached = len(self.start) if self.ended else (positions[-1] + 1 if positions else 0)
        missed = [task for task in self.start[:reached] if task in self.survivors - set(self.yielded)]
        assert not missed, f"{len(missed)} tasks were skipped silently"

    def check_tidy(self) -> None:
        """Nothing that was prefetched is left running."""
        assert self.left_running == 0


class Simulation:
    """Runs one schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._random = random.Random(schedule.seed)
        self._new = count(-1, -1)
        self.history = [make_task(number) for number in range(schedule.tasks)]
        self._pending: list[tuple[int, int, asyncio.Future[HistoryPage]]] = []
        self._start: list[ImageTask] | None = None
        self._deleted: set[ImageTask] = set()
        self._requests = 0

    async def run(self, consume: Callable[[int], bool] = lambda _: True) -> Outcome:
        """Iterate; after each page ``consume`` decides, by the number of tasks so far, whether to go on."""
        yielded: list[ImageTask] = []
        stats = Stats()
        before = asyncio.all_tasks()
        reader = asyncio.create_task(self._read(yielded, stats, consume))
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
            left_running=len(asyncio.all_tasks() - before - {reader}),
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
            for _ in range(self._random.choice((1, 1, 3, 60))):
                self.history.insert(0, make_task(next(self._new)))
        elif chance < self._schedule.creations + self._schedule.deletions:
            for _ in range(min(len(self.history), self._random.choice((1, 1, 2, 30)))):
                self._deleted.add(self.history.pop(self._random.randrange(len(self.history))))
        else:
            self._respond(*self._pending.pop(self._random.randrange(len(self._pending))))

    def _respond(self, page: int, limit: int, response: asyncio.Future[HistoryPage]) -> None:
        limit = min(limit, self._schedule.cap)
        if self._start is None:
            self._start = self.history[(page - 1) * limit :]
        if response.done():
            return
        if self._random.random() < self._schedule.faults:
            response.set_exception(APIConnectionError("cut"))
            return
        items = tuple(self.history[(page - 1) * limit : page * limit])
        response.set_result(HistoryPage(items, page, limit, "req"))


def simulate(schedule: Schedule, consume: Callable[[int], bool] = lambda _: True) -> Outcome:
    """Run one schedule in an event loop of its own."""
    return asyncio.run(Simulation(schedule).run(consume))


def simulate_many(n: int, **changes: object) -> list[Outcome]:
    """Iterate over n lists that change a lot, and prefetch; ``changes`` are of the schedule."""
    schedule = Schedule(tasks=300, options=Options(read_ahead=8), creations=0.1, deletions=0.1)
    return [simulate(attrs.evolve(schedule, seed=seed, **changes)) for seed in range(n)]
