"""Hints: what the headers of real limiters mean, and what becomes of hints that are wrong."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from apimall_async._hints import Budget, Hint, parse_hint


NOW = datetime(2026, 3, 12, 9, 30, 0, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
DATE = "Thu, 12 Mar 2026 09:30:00 GMT"

REAL = {
    "express-rate-limit": (
        {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "3", "X-RateLimit-Reset": f"{EPOCH + 5}"},
        3,
        5,
    ),
    "its draft-6": ({"RateLimit-Policy": "10;w=5", "RateLimit-Remaining": "3", "RateLimit-Reset": "5"}, 3, 5),
    "its draft-7": ({"RateLimit": "limit=10, remaining=3, reset=5"}, 3, 5),
    "its draft-8": (
        {"RateLimit": '"10-in-5sec"; r=3; t=5', "RateLimit-Policy": '"10-in-5sec"; q=10; w=5'},
        3,
        5,
    ),
    "two policies": ({"RateLimit": '"second";r=9;t=1, "day, or so";r=3;t=5'}, 3, 5),
    "fastify": ({"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"}, 0, 5),
    "koa-ratelimit": ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": f"{EPOCH + 4}.917"}, 3, 4.917),
    "milliseconds": ({"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": f"{EPOCH + 5}000"}, 0, 5),
    "the past": ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": f"{EPOCH - 5}"}, 3, 0),
}
NONSENSE: dict[str, dict[str, str]] = {
    "nothing": {},
    "no reset": {"X-RateLimit-Remaining": "3"},
    "no number": {"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "5"},
    "two numbers": {"RateLimit-Remaining": "3, 4", "RateLimit-Reset": "5"},
    "a date": {"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": DATE},
    "a year": {"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "31536000"},
    "too long": {"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "9" * 400},
    "no item": {"RateLimit": "10"},
    "no seconds": {"RateLimit": '"x";r=3'},
}


@pytest.mark.parametrize(("headers", "left", "seconds"), REAL.values(), ids=REAL.keys())
def test_real_headers(headers: dict[str, str], left: float, seconds: float) -> None:
    """Seconds, epochs, fractions and milliseconds are told apart; an epoch is measured from the Date."""
    for more, now in [({"Date": DATE}, None), ({}, NOW)]:
        hint = parse_hint(CIMultiDict(headers | more), now)
        assert hint
        assert hint.left == left
        assert hint.seconds == pytest.approx(seconds)


def test_without_a_date_the_own_clock_counts() -> None:
    """An epoch in a response that has no Date is measured from now."""
    reset = str(datetime.now(UTC).timestamp() + 5)
    hint = parse_hint(CIMultiDict({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}))
    assert hint
    assert 4 < hint.seconds <= 5


@pytest.mark.parametrize("headers", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense(headers: dict[str, str]) -> None:
    """What is not understood is no hint."""
    assert parse_hint(CIMultiDict(headers)) is None


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "RateLimit",
                "RateLimit-Remaining",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
                "RateLimit-Reset",
                "Date",
            ]
        ),
        st.text(max_size=60) | st.integers().map(str) | st.floats().map(str),
    )
)
def test_any_headers(headers: dict[str, str]) -> None:
    """Whatever is in them, a hint is a number of requests and of seconds, or None."""
    hint = parse_hint(CIMultiDict(headers))
    assert hint is None or (hint.left >= 0 and 0 <= hint.seconds <= 86_400)


def spent(seconds: float = 10.0, longest: float = 60.0) -> Budget:
    """Make a budget of which nothing is left, at 0."""
    budget = Budget(longest)
    budget.start(-1.0)
    budget.note(0.0, -1.0, Hint(0, seconds), in_flight=0, refused=False)
    return budget


def test_what_is_left_may_start() -> None:
    """All at once, less what is in flight, and not one more."""
    budget = Budget(60.0)
    budget.start(-1.0)
    budget.note(0.0, -1.0, Hint(5, 10.0), in_flight=2, refused=False)
    for _ in range(3):
        assert budget.delay(0.0) <= 0
        budget.start(0.0)
    assert budget.delay(0.0) == 10


def test_responses_in_any_order() -> None:
    """The least that was said counts: more is said by a response that was overtaken."""
    budget = Budget(60.0)
    budget.note(0.0, -1.0, Hint(3, 10.0), in_flight=1, refused=False)
    budget.note(0.0, -1.0, Hint(4, 10.0), in_flight=0, refused=False)
    for _ in range(3):
        budget.start(0.0)
    assert budget.delay(0.0) == 10


def test_one_request_at_a_time_finds_out() -> None:
    """At the reset one request starts, and the others wait for its response."""
    budget = spent()
    assert budget.delay(9.0) == 1
    assert budget.delay(10.0) == 0
    budget.start(10.0)
    assert budget.delay(11.0) > 0
    budget.note(12.0, 10.0, Hint(9, 10.0), in_flight=0, refused=False)
    assert budget.delay(12.0) <= 0


def test_one_without_a_response_finds_out_nothing() -> None:
    """Then another one may."""
    budget = spent()
    budget.start(10.0)
    budget.lose(11.0, 9.0)
    assert budget.delay(11.0) > 0
    budget.lose(11.0, 10.0)
    assert budget.delay(11.0) <= 0


def test_no_hint_any_more() -> None:
    """Where the one that finds out gets no hint, there is nothing to go by; elsewhere it does not matter."""
    budget = spent()
    budget.note(1.0, -1.0, None, in_flight=0, refused=False)
    assert budget.delay(1.0) == 9
    budget.start(10.0)
    budget.note(11.0, 10.0, None, in_flight=0, refused=False)
    assert budget.delay(11.0) <= 0


def test_a_minute_at_most() -> None:
    """A reset in an hour is believed for ``longest``; a response against it ends all belief."""
    budget = spent(seconds=3_600)
    assert budget.delay(0.0) == 60
    budget.start(60.0)
    budget.note(61.0, 60.0, Hint(0, 3_540), in_flight=0, refused=False)
    assert budget.delay(61.0) <= 0


def test_a_refusal_is_no_contradiction() -> None:
    """The one that finds out too early was refused: the hints were right."""
    budget = spent(seconds=3_600)
    budget.start(60.0)
    budget.note(61.0, 60.0, Hint(0, 3_540), in_flight=0, refused=True)
    assert budget.delay(61.0) == 60


def test_refusals_in_spite_of_the_hints() -> None:
    """More than a twentieth, and more than a few, and the hints are given up for good."""
    budget = Budget(60.0)
    for number in range(4):
        assert budget.delay(0.0) <= 0
        budget.note(0.0, number, Hint(100, 10.0), in_flight=0, refused=True)
    budget.note(0.0, 9.0, Hint(0, 10.0), in_flight=0, refused=False)
    assert budget.delay(0.0) <= 0


def test_a_window_that_was_used_up_once_is_spread() -> None:
    """As long as the last one was: the next window begins when this one ends."""
    budget = spent(seconds=10)
    budget.start(10.0)
    budget.note(10.0, 10.0, Hint(11, 12.0), in_flight=0, refused=False)
    budget.start(10.0)
    assert budget.delay(10.0) == pytest.approx(11 / 10)  # it is 11 s since the last window began
