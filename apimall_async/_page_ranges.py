"""Pages as ranges of positions, counted from 0 at the newest item: which page covers a position."""

import attrs


@attrs.frozen
class PageRange:
    """The positions that a page of a certain size covers."""

    page: int
    limit: int

    @property
    def start(self) -> int:
        """The position of the first item."""
        return (self.page - 1) * self.limit

    @property
    def stop(self) -> int:
        """The position after the last item."""
        return self.page * self.limit


def furthest_range(position: int, limit: int) -> PageRange:
    """Choose the page of at most ``limit`` items that covers ``position`` and reaches furthest.

    A page of n items starts at a multiple of n, so only its size can move it by less than a page.
    """
    chosen, reach = limit, 0  # how many positions from this one on the page covers
    for size in range(limit, 0, -1):
        if size <= reach:  # smaller ones cannot reach further
            break
        if size - position % size > reach:
            chosen, reach = size, size - position % size
    return PageRange(position // chosen + 1, chosen)


def range_over(first: int, last: int, limit: int, largest: int) -> PageRange | None:
    """Choose a page that covers ``first`` and reaches beyond ``last``; None where none of ``largest`` does.

    It is the page of ``limit`` items at most that reaches furthest. If that does not reach beyond ``last``,
    it is the smallest one of more that brings half of ``limit``, or the one that reaches furthest of all.
    """
    chosen = furthest_range(first, limit)
    if chosen.stop > last + 1:
        return chosen
    larger = (PageRange(first // size + 1, size) for size in range(limit + 1, largest + 1))
    worth_it = (one for one in larger if one.stop > last + (limit + 1) // 2)
    chosen = next(worth_it, None) or furthest_range(first, largest)
    return chosen if chosen.stop > last + 1 else None


def range_beyond(position: int, limit: int) -> PageRange:
    """Choose as ``furthest_range`` does, but a page that reaches beyond ``position``.

    Where that is the last item of every page of up to ``limit`` items, the page is a little larger.
    """
    chosen = furthest_range(position, limit)
    if chosen.stop > position + 1:
        return chosen
    size = next(size for size in range(limit + 1, position + 3) if (position + 1) % size)
    return PageRange(position // size + 1, size)


def range_from(position: int, limit: int) -> PageRange:
    """Choose the largest page of at most ``limit`` items that begins at ``position``."""
    size = next(size for size in range(limit, 0, -1) if position % size == 0)
    return PageRange(position // size + 1, size)
