"""``after=`` and ``until=``: what stands behind a task, and before one. No network."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from responders import page_of, read
from simulation import NOW, Schedule, Simulation, make_task, simulate
from worlds import MOVING, World, strategy

from apimall_async import HistoryPage, ImageTask, PaginationError
from apimall_async._pagination import Options


ORDERS: World = {
    "tasks": [1, 2, 49, 50, 51, 100, 250, 500],
    "oldest_first": [False, False, True],
    "unordered": [False, False, True],
    "start_page": [1, 1, 2, 7],
    "max_items": [None],
}
USUAL: World = {
    "page_size": [20, 49, 50],
    "cap": [50],
    "past_end": ["empty", "empty as last", "refused", "last"],
}
TIES: World = {"batch": [4, 10], "ties": ["any", "by range"], "unordered": [False]}


def change(schedule: Schedule, **options: Any) -> Schedule:
    """Change options of a schedule."""
    return attrs.evolve(schedule, options=attrs.evolve(schedule.options, **options))


def in_order(schedule: Schedule) -> list[ImageTask]:
    """Return the list with which a schedule begins."""
    history = Simulation(schedule).history
    return history[::-1] if schedule.oldest_first else history


# after


@settings(max_examples=60)
@given(strategy(ORDERS, USUAL), st.floats(0, 1), st.sampled_from(["task", "id", "list"]))
def test_what_stands_behind_a_task(schedule: Schedule, where: float, form: str) -> None:
    """Exactly that, wherever it stands and in whatever order the list is; nothing behind the last one."""
    history = in_order(schedule)
    place = int(where * (len(history) - 1))
    after: Any = {"task": history[place], "id": history[place].task_id, "list": history[: place + 1][-20:]}[
        form
    ]
    outcome = simulate(change(schedule, after=after))
    assert outcome.error is None
    assert outcome.yielded == history[place + 1 :]
    outcome.check_tidy()


@settings(max_examples=60)
@given(strategy(MOVING, ORDERS), st.floats(0, 1), st.integers(1, 20))
def test_what_stands_behind_while_the_list_changes(schedule: Schedule, where: float, known: int) -> None:
    """Every task that stays and stood behind it, once and in order; or an error."""
    history = in_order(schedule)
    place = int(where * (len(history) - 1))
    after = history[: place + 1][-known:]
    outcome = simulate(change(schedule, after=after))
    outcome.check_exact()
    outcome.check_tidy()
    assert not set(outcome.yielded) & set(history[: place + 1]), "what stands before it was yielded"


@settings(max_examples=60)
@given(strategy(ORDERS, TIES) | strategy(MOVING, ORDERS, TIES), st.floats(0, 1), st.integers(1, 30))
def test_ties_around_it(schedule: Schedule, where: float, known: int) -> None:
    """Where tasks of its time change places, nothing is missed, unless that is logged."""
    history = in_order(schedule)
    place = int(where * (len(history) - 1))
    outcome = simulate(change(schedule, after=history[: place + 1][-known:]))
    outcome.check_exact()


def test_ties_in_front_of_it() -> None:
    """Tasks of its time that were not among the last ones are new, also if they stand before it by now."""
    history = [make_task(number) for number in range(60)]
    history[20:26] = [attrs.evolve(task, created_at=history[20].created_at) for task in history[20:26]]
    later = [*history[:20], *history[20:26][::-1], *history[26:]]
    for start_page in (1, 2):
        options = Options(after=history[19:23], page_size=20, start_page=start_page)
        tasks = read(lambda page, limit: page_of(later, page, limit), options)
        assert tasks == [*later[20:23], *later[26:]]


@settings(max_examples=60)
@given(strategy(USUAL, {"tasks": [100, 250], "max_items": [1, 7, 60, 120]}), st.floats(0, 1))
def test_max_items_behind_a_task(schedule: Schedule, where: float) -> None:
    """So many of those behind it."""
    history = in_order(schedule)
    place = int(where * (len(history) - 1))
    outcome = simulate(change(schedule, after=history[place]))
    assert outcome.error is None
    assert outcome.yielded == history[place + 1 :][: schedule.options.max_items]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("tasks", [1_000, 20_000])
def test_it_is_found_in_few_requests(tasks: int, oldest_first: bool) -> None:
    """By its created_at: the number grows with the logarithm of the length; by a good start_page at once."""
    history = [make_task(number) for number in range(tasks)]
    history = history[::-1] if oldest_first else history
    requests = 0

    def respond(page: int, limit: int) -> HistoryPage:
        nonlocal requests
        requests += 1
        return page_of(history, page, limit)

    for place in (0, 49, 50, tasks // 3, tasks - 60, tasks - 2):
        for start_page, most in ((1, 2 * (tasks // 50).bit_length() + 3), (place // 50 + 1, 3)):
            requests = 0
            options = Options(after=history[place], start_page=start_page, max_items=1)
            assert read(respond, options) == [history[place + 1]]
            assert requests <= most


@settings(max_examples=40)
@given(strategy(ORDERS, USUAL), st.booleans(), st.sampled_from([-1, 19.5, 49.5, 70.5, 9_999]))
def test_a_task_that_is_not_there(schedule: Schedule, by_id: bool, seconds: float) -> None:
    """An error that names it, wherever it would be."""
    gone = attrs.evolve(make_task(20_000), created_at=NOW - timedelta(seconds=seconds))
    outcome = simulate(change(schedule, after=gone.task_id if by_id else gone))
    assert isinstance(outcome.error, PaginationError)
    assert "img_20000" in str(outcome.error)
    assert not outcome.yielded


@settings(max_examples=40)
@given(strategy(ORDERS, USUAL), st.floats(0, 1), st.integers(2, 20))
def test_one_of_several_is_enough(schedule: Schedule, where: float, known: int) -> None:
    """The last of the tasks that are given was deleted: it goes on behind the one before."""
    history = in_order(schedule)
    place = int(where * (len(history) - 1))
    assume(place > 0)
    gone = make_task(20_000)
    outcome = simulate(change(schedule, after=[*history[: place + 1][-known:], gone]))
    assert outcome.error is None
    assert outcome.yielded == history[place + 1 :]


@pytest.mark.parametrize("after", [None, [], ()])
def test_nothing_to_continue_behind(after: Any) -> None:
    """It begins at the newest, as without."""
    outcome = simulate(Schedule(tasks=120, options=Options(after=after)))
    assert outcome.yielded == outcome.start


@pytest.mark.parametrize("value", [7, b"img_1", "", 1.5, object(), [7], [""], ["img_1", None]])
def test_no_task_to_continue_behind(value: Any) -> None:
    """The error names the argument."""
    with pytest.raises(ValueError, match=r"^after must be a task or the id of one, not "):
        Options(after=value)


# until


UNTIL: World = {"exact": [False, True], "read_ahead": [0, 0, 3], "start_page": [1], "past_end": ["empty"]}


@settings(max_examples=60)
@given(strategy(ORDERS, USUAL, UNTIL), st.floats(0, 1), st.sampled_from(["task", "id"]))
def test_what_stands_before_a_task(schedule: Schedule, where: float, form: str) -> None:
    """Exactly that, if the list is in the order of time; by its id alone, in every order."""
    if form == "task":
        schedule = attrs.evolve(schedule, unordered=False)
    history = in_order(schedule)
    place = int(where * (len(history) - 1))
    outcome = simulate(change(schedule, until=history[place].task_id if form == "id" else history[place]))
    assert outcome.error is None
    assert outcome.yielded == history[:place]
    outcome.check_tidy()


@settings(max_examples=50)
@given(strategy(ORDERS, USUAL, UNTIL), st.integers(-10, 520))
def test_what_is_not_older(schedule: Schedule, seconds: int) -> None:
    """With a datetime: all tasks of that time and newer, in the order of the list, whatever that is."""
    time = NOW - timedelta(seconds=seconds)
    outcome = simulate(change(schedule, until=time))
    assert outcome.error is None
    assert outcome.yielded == [task for task in in_order(schedule) if task.created_at >= time]


@pytest.mark.parametrize("options", [{}, {"exact": True}])
def test_no_request_too_many(options: dict[str, Any]) -> None:
    """The page that shows the end of what is wanted is the last one."""
    for place in (0, 1, 40, 49, 60, 90):
        history = [make_task(number) for number in range(300)]
        for until in (history[place], history[place].task_id, history[place].created_at):
            outcome = simulate(Schedule(tasks=300, options=Options(until=until, **options)))
            shown = place + 1 + isinstance(until, datetime)  # the first older one shows it
            assert outcome.requests == (1 if shown <= 50 else 2)


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"read_ahead": 4}])
def test_a_deleted_task_ends_it_too(options: dict[str, Any]) -> None:
    """If its time is known, what is older is not wanted; by its id alone it is not found."""
    history = [make_task(number) for number in range(200) if number != 70]
    respond = lambda page, limit: page_of(history, page, limit)  # noqa: E731
    assert read(respond, Options(until=make_task(70), **options)) == history[:70]
    assert read(respond, Options(until="img_70", **options)) == history


@pytest.mark.parametrize("max_items", [0, 1, 50, 69, 70, 71, 500])
def test_max_items_and_until(max_items: int) -> None:
    """Whichever comes first."""
    options = Options(until="img_70", max_items=max_items)
    outcome = simulate(Schedule(tasks=200, options=options))
    assert outcome.yielded == [make_task(number) for number in range(min(70, max_items))]


@pytest.mark.parametrize("value", [7, b"img_1", "", 1.5, object(), ["img_1"], NOW.date()])
def test_no_task_to_end_at(value: Any) -> None:
    """The error names the argument."""
    with pytest.raises(ValueError, match=r"^until must be a task or the id of one, not "):
        Options(until=value)


def test_a_naive_datetime() -> None:
    """It is no point in time: the error says what is needed."""
    with pytest.raises(ValueError, match=r"^until must be an aware datetime, not "):
        Options(until=datetime(2026, 3, 12))  # noqa: DTZ001
    assert Options(until=datetime(2026, 3, 12, tzinfo=UTC))


# Both.


@settings(max_examples=50)
@given(
    strategy({"tasks": [100, 250]}),
    st.integers(0, 130),
    st.sampled_from([{}, {"exact": True}, {"read_ahead": 3}]),
)
def test_what_is_new_since_last_time(schedule: Schedule, new: int, options: dict[str, Any]) -> None:
    """``until`` the newest task of last time: the new ones, all of them, and nothing else."""
    known = in_order(schedule)
    history = [*(make_task(-number) for number in range(new, 0, -1)), *known]
    tasks = read(lambda page, limit: page_of(history, page, limit), Options(until=known[0], **options))
    assert tasks == history[:new]


@settings(max_examples=60)
@given(strategy({"tasks": [250]}, {"batch": [1, 4]}), st.floats(0, 1), st.floats(0, 1))
def test_from_one_task_to_another(schedule: Schedule, begin: float, end: float) -> None:
    """What stands between them."""
    history = in_order(schedule)
    first, last = sorted((int(begin * 249), int(end * 249)))
    assume(first < last)
    options = Options(after=history[first].task_id, until=history[last].task_id)
    tasks = read(lambda page, limit: page_of(history, page, limit), options)
    assert tasks == history[first + 1 : last]


@settings(max_examples=60)
@given(strategy(USUAL, {"tasks": [100, 250], "start_page": [1], "max_items": [None]}), st.integers(1, 240))
def test_an_iteration_in_two_parts(schedule: Schedule, stop: int) -> None:
    """A reader stops after a page, another continues behind its last tasks: all tasks, once."""
    first = simulate(schedule, lambda tasks: tasks < stop)
    second = simulate(change(schedule, after=first.yielded[-30:]))
    assert first.yielded + second.yielded == first.start


def test_a_page_of_its_own_limit() -> None:
    """A gateway that caps the limit while it is searched: found all the same."""
    history = [make_task(number) for number in range(400)]

    def respond(page: int, limit: int) -> HistoryPage:
        return page_of(history, page, min(limit, 20))

    assert read(respond, Options(after=history[333])) == history[334:]
