"""Both walks, over a history that moves while it is read; see ``simulation`` for how. No network."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Outcome, Schedule, make_task, simulate

from apimall_async import HistoryPage, PaginationError
from apimall_async._walk import ExactWalk, Tally, Walk, _Memory, furthest_window, walk_pages


schedules = st.builds(
    Schedule,
    tasks=st.sampled_from([0, 1, 2, 49, 50, 51, 99, 100, 250, 500]),
    walk=st.builds(
        Walk,
        limit=st.sampled_from([2, 3, 5, 10, 20, 49, 50, 50, 50]),
        start_page=st.sampled_from([1, 1, 2, 3]),
        max_items=st.sampled_from([None, None, None, 0, 1, 70, 200]),
        read_ahead=st.sampled_from([0, 1, 3, 8, 32]),
        exact=st.just(value=True),
    ),
    seed=st.integers(0, 2**32),
    births=st.sampled_from([0, 0.05, 0.3]),
    deletions=st.sampled_from([0, 0.05, 0.3]),
    faults=st.sampled_from([0, 0, 0.02]),
    cap=st.sampled_from([50, 50, 20, 7]),
)


@settings(max_examples=500)
@given(schedules)
def test_the_exact_walk_is_exact(schedule: Schedule) -> None:
    """No schedule makes it skip a task in silence, repeat one, or leave a request running."""
    outcome = simulate(schedule)
    outcome.check_exact()
    outcome.check_tidy()


def walk_many(n: int, **changes: Any) -> list[Outcome]:
    """Walk n lively histories with read-ahead."""
    lively = Schedule(tasks=300, walk=Walk(read_ahead=8), births=0.1, deletions=0.1)
    return [simulate(attrs.evolve(lively, seed=seed, **changes)) for seed in range(n)]


def test_lively_histories_are_read_to_the_end() -> None:
    """Births and deletions all the while: most walks end well, and repair seams on the way."""
    outcomes = walk_many(100)
    for outcome in outcomes:
        outcome.check_exact()
    assert sum(outcome.ended for outcome in outcomes) > 95
    assert sum(outcome.tally.seams_repaired for outcome in outcomes) > 25


def test_the_simulation_sees_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests can fail: without the proof of its seams the walk skips tasks, and it is seen."""

    def believe(walk: ExactWalk, shown: tuple[Any, ...]) -> tuple[Any, ...]:
        return walk._memory.fresh(shown)

    monkeypatch.setattr(ExactWalk, "_proven", believe)
    caught = 0
    for outcome in walk_many(50):
        try:
            outcome.check_exact()
        except AssertionError as error:
            caught += "skipped in silence" in str(error)
    assert caught > 10


@given(st.integers(0, 1_000), st.sampled_from([1, 5, 20, 50]))
@settings(max_examples=40)
def test_a_quiet_history_read_plainly(tasks: int, limit: int) -> None:
    """All tasks, in order, in tasks // limit + 1 requests."""
    outcome = simulate(Schedule(tasks=tasks, walk=Walk(limit=limit)))
    assert outcome.yielded == outcome.start
    assert outcome.requests == tasks // limit + 1


@given(st.integers(0, 5_000))
@settings(max_examples=40)
def test_a_quiet_history_read_exactly(tasks: int) -> None:
    """All tasks, in order, in at most 1.27 times the plain walk's requests, or one more if there are few."""
    outcome = simulate(Schedule(tasks=tasks, walk=Walk(exact=True)))
    assert outcome.yielded == outcome.start
    plain = tasks // 50 + 1
    assert outcome.requests <= (1.27 * plain if tasks >= 150 else plain + 1)


@given(st.integers(0, 2_000), st.integers(1, 40))
@settings(max_examples=40)
def test_reading_ahead_asks_for_little_more(tasks: int, read_ahead: int) -> None:
    """Beyond the end of the history at most ``read_ahead`` requests are in vain, none for a single page."""
    exact = simulate(Schedule(tasks=tasks, walk=Walk(exact=True)))
    ahead = simulate(Schedule(tasks=tasks, walk=Walk(read_ahead=read_ahead)))
    assert ahead.yielded == ahead.start
    assert ahead.requests <= exact.requests + (read_ahead if tasks >= 50 else 0)


@settings(max_examples=200)
@given(schedules)
def test_the_plain_walk_under_births(schedule: Schedule) -> None:
    """Newest first and births only: every task that was there comes out once, in order."""
    walk = attrs.evolve(schedule.walk, exact=False, read_ahead=0)
    outcome = simulate(attrs.evolve(schedule, walk=walk, deletions=0.0))
    outcome.check_exact()


@given(st.integers(0, 700), st.lists(st.integers(1, 50), max_size=20))
@settings(max_examples=100)
def test_the_plain_walk_under_changing_caps(tasks: int, caps: list[int]) -> None:
    """A gateway that caps the limit now and then: pages begin elsewhere, and no task falls between them."""
    history = tuple(make_task(number) for number in range(tasks))
    left = iter(caps)

    async def fetch(page: int, limit: int) -> HistoryPage:
        limit = min(limit, next(left, 50))
        return HistoryPage(history[(page - 1) * limit : page * limit], page, limit, "req")

    async def read() -> list[Any]:
        return [task async for page in walk_pages(fetch, Walk(), Tally()) for task in page.items]

    assert asyncio.run(read()) == list(history)


