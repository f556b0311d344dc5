"""Exact iteration: no task is skipped silently, whatever happens to the list. No network."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from responders import page_of, read_until_error
from simulation import Schedule, make_task, simulate, simulate_many

from apimall_async import HistoryPage
from apimall_async._pagination import Options
from apimall_async._pagination._exact import ExactIteration


schedules = st.builds(
    Schedule,
    tasks=st.sampled_from([0, 1, 2, 49, 50, 51, 99, 100, 250, 500]),
    options=st.builds(
        Options,
        page_size=st.sampled_from([2, 3, 5, 10, 20, 49, 50, 50, 50]),
        start_page=st.sampled_from([1, 1, 2, 3]),
        max_items=st.sampled_from([None, None, None, 0, 1, 70, 200]),
        read_ahead=st.sampled_from([0, 1, 3, 8, 32]),
        exact=st.just(value=True),
    ),
    seed=st.integers(0, 2**32),
    creations=st.sampled_from([0, 0.05, 0.3]),
    deletions=st.sampled_from([0, 0.05, 0.3]),
    faults=st.sampled_from([0, 0, 0.02]),
    cap=st.sampled_from([50, 50, 20, 7]),
)


@settings(max_examples=500)
@given(schedules)
def test_exact_iteration_is_exact(schedule: Schedule) -> None:
    """No schedule makes it skip a task silently, yield one twice, or leave a request running."""
    outcome = simulate(schedule)
    outcome.check_exact()
    outcome.check_tidy()


@settings(max_examples=100)
@given(schedules, st.integers(1, 300))
def test_a_reader_that_stops(schedule: Schedule, enough: int) -> None:
    """After any page: nothing is left running, and what was read has no gap."""
    outcome = simulate(schedule, lambda tasks: tasks < enough)
    outcome.check_exact()
    outcome.check_tidy()


def test_lists_that_change_a_lot_are_read_to_the_end() -> None:
    """Tasks are created and deleted all the time: most iterations end well, and repair page boundaries."""
    outcomes = simulate_many(100)
    for outcome in outcomes:
        outcome.check_exact()
    assert sum(outcome.ended for outcome in outcomes) > 95
    assert sum(outcome.stats.boundaries_repaired for outcome in outcomes) > 25


def test_the_simulation_sees_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests can fail: an iteration that proves nothing skips tasks, and that is seen."""

    def believe(iteration: ExactIteration[Any], shown: tuple[Any, ...]) -> tuple[Any, ...]:
        known = {index for index, _ in iteration._memory.known(shown)}
        return tuple([task for index, task in enumerate(shown) if index not in known])

    monkeypatch.setattr(ExactIteration, "_proven", believe)
    caught = 0
    for outcome in simulate_many(50):
        try:
            outcome.check_exact()
        except AssertionError as error:
            caught += "skipped silently" in str(error)
    assert caught > 10


@given(st.integers(0, 5_000))
@settings(max_examples=40)
def test_what_it_costs(tasks: int) -> None:
    """At most 1.27 times the requests of plain iteration, or one more if there are few."""
    outcome = simulate(Schedule(tasks=tasks, options=Options(exact=True)))
    assert outcome.yielded == outcome.start
    plain = tasks // 50 + 1
    assert outcome.requests <= (1.27 * plain if tasks >= 150 else plain + 1)


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
