"""What to iterate over, checked before any request; and what one iteration counts."""

from typing import Any

import attrs

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._page_ranges import PageRange


def check_integer(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise ValueError, which names the argument, unless it is an integer in range."""
    if type(value) is not int or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be an integer, {bounds}, not {value!r}")


def _integer(least: int, most: int | None = None) -> Any:
    def check(_: object, attribute: "attrs.Attribute[int]", value: object) -> None:
        check_integer(attribute.name, value, least, most)

    return check


@attrs.frozen
class Options:
    """What to iterate over; ValueError names the argument that is not valid."""

    page_size: int = attrs.field(default=MAX_PAGE_SIZE, validator=_integer(1, MAX_PAGE_SIZE))
    start_page: int = attrs.field(default=1, validator=_integer(1))
    max_items: int | None = attrs.field(default=None, validator=attrs.validators.optional(_integer(0)))
    read_ahead: int = attrs.field(default=0, validator=_integer(0))
    exact: bool = False

    def first_page(self) -> PageRange:
        """Choose the first page to request: the smallest that begins where the iteration does."""
        start = (self.start_page - 1) * self.page_size
        least = min(self.page_size, self.max_items or self.page_size)
        limit = next(size for size in range(least, self.page_size + 1) if start % size == 0)
        return PageRange(start // limit + 1, limit)


@attrs.define
class Stats:
    """What one iteration read, and what it cost."""

    pages: int = 0
    tasks: int = 0
    duplicates: int = 0
    """Tasks shown again: where pages overlap, and where new tasks pushed them down."""
    boundaries_repaired: int = 0
    retries: int = 0
    waited: float = 0.0
    """Seconds that requests of this iteration were held back, or waited for a retry."""
