"""Which page covers a position, and reaches beyond it."""

from hypothesis import given
from hypothesis import strategies as st

from apimall_async._page_ranges import PageRange, furthest_range, range_beyond, range_from


positions = st.integers(0, 10**6)
limits = st.integers(1, 50)


def furthest_stop(position: int, limit: int) -> int:
    """Try every size."""
    return max((position // size + 1) * size for size in range(1, limit + 1))


@given(st.integers(1, 10**6), limits)
def test_a_page_is_a_range(page: int, limit: int) -> None:
    """Pages of one size follow each other without a gap; the first begins at 0."""
    one = PageRange(page, limit)
    assert one.stop - one.start == limit
    assert PageRange(page + 1, limit).start == one.stop
    assert PageRange(1, limit).start == 0


@given(positions, limits)
def test_the_furthest_range(position: int, limit: int) -> None:
    """It covers the position, and no other of at most ``limit`` items reaches further."""
    found = furthest_range(position, limit)
    assert found.start <= position < found.stop
    assert found.limit <= limit
    assert found.stop == furthest_stop(position, limit)


@given(positions, limits)
def test_the_range_beyond(position: int, limit: int) -> None:
    """It covers the position and the next; it exceeds ``limit`` only where no smaller one does that."""
    found = range_beyond(position, limit)
    assert found.start <= position < position + 1 < found.stop
    assert found.limit <= 50
    if furthest_stop(position, limit) > position + 1:
        assert found == furthest_range(position, limit)
    else:
        assert found.limit > limit


def test_a_position_that_is_often_the_last() -> None:
    """Position 2519 is the last of every page of up to ten items: a page of eleven goes beyond."""
    assert range_beyond(2_519, 10) == PageRange(230, 11)


@given(positions, limits)
def test_the_range_from(position: int, limit: int) -> None:
    """It begins at the position, and no larger one of at most ``limit`` items does."""
    found = range_from(position, limit)
    assert found.start == position
    assert found.limit == max(size for size in range(1, limit + 1) if position % size == 0)
