"""What both kinds of iteration do: arguments, limits, and gateways that cannot be trusted. No network."""

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from responders import FIRST, page_of, read, read_until_error
from simulation import Schedule, make_task, simulate

from apimall_async import HistoryPage
from apimall_async._page_ranges import PageRange
from apimall_async._pagination import Options


PLAIN, EXACT, PREFETCHED = Options(), Options(exact=True), Options(read_ahead=8)
BOTH = pytest.mark.parametrize("options", [PLAIN, EXACT], ids=["plain", "exact"])
EACH = pytest.mark.parametrize("options", [PLAIN, EXACT, PREFETCHED], ids=["plain", "exact", "prefetched"])


# What is requested.


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"page_size": 0}, "page_size"),
        ({"page_size": 51}, "page_size"),
        ({"page_size": "50"}, "page_size"),
        ({"page_size": 20.0}, "page_size"),
        ({"page_size": True}, "page_size"),
        ({"start_page": 0}, "start_page"),
        ({"max_items": -1}, "max_items"),
        ({"read_ahead": -1}, "read_ahead"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], name: str) -> None:
    """The error names the argument and what it may be."""
    with pytest.raises(ValueError, match=f"^{name} must be an integer"):
        Options(**arguments)


@pytest.mark.parametrize(
    ("options", "first"),
    [
        (Options(max_items=5), PageRange(1, 5)),
        (Options(max_items=500), PageRange(1, 50)),
        (Options(start_page=3, max_items=5), PageRange(21, 5)),
        (Options(start_page=2, max_items=7), PageRange(6, 10)),
        (Options(start_page=2, page_size=49, max_items=5), PageRange(8, 7)),
    ],
)
def test_the_first_page(options: Options, first: PageRange) -> None:
    """It is no larger than ``max_items`` needs, and begins where ``start_page`` says."""
    assert options.first_page() == first


@pytest.mark.parametrize("options", [Options(max_items=5), Options(max_items=5, read_ahead=8)])
def test_max_items_on_one_page(options: Options) -> None:
    """One request is sent; none if nothing is wanted."""
    outcome = simulate(Schedule(tasks=500, options=options))
    assert outcome.requests == 1
    assert outcome.yielded == outcome.start[:5]
    nothing = simulate(Schedule(tasks=500, options=attrs.evolve(options, max_items=0)))
    assert nothing.requests == 0
    assert nothing.yielded == []


# A list that changes a lot.


@BOTH
def test_a_long_pause(options: Options) -> None:
    """1 000 tasks are created while the reader sleeps: the iteration goes on where it was."""
    history = [make_task(number) for number in range(300)]
    requests = 0

    def respond(page: int, limit: int) -> HistoryPage:
        nonlocal requests
        requests += 1
        if requests == 3:
            history[:0] = [make_task(number) for number in range(-1_000, 0)]
        return page_of(history, page, limit)

    tasks = read(respond, options)
    assert [task for task in tasks if task in history[1_000:]] == history[1_000:]
    assert len(set(tasks)) == len(tasks)


@BOTH
def test_all_is_deleted_meanwhile(options: Options) -> None:
    """If nothing is left there is nothing to skip: the iteration ends."""
    history = [make_task(number) for number in range(300)]

    def respond(page: int, limit: int) -> HistoryPage:
        shown = page_of(history, page, limit)
        history.clear()
        return shown

    assert len(read(respond, options)) == 50


# Gateways that cannot be trusted.


@EACH
def test_the_page_is_ignored(options: Options) -> None:
    """Another page than the requested one is an error at once, after what was read before it."""
    assert read_until_error(lambda _, limit: page_of(FIRST, 1, limit), options)[0] == 50


@EACH
def test_a_page_further_on(options: Options) -> None:
    """A page behind the requested one would be a gap: it is an error."""
    assert read_until_error(lambda page, limit: page_of(FIRST, page + 1, limit), options)[0] == 0


@pytest.mark.parametrize("options", [EXACT, PREFETCHED], ids=["exact", "prefetched"])
def test_an_empty_page_before_all_others(options: Options) -> None:
    """Page 1 is empty, and page 2 is not: exact iteration tries again, and raises."""
    history = [make_task(number) for number in range(120)]

    def respond(page: int, limit: int) -> HistoryPage:
        return page_of(history if page > 1 else (), page, limit)

    assert read_until_error(respond, options)[0] == 0


@EACH
def test_the_same_page_for_ever(options: Options) -> None:
    """A gateway that sends one page under every number is detected after a few requests."""
    tasks, requests = read_until_error(
        lambda page, limit: HistoryPage(FIRST[:limit], page, limit, "req"), options
    )
    assert tasks == 50
    assert requests <= 25


def test_pages_in_a_circle() -> None:
    """Pages that lead back to the first, again and again, are detected, too."""
    circle = tuple(make_task(number) for number in range(150))
    tasks, requests = read_until_error(
        lambda page, limit: HistoryPage(circle[(page - 1) % 3 * 50 :][:50], page, limit, "req"), PLAIN
    )
    assert tasks == 150
    assert requests <= 20


@pytest.mark.parametrize(
    "options", [Options(page_size=20), Options(exact=True), Options(page_size=20, read_ahead=4)]
)
def test_an_echo_that_is_too_large(options: Options) -> None:
    """A gateway that always echoes its largest limit does not end an iteration early."""
    history = [make_task(number) for number in range(300)]
    assert read(lambda page, limit: attrs.evolve(page_of(history, page, limit), limit=50), options) == history


@BOTH
def test_one_task_twice_on_a_page(options: Options) -> None:
    """Plain iteration drops the second; exact iteration does not trust such a page."""
    twice = (*FIRST[:10], *FIRST[:10])
    if options.exact:
        read_until_error(lambda page, limit: page_of(twice, page, limit), options)
    else:
        assert read(lambda page, limit: page_of(twice, page, limit), options) == list(FIRST[:10])


@BOTH
def test_a_page_size_that_the_gateway_fixes(options: Options) -> None:
    """Where pages cannot overlap, nothing can be proven: exact iteration ends in an error, after a page."""
    history = [make_task(number) for number in range(100)]
    if options.exact:
        assert read_until_error(lambda page, _: page_of(history, page, 10), options)[0] == 10
    else:
        assert read(lambda page, _: page_of(history, page, 10), options) == history


@settings(max_examples=30)
@given(st.integers(0, 500), st.sampled_from([1, 7, 20, 50]), st.sampled_from([PLAIN, EXACT, PREFETCHED]))
def test_max_items_of_any_list(tasks: int, max_items: int, options: Options) -> None:
    """So many are yielded, or all that there are, in order."""
    outcome = simulate(Schedule(tasks=tasks, options=attrs.evolve(options, max_items=max_items)))
    assert outcome.yielded == outcome.start[:max_items]
