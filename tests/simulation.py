"""A history that moves while a walk reads it, with no network: what a schedule does is drawn from a seed.

Requests are answered in any order, each from the history as it stands at that moment.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

import attrs

from apimall_async import APIConnectionError, ApimallError, HistoryPage, ImageTask
from apimall_async._walk import Tally, Walk, walk_pages


NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)


def make_task(number: int) -> ImageTask:
    """Return a task that differs from others by its id alone."""
    return ImageTask(f"img_{number}", "nano-banana", "gempix2", NOW, "completed", 8)


@attrs.frozen(kw_only=True)
class Schedule:
    """What happens: a share of each step's chances goes to births, deletions and faults."""

    tasks: int
    walk: Walk
    seed: int = 0
    births: float = 0.0
    deletions: float = 0.0
    faults: float = 0.0
    cap: int = 50
    """Tasks that the gateway serves a page at most."""


@attrs.define
class Outcome:
    """What came of it."""

    start: list[ImageTask]
    """The history when the first request was answered, from where the walk began."""
    survivors: set[ImageTask]
    """Those of ``start`` that were never deleted."""
    yielded: list[ImageTask]
    error: ApimallError | None
    ended: bool
    """Whether the walk says that this is all, rather than having been stopped."""
    requests: int
    tally: Tally
    left_running: int

    def check_exact(self) -> None:
        """Nothing twice, and every survivor, in order; or an error after a part without a gap."""
        assert len(set(self.yielded)) == len(self.yielded), "a task came out twice"
        place = {task: number for number, task in enumerate(self.start)}
        places = [place[task] for task in self.yielded if task in self.survivors]
        assert places == sorted(places), "tasks came out in another order"
        reached = len(self.start) if self.ended else (places[-1] + 1 if places else 0)
        missed = [task for task in self.start[:reached] if task in self.survivors - set(self.yielded)]
        assert not missed, f"{len(missed)} tasks were skipped in silence"

    def check_tidy(self) -> None:
        """Nothing that was read ahead is left running."""
        assert self.left_running == 0


class Simulation:
    """Runs one schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._random = random.Random(schedule.seed)
        self._numbers = count()
        self.history = [make_task(next(self._numbers)) for _ in range(schedule.tasks)]
        self._pending: list[tuple[int, int, asyncio.Future[HistoryPage]]] = []
        self._start: list[ImageTask] | None = None
        self._deleted: set[ImageTask] = set()
        self._requests = 0

    async def run(self, consume: Callable[[int], bool] = lambda _: True) -> Outcome:
        """Walk; ``consume`` says after each page, by the tasks so far, whether to go on."""
        yielded: list[ImageTask] = []
        tally = Tally()
        before = asyncio.all_tasks()
        walker = asyncio.create_task(self._walk(yielded, tally, consume))
        while not walker.done():
            await self._settle(walker)
            if self._pending:
                self._step()
        error = walker.exception()
        assert error is None or isinstance(error, ApimallError), error
        start = self._start or []
        return Outcome(
            start=start,
            survivors=set(start) - self._deleted,
            yielded=yielded,
            error=error,
            ended=error is None and walker.result() and len(yielded) != self._schedule.walk.max_items,
            requests=self._requests,
            tally=tally,
            left_running=len(asyncio.all_tasks() - before - {walker}),
        )

    async def _walk(self, yielded: list[ImageTask], tally: Tally, consume: Callable[[int], bool]) -> bool:
        pages = walk_pages(self._fetch, self._schedule.walk, tally)
        try:
            async for page in pages:
                yielded += page.items
                if not consume(len(yielded)):
                    return False
        finally:
            await pages.aclose()
        return True

    async def _settle(self, walker: asyncio.Task[bool]) -> None:
        """Let the walk run until it waits for an answer."""
        while True:
            waiting = len(self._pending)
            for _ in range(4):
                await asyncio.sleep(0)
            if walker.done() or (waiting and waiting == len(self._pending)):
                return

    async def _fetch(self, page: int, limit: int) -> HistoryPage:
        self._requests += 1
        answer: asyncio.Future[HistoryPage] = asyncio.get_running_loop().create_future()
        entry = (page, limit, answer)
        self._pending.append(entry)
        try:
            return await answer
        finally:
            if entry in self._pending:
                self._pending.remove(entry)

    def _step(self) -> None:
        """Let one thing happen: a birth, a deletion, or an answer to any of the requests."""
        chance = self._random.random()
        if chance < self._schedule.births:
            self.history[:0] = [
                make_task(next(self._numbers)) for _ in range(self._random.choice((1, 1, 3, 60)))
            ]
        elif chance < self._schedule.births + self._schedule.deletions:
            for _ in range(min(len(self.history), self._random.choice((1, 1, 2, 30)))):
                self._deleted.add(self.history.pop(self._random.randrange(len(self.history))))
        else:
            self._answer(*self._pending.pop(self._random.randrange(len(self._pending))))

    def _answer(self, page: int, limit: int, answer: asyncio.Future[HistoryPage]) -> None:
        limit = min(limit, self._schedule.cap)
        if self._start is None:
            self._start = self.history[(page - 1) * limit :]
        if answer.done():
            return
        if self._random.random() < self._schedule.faults:
            answer.set_exception(APIConnectionError("cut"))
            return
        items = tuple(self.history[(page - 1) * limit : page * limit])
        answer.set_result(HistoryPage(items, page, limit, "req"))


def simulate(schedule: Schedule, consume: Callable[[int], bool] = lambda _: True) -> Outcome:
    """Run one schedule in an event loop of its own."""
    return asyncio.run(Simulation(schedule).run(consume))