def test_what_the_plain_walk_cannot_see() -> None:
    """A deletion between two of its requests costs it a task, as the documentation says."""
    skipped = 0
    for outcome in walk_many(50, walk=Walk(), births=0.0, deletions=0.2):
        skipped += len(outcome.survivors - set(outcome.yielded))
    assert skipped


@settings(max_examples=100)
@given(schedules, st.integers(1, 300))
def test_a_reader_that_stops(schedule: Schedule, enough: int) -> None:
    """Break out after any page: nothing is left running, and what was read has no gap."""
    outcome = simulate(schedule, lambda tasks: tasks < enough)
    outcome.check_exact()
    outcome.check_tidy()


def test_max_items_asks_for_no_more() -> None:
    """One request with the limit that is needed; a start page keeps its place."""
    assert Walk(max_items=5).first_page() == (1, 5)
    assert Walk(max_items=500).first_page() == (1, 50)
    assert Walk(start_page=3, max_items=5).first_page() == (21, 5)
    assert Walk(start_page=2, max_items=7).first_page() == (6, 10)
    assert Walk(start_page=2, limit=49, max_items=5).first_page() == (8, 7)
    for walk in (Walk(max_items=5), Walk(max_items=5, read_ahead=8)):
        outcome = simulate(Schedule(tasks=500, walk=walk))
        assert outcome.requests == 1
        assert outcome.yielded == outcome.start[:5]
    assert simulate(Schedule(tasks=500, walk=Walk(max_items=0))).requests == 0


def test_reading_ahead_stops_at_max_items() -> None:
    """No window is requested that begins beyond what is wanted."""
    outcome = simulate(Schedule(tasks=5_000, walk=Walk(max_items=1_000, read_ahead=64)))
    assert outcome.yielded == outcome.start[:1_000]
    assert outcome.requests <= 1.27 * 1_000 / 50


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_the_furthest_window(begin: int, limit: int) -> None:
    """It covers the position and more, and no other of at most ``limit`` tasks reaches further."""
    window = furthest_window(begin, limit)
    assert window.start <= begin < window.stop - 1
    assert window.stop - window.start == window.limit <= 50
    furthest = max((begin // size + 1) * size for size in range(1, limit + 1))
    assert window.stop >= furthest
    assert window.limit <= limit or furthest == begin + 1


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 10])
def test_small_limits_are_exact_as_well(limit: int) -> None:
    """Also where no two pages of so few tasks overlap."""
    outcome = simulate(Schedule(tasks=2_600 if limit == 10 else 130, walk=Walk(limit=limit, exact=True)))
    assert outcome.yielded == outcome.start
    assert outcome.ended


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 51}, "limit"),
        ({"limit": "50"}, "limit"),
        ({"limit": 20.0}, "limit"),
        ({"limit": True}, "limit"),
        ({"start_page": 0}, "start_page"),
        ({"max_items": -1}, "max_items"),
        ({"read_ahead": -1}, "read_ahead"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], name: str) -> None:
    """The error names the argument and what it may be."""
    with pytest.raises(ValueError, match=f"^{name} must be an integer"):
        Walk(**arguments)


# --- gateways that no walk can trust ------------------------------------------------------------


def walk_over(answer: Callable[[int, int], HistoryPage], walk: Walk) -> tuple[int, int]:
    """Return how many tasks and requests it takes until PaginationError."""
    requests = 0
    tasks = 0

    async def fetch(page: int, limit: int) -> HistoryPage:
        nonlocal requests
        requests += 1
        await asyncio.sleep(0)
        return answer(page, limit)

    async def read() -> None:
        nonlocal tasks
        async for page in walk_pages(fetch, walk, Tally()):
            tasks += len(page.items)

    with pytest.raises(PaginationError):
        asyncio.run(read())
    return tasks, requests


WALKS = [Walk(), Walk(exact=True), Walk(read_ahead=8)]
FIRST = tuple(make_task(number) for number in range(50))


def window_of(tasks: tuple[Any, ...], page: int, limit: int, echo: int | None = None) -> HistoryPage:
    """Return one page of a fixed history."""
    return HistoryPage(tasks[(page - 1) * limit : page * limit], echo or page, limit, "req")


@pytest.mark.parametrize("walk", WALKS)
def test_the_page_is_ignored(walk: Walk) -> None:
    """Another page than the one asked for is an error at once, after what came before."""
    assert walk_over(lambda _, limit: window_of(FIRST, 1, limit), walk)[0] == 50


@pytest.mark.parametrize("walk", WALKS)
def test_the_same_page_for_ever(walk: Walk) -> None:
    """A gateway that pretends to have moved on is found out after a handful of requests."""
    tasks, requests = walk_over(lambda page, limit: HistoryPage(FIRST[:limit], page, limit, "req"), walk)
    assert tasks == 50
    assert requests <= 20


