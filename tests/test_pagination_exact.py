"""Exact iteration: no task is skipped silently, whatever happens to the list. No network."""

import random
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from responders import page_of, read_until_error
from simulation import Outcome, Schedule, make_task, simulate, simulate_many
from worlds import MOVING, QUIET, WORLDS, World, strategy

from apimall_async import HistoryPage
from apimall_async._pagination import Options


BIG_GROUPS: World = {
    "tasks": [150, 250, 500],
    "batch": [24, 49, 60, 200],
    "cap": [50],
    "page_size": [49, 50],
    "past_end": ["empty", "empty as last", "refused", "last"],
}
BOUNDS: World = {"start_page": [1], "max_items": [None]}
WHOLE: World = {"page_size": [20, 25, 49, 50], "start_page": [1], "max_items": [None]}
GROUPS: World = {**WHOLE, "ties": ["stable", "any", "by range"], "oldest_first": [False, True]}
SMALL: World = {"batch": [1, 4], "cap": [20, 50], "page_size": [10, 20, 50]}
EACH_WORLD = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


@EACH_WORLD
@settings(max_examples=30)
@given(st.data())
def test_exact_iteration_is_exact(world: World, data: st.DataObject) -> None:
    """No schedule makes it skip a task silently, yield one twice, or leave a request running.

    What it cannot prove is logged, with the time of the tasks in question; only such tasks may be missing.
    """
    outcome = simulate(data.draw(strategy(MOVING, world) | strategy(QUIET, world)))
    outcome.check_exact()
    outcome.check_tidy()


def test_known_tasks_of_a_big_group_are_not_the_last_page_again() -> None:
    """A page in the middle of a group may show known ones alone, in the order that its range has."""
    options = Options(page_size=2, read_ahead=1)
    simulate(
        Schedule(tasks=99, cap=20, batch=24, ties="by range", hidden=0.05, seed=546_261, options=options)
    ).check_exact()


@settings(max_examples=40)
@given(strategy(MOVING, WORLDS["groups of 10, any order"]), st.integers(1, 300))
def test_a_reader_that_stops(schedule: Schedule, enough: int) -> None:
    """After any page: nothing is left running, and what was read has no gap."""
    outcome = simulate(schedule, lambda tasks: tasks < enough)
    outcome.check_exact()
    outcome.check_tidy()


@settings(max_examples=120)
@given(strategy(GROUPS, {"batch": [1, 4, 10], "cap": [50]}) | strategy(GROUPS, SMALL) | strategy(BOUNDS))
def test_quiet_lists_are_read_to_the_end(schedule: Schedule) -> None:
    """Groups that fit on a page twice, in whatever order, and every end: no error, nothing to warn of."""
    outcome = simulate(schedule)
    assert outcome.error is None
    assert not outcome.warned
    assert set(outcome.yielded) == set(outcome.start)
    outcome.check_exact()


@settings(max_examples=40)
@given(strategy(WHOLE, BIG_GROUPS))
def test_big_groups_in_a_stable_order(schedule: Schedule) -> None:
    """Tasks of one time that no page can show whole are read; nothing moves, so it never raises."""
    outcome = simulate(schedule)
    assert outcome.error is None
    assert outcome.yielded == outcome.start
    if any(size > 50 for size in _groups(outcome).values()):
        assert outcome.warned


@settings(max_examples=40)
@given(strategy(WHOLE, BIG_GROUPS, {"ties": ["any", "by range"]}))
def test_big_groups_whose_order_changes(schedule: Schedule) -> None:
    """It raises, or logs the times of which tasks may be missing."""
    outcome = simulate(schedule)
    outcome.check_exact()
    if any(size > 50 for size in _groups(outcome).values()):
        assert outcome.error or outcome.warned


def _groups(outcome: Outcome) -> dict[object, int]:
    groups: dict[object, int] = {}
    for task in outcome.start:
        groups[task.created_at] = groups.get(task.created_at, 0) + 1
    return groups


def test_lists_that_change_a_lot_are_read_to_the_end() -> None:
    """Tasks are created and deleted all the time: most iterations end well, and repair page boundaries."""
    outcomes = simulate_many(100)
    for outcome in outcomes:
        outcome.check_exact()
    assert sum(outcome.ended for outcome in outcomes) > 95
    assert sum(outcome.stats.boundaries_repaired for outcome in outcomes) > 25


# What it costs.


@given(st.integers(0, 5_000))
@settings(max_examples=40)
def test_what_it_costs(tasks: int) -> None:
    """At most 1.25 times the requests of plain iteration, rounded up, and two more at the end."""
    outcome = simulate(Schedule(tasks=tasks, options=Options(exact=True)))
    assert outcome.yielded == outcome.start
    assert outcome.requests <= ceil(1.25 * (tasks // 50 + 1)) + 2


def test_what_it_costs_in_a_long_list() -> None:
    """20 000 tasks of different times: at most 1.25 times the requests of plain iteration, end included."""
    outcome = simulate(Schedule(tasks=20_000, options=Options(exact=True)))
    assert outcome.yielded == outcome.start
    assert outcome.requests <= 1.25 * (20_000 // 50 + 1)


@given(st.integers(0, 2_000), st.integers(1, 40))
@settings(max_examples=40)
def test_what_prefetching_costs(tasks: int, read_ahead: int) -> None:
    """At most ``read_ahead`` requests more, beyond the end of the list; none for a single page."""
    exact = simulate(Schedule(tasks=tasks, options=Options(exact=True)))
    ahead = simulate(Schedule(tasks=tasks, options=Options(read_ahead=read_ahead)))
    assert ahead.yielded == ahead.start
    assert ahead.requests <= exact.requests + (read_ahead if tasks >= 50 else 0)


def test_prefetching_stops_at_max_items() -> None:
    """No page is requested that begins beyond what is wanted."""
    outcome = simulate(Schedule(tasks=5_000, options=Options(max_items=1_000, read_ahead=64)))
    assert outcome.yielded == outcome.start[:1_000]
    assert outcome.requests <= 1.27 * 1_000 / 50


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 10])
def test_small_pages(page_size: int) -> None:
    """Exact as well, also where no two pages of so few tasks overlap."""
    tasks = 2_600 if page_size == 10 else 130
    outcome = simulate(Schedule(tasks=tasks, options=Options(page_size=page_size, exact=True)))
    assert outcome.yielded == outcome.start
    assert outcome.ended


# What it must not believe.


@pytest.mark.parametrize("read_ahead", [0, 8])
def test_an_unstable_order_proves_nothing(read_ahead: int) -> None:
    """A gateway that shuffles the list for each response: an error, and no gap."""
    rng = random.Random(1)
    history = [make_task(number) for number in range(400)]

    def respond(page: int, limit: int) -> HistoryPage:
        rng.shuffle(history)
        return page_of(history, page, limit)

    read_until_error(respond, Options(exact=True, read_ahead=read_ahead))


def test_a_full_memory_is_no_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the memory is renewed at a page without a new task, the next page is proven all the same."""
    monkeypatch.setattr("apimall_async._pagination._memory._REMEMBERED", 50)
    for outcome in simulate_many(100):
        outcome.check_exact()


@settings(max_examples=30)
@given(strategy(WHOLE, {"tasks": [100, 150, 250, 500], "hidden": [0.01, 0.05, 0.2], "cap": [50]}))
def test_hidden_rows_end_nothing(schedule: Schedule) -> None:
    """Rows that are taken out of pages, up to one in five: all others are read, without an error."""
    if schedule.past_end != "last as requested":
        outcome = simulate(schedule)
        assert outcome.error is None
        assert outcome.yielded == outcome.start
