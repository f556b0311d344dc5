"""Plain iteration: what it costs, and what it can and cannot see of a list that changes. No network."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from responders import page_of, read
from simulation import Schedule, make_task, simulate, simulate_many

from apimall_async import HistoryPage
from apimall_async._pagination import Options


schedules = st.builds(
    Schedule,
    tasks=st.sampled_from([0, 1, 2, 49, 50, 51, 99, 100, 250, 500]),
    options=st.builds(
        Options,
        page_size=st.sampled_from([2, 3, 5, 10, 20, 49, 50, 50, 50]),
        start_page=st.sampled_from([1, 1, 2, 3]),
        max_items=st.sampled_from([None, None, None, 0, 1, 70, 200]),
    ),
    seed=st.integers(0, 2**32),
    creations=st.sampled_from([0, 0.05, 0.3]),
    faults=st.sampled_from([0, 0, 0.02]),
    cap=st.sampled_from([50, 50, 20, 7]),
)


@given(st.integers(0, 1_000), st.sampled_from([1, 5, 20, 50]))
@settings(max_examples=40)
def test_a_list_that_does_not_change(tasks: int, page_size: int) -> None:
    """All tasks, in order, in tasks // page_size + 1 requests."""
    outcome = simulate(Schedule(tasks=tasks, options=Options(page_size=page_size)))
    assert outcome.yielded == outcome.start
    assert outcome.requests == tasks // page_size + 1


@settings(max_examples=80)
@given(schedules)
def test_tasks_that_are_created_meanwhile(schedule: Schedule) -> None:
    """Every task that was there at the start is yielded once, in order."""
    simulate(schedule).check_exact()


@given(st.integers(0, 700), st.lists(st.integers(1, 50), max_size=20))
@settings(max_examples=40)
def test_a_cap_that_changes(tasks: int, caps: list[int]) -> None:
    """A gateway that caps the limit sometimes: pages begin elsewhere, and no task falls between them."""
    history = [make_task(number) for number in range(tasks)]
    left = iter(caps)

    def respond(page: int, limit: int) -> HistoryPage:
        return page_of(history, page, min(limit, next(left, 50)))

    assert read(respond, Options()) == history


def test_deletions_are_not_seen() -> None:
    """A deletion between two requests can cost a task, as the documentation says."""
    outcomes = simulate_many(50, options=Options(), creations=0.0, deletions=0.2)
    assert any(outcome.survivors - set(outcome.yielded) for outcome in outcomes)


@settings(max_examples=50)
@given(schedules, st.integers(1, 300))
def test_a_reader_that_stops(schedule: Schedule, enough: int) -> None:
    """After any page: no further request is sent, and what was read has no gap."""
    outcome = simulate(attrs.evolve(schedule, cap=50), lambda tasks: tasks < enough)
    outcome.check_exact()
    outcome.check_tidy()
