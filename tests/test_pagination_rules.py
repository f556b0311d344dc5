"""Each rule of iteration is needed: without it tasks are lost, and the simulation sees it. No network."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from simulation import Outcome, simulate
from worlds import MOVING, QUIET, WORLDS, World, draw

from apimall_async import HistoryPage
from apimall_async._page_ranges import PageRange
from apimall_async._pagination._boundary import Boundary
from apimall_async._pagination._end import End
from apimall_async._pagination._exact import ExactIteration
from apimall_async._pagination._fetch import PageReader
from apimall_async._pagination._plain import PlainIteration


LONG: World = {"tasks": [250, 500], "page_size": [50], "cap": [50], "start_page": [1], "max_items": [None]}


def outcomes(seeds: int, *changes: World) -> Iterable[Outcome]:
    """Run schedules of a world."""
    return (simulate(draw(seed, *changes)) for seed in range(seeds))


def count_losses(results: Iterable[Outcome]) -> int:
    """Count those that lost or repeated a task in silence."""
    losses = 0
    for outcome in results:
        try:
            outcome.check_exact()
        except AssertionError:
            losses += 1
    return losses


Switch = Callable[[pytest.MonkeyPatch], None]


def believe_any_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all that is unknown for what comes next."""

    def unknown(boundary: Boundary, shown: tuple[Any, ...], *, from_start: bool) -> tuple[Any, ...]:
        known = {index for index, _ in boundary._memory.known(shown)}
        return tuple([item for index, item in enumerate(shown) if index not in known])

    monkeypatch.setattr(Boundary, "prove", unknown)


def believe_an_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the last known item for the anchor, whatever its time, as 0.1.0 did."""

    def behind_the_last_known(
        boundary: Boundary, shown: tuple[Any, ...], *, from_start: bool
    ) -> tuple[Any, ...] | None:
        if boundary.empty:
            return shown
        known = boundary._memory.known(shown)
        return shown[known[-1][0] + 1 :] if known else None

    monkeypatch.setattr(Boundary, "prove", behind_the_last_known)


def end_at_a_short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not look behind a short page."""
    go_on = ExactIteration._go_on

    def stop(
        iteration: ExactIteration[Any], served: PageRange, items: Any, fresh: Any, *, ahead: bool
    ) -> None:
        go_on(iteration, served, items, fresh, ahead=ahead)
        iteration._over |= len(items) < served.limit

    monkeypatch.setattr(ExactIteration, "_go_on", stop)


def look_behind_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """End where nothing is behind, without a look at the last items afterwards."""
    monkeypatch.setattr(End, "almost_empty", property(lambda _: True))


def look_behind_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a page for a look behind the last one although the list has moved."""
    monkeypatch.setattr(End, "has_room", lambda *_: True)


def refuse_the_first_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a refused first page for an empty list."""
    past_end = PageReader._past_end

    async def any_page(reader: PageReader, requested: PageRange, error: Any) -> Any:
        return await past_end(reader, PageRange(requested.page + 1, requested.limit), error)

    monkeypatch.setattr(PageReader, "_past_end", any_page)


def log_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not say which tasks no page can prove."""
    monkeypatch.setattr(Boundary, "_report", lambda *_: None)


def believe_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every 404 for the end of the list, in plain iteration."""

    async def end(iteration: PlainIteration[Any], requested: PageRange) -> HistoryPage:
        return HistoryPage((), requested.page, requested.limit, "req")

    monkeypatch.setattr(PlainIteration, "_find_end", end)


CHANGED_ORDER: World = {"batch": [10], "ties": ["any", "by range"]}
BIG_GROUPS: World = {"batch": [49, 60], "ties": ["any", "by range"]}
RULES: dict[str, tuple[Switch, tuple[World, ...], int]] = {
    "a known item proves a page": (believe_any_page, (MOVING, WORLDS["different times"], LONG), 60),
    "of another time than the last": (believe_an_equal, (QUIET, CHANGED_ORDER, LONG), 20),
    "a short page is looked behind": (end_at_a_short_page, (QUIET, WORLDS["1 to 20 % hidden"], LONG), 20),
    "the last items are looked at once more": (
        look_behind_once,
        (MOVING, WORLDS["1 to 20 % hidden"], {**LONG, "deletions": [0.3]}),
        30,
    ),
    "only where the list has not moved": (
        look_behind_anywhere,
        (MOVING, WORLDS["1 to 20 % hidden"], {**LONG, "cap": [20]}),
        45,
    ),
    "what cannot be proven is logged": (log_nothing, (QUIET, BIG_GROUPS, LONG), 60),
    "plain iteration confirms a refusal": (
        believe_a_refusal,
        (QUIET, {**LONG, "refusals": [0.1], "exact": [False], "read_ahead": [0], "past_end": ["empty"]}),
        20,
    ),
    "page 1 is never past the end": (
        refuse_the_first_page,
        (QUIET, {**LONG, "refusals": [0.1]}),
        20,
    ),
}


@pytest.mark.parametrize(("switch_off", "world", "seeds"), RULES.values(), ids=RULES)
def test_a_rule_switched_off(
    monkeypatch: pytest.MonkeyPatch, switch_off: Switch, world: tuple[World, ...], seeds: int
) -> None:
    """Without it tasks are lost in silence; with it, in the same schedules, none."""
    assert count_losses(outcomes(seeds, *world)) == 0
    switch_off(monkeypatch)
    assert count_losses(outcomes(seeds, *world)) > 0


def _whatever_the_order(boundary: Boundary, shown: tuple[Any, ...]) -> tuple[Any, ...] | None:
    known = boundary._memory.known(shown)
    if not known:
        return None
    boundary._report(len(known))
    there = {index for index, _ in known}
    return tuple([item for index, item in enumerate(shown) if index > known[-1][0] and index not in there])


def test_an_order_that_was_seen_to_change_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that no page shows whole change their order: it raises; else it would lose some of them."""

    def lost() -> int:
        return sum(bool(outcome.missed()) for outcome in outcomes(60, QUIET, BIG_GROUPS, LONG))

    with_rule = lost()
    monkeypatch.setattr(Boundary, "prove_by_order", _whatever_the_order)
    assert lost() > 2 * with_rule
