"""What iterations remember: enough to know a task again, and no more."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import make_task

from apimall_async import HistoryPage, ImageTask, PaginationError
from apimall_async._pagination import Options, Stats
from apimall_async._pagination._exact import ExactIteration
from apimall_async._pagination._memory import Memory, NumberedMemory, Progress
from apimall_async._pagination._plain import PlainIteration


TASKS = [make_task(number) for number in range(60)]
FULL = 20  # tasks, in these tests

numbers = st.lists(st.integers(0, len(TASKS) - 1), max_size=30)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apimall_async._pagination._memory._REMEMBERED", FULL)


def pick(chosen: list[int]) -> tuple[ImageTask, ...]:
    """Choose tasks."""
    return tuple([TASKS[number] for number in chosen])


@given(st.lists(numbers))
def test_a_memory_yields_each_task_once(pages: list[list[int]]) -> None:
    """In the order of the page, also if a page shows a task twice."""
    memory, known = Memory(), set[ImageTask]()
    for page in map(pick, pages):
        new = list(dict.fromkeys(task for task in page if task not in known))
        assert list(memory.fresh(page)) == new
        known.update(new)


@given(st.lists(numbers))
def test_a_memory_numbers_tasks(pages: list[list[int]]) -> None:
    """1, 2, 3 … as they were handed out, and where on the page each known one stands."""
    memory, known = NumberedMemory(), dict[ImageTask, int]()
    for page in map(pick, pages):
        assert memory.known(page) == [(i, known[task]) for i, task in enumerate(page) if task in known]
        new = list(dict.fromkeys(task for task in page if task not in known))
        memory.remember(new)
        known |= {task: number for number, task in enumerate(new, len(known) + 1)}
        assert memory.empty == (not known)


@pytest.mark.usefixtures("_small")
def test_the_last_tasks_are_remembered() -> None:
    """The last 20 of them here, and at most twice as many."""
    memory, numbered = Memory(), NumberedMemory()
    for number in range(len(TASKS)):
        memory.fresh(pick([number]))
        numbered.remember(pick([number]))
    last = pick(list(range(len(TASKS) - FULL, len(TASKS))))
    assert memory.fresh(last) == ()
    assert len(numbered.known(last)) == len(last)
    assert len(memory._recent) + len(memory._older) <= 2 * FULL
    assert len(numbered.known(TASKS)) <= 2 * FULL


@pytest.mark.usefixtures("_small")
def test_tasks_shown_again_push_nothing_out() -> None:
    """Many known tasks, shown again after new ones came before them, are no reason to forget the others."""
    memory = Memory()
    for number in range(FULL + 5):
        memory.fresh(pick([number]))
    for number in range(FULL + 5):
        assert memory.fresh(pick([number])) == ()
    assert memory.fresh(pick(list(range(FULL, FULL + 5)))) == ()


def test_a_task_that_is_there_twice() -> None:
    """It cannot be numbered: a page that shows it twice proves nothing."""
    with pytest.raises(PaginationError, match="same task twice"):
        NumberedMemory().remember(pick([1, 2, 1]))


@pytest.mark.usefixtures("_small")
def test_a_memory_that_was_just_renewed_is_not_empty() -> None:
    """What follows needs its proof."""
    memory = NumberedMemory()
    memory.remember(TASKS)
    memory.remember(())
    assert not memory.empty


def test_progress() -> None:
    """Known tasks are well as long as they are others: only the same ones, five times, are no progress."""
    progress = Progress()
    progress.note(TASKS[:10], fresh=True)
    for begin in range(20):
        progress.note(TASKS[begin : begin + 10], fresh=False)
    for _ in range(4):
        progress.note(TASKS[:10], fresh=False)
    progress.note(TASKS[:10], fresh=True)
    progress.note(TASKS[:10], fresh=False)
    for _ in range(4):
        progress.note(TASKS[:10], fresh=False)
    with pytest.raises(PaginationError, match="5 times without progress"):
        progress.note(TASKS[:10], fresh=False)


@pytest.mark.parametrize("kind", [PlainIteration, ExactIteration])
def test_a_long_iteration_remembers_a_bounded_number(
    kind: type[PlainIteration[ImageTask]] | type[ExactIteration[ImageTask]],
) -> None:
    """The last ten thousand tasks, up to twenty thousand; not all of them."""
    remembered: list[int] = []

    async def fetch(page: int, limit: int) -> HistoryPage:
        first = (page - 1) * limit
        items = tuple(make_task(number) for number in range(first, min(first + limit, 60_000)))
        return HistoryPage(items, page, limit, "req")

    async def read() -> None:
        iteration = kind(fetch, Options(), Stats())
        while await iteration.next():
            memory = (
                iteration._memory if isinstance(iteration, PlainIteration) else iteration._boundary._memory
            )
            remembered.append(len(memory._recent) + len(memory._older))

    asyncio.run(read())
    assert 10_000 <= max(remembered) < 20_100