def test_pages_in_a_circle() -> None:
    """Pages that lead back, time and again, are found out too."""
    circle = tuple(make_task(number) for number in range(150))
    tasks, requests = walk_over(
        lambda page, limit: HistoryPage(circle[(page - 1) % 3 * 50 :][:50], page, limit, "req"), Walk()
    )
    assert (tasks, requests) == (150, 16)


@pytest.mark.parametrize("walk", [Walk(limit=20), Walk(exact=True), Walk(limit=20, read_ahead=4)])
def test_an_echo_that_is_too_large(walk: Walk) -> None:
    """A gateway that always echoes its largest limit does not end a walk early."""
    history = tuple(make_task(number) for number in range(300))

    def answer(page: int, limit: int) -> HistoryPage:
        return attrs.evolve(window_of(history, page, limit), limit=50)

    pages = asyncio.run(collect(answer, walk))
    assert tuple(task for page in pages for task in page.items) == history


@pytest.mark.parametrize("walk", WALKS[1:])
def test_one_task_twice_on_a_page(walk: Walk) -> None:
    """The plain walk drops the second, the exact walk does not trust such a page."""
    twice = (*FIRST[:10], *FIRST[:10])
    walk_over(lambda page, limit: window_of(twice, page, limit), walk)
    pages = asyncio.run(collect(lambda page, limit: window_of(twice, page, limit), Walk()))
    assert [page.items for page in pages] == [FIRST[:10]]


async def collect(answer: Callable[[int, int], HistoryPage], walk: Walk) -> list[HistoryPage]:
    """Walk to the end."""

    async def fetch(page: int, limit: int) -> HistoryPage:
        return answer(page, limit)

    return [page async for page in walk_pages(fetch, walk, Tally())]


@pytest.mark.parametrize("walk", WALKS[1:])
def test_an_unstable_order_proves_nothing(walk: Walk) -> None:
    """A gateway that shuffles each answer gets an error, no gap."""
    rng = random.Random(1)
    history = [make_task(number) for number in range(400)]

    def answer(page: int, limit: int) -> HistoryPage:
        rng.shuffle(history)
        return window_of(tuple(history), page, limit)

    walk_over(answer, walk)


def test_a_fixed_page_size_leaves_no_seam() -> None:
    """Where pages cannot overlap, nothing can be proven: an error, after what was proven."""
    history = tuple(make_task(number) for number in range(100))

    def answer(page: int, _: int) -> HistoryPage:
        return window_of(history, page, 10)

    assert walk_over(answer, Walk(exact=True))[0] == 10
    pages = asyncio.run(collect(answer, Walk()))
    assert sum(len(page.items) for page in pages) == 100


@pytest.mark.parametrize("walk", [Walk(), Walk(exact=True)])
def test_a_long_pause(walk: Walk) -> None:
    """1 000 births while the reader slept: the walk finds its place again."""
    history = [make_task(number) for number in range(300)]
    requests = 0

    def answer(page: int, limit: int) -> HistoryPage:
        nonlocal requests
        requests += 1
        if requests == 3:
            history[:0] = [make_task(-number) for number in range(1, 1_001)]
        return window_of(tuple(history), page, limit)

    read = [task for page in asyncio.run(collect(answer, walk)) for task in page.items]
    assert [task for task in read if task in history[1_000:]] == history[1_000:]
    assert len(set(read)) == len(read)


def test_all_is_deleted_meanwhile() -> None:
    """Where nothing is left there is nothing to skip: the walk ends."""
    history = [make_task(number) for number in range(300)]

    def answer(page: int, limit: int) -> HistoryPage:
        shown = window_of(tuple(history), page, limit)
        history.clear()
        return shown

    for walk in (Walk(), Walk(exact=True)):
        assert sum(len(page.items) for page in asyncio.run(collect(answer, walk))) in {0, 50}


def test_a_full_memory_is_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the memory turns over at a page without a new task, the next needs its proof all the same."""
    monkeypatch.setattr("apimall_async._walk._MEMORY", 50)
    for outcome in walk_many(100):
        outcome.check_exact()
    memory = _Memory()
    for fresh in (FIRST, ()):
        memory.hand_out(fresh, FIRST)
    assert not memory.empty


def test_the_memory_is_bounded() -> None:
    """A long walk remembers the last tasks, not all of them."""
    memory_of: list[int] = []

    async def read() -> None:
        async def fetch(page: int, limit: int) -> HistoryPage:
            first = (page - 1) * limit
            items = tuple(make_task(number) for number in range(first, min(first + limit, 60_000)))
            return HistoryPage(items, page, limit, "req")

        walk = ExactWalk(fetch, Walk(exact=True), Tally())
        while await walk.next():
            memory_of.append(len(walk._memory._recent) + len(walk._memory._older))

    asyncio.run(read())
    assert 10_000 <= max(memory_of) < 20_100
