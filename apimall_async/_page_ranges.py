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


def range_beyond(position: int, limit: int) -> PageRange:
    """Choose as ``furthest_range`` does, but a page that reaches beyond ``position``.

    Where that is the last item of every page of up to ``limit`` items, the page is a little larger.
    """
    chosen = furthest_range(position, limit)
    if chosen.stop > position + 1:
        return chosen
    size = next(size for size in range(limit + 1, position + 3) if (position + 1) % size)
    return PageRange(position // size + 1, size)
