"""What an iteration is given of the world, and what both kinds of iteration share."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import attrs

from apimall_async._conversion import Page
from apimall_async._errors import PaginationError


P = TypeVar("P", bound=Page[Any])
P_co = TypeVar("P_co", bound=Page[Any], covariant=True)

Fetch = Callable[[int, int], Coroutine[Any, Any, P]]
"""``fetch(page, limit)``: one response of the gateway."""


class Iteration(Protocol[P_co]):
    """A way to iterate."""

    async def next(self) -> P_co | None:
        """Return the next page that shows something new, with that alone; None at the end."""
        ...

    async def close(self) -> None:
        """Leave nothing running."""
        ...


def check_page_number(page: Page[Any], requested: int) -> None:
    """Raise PaginationError if the response is another page's."""
    if page.page != requested:
        message = f"requested page {requested}, got page {page.page}"
        raise PaginationError(message, request_id=page.request_id)


def with_items(page: P, items: tuple[Any, ...]) -> P:
    """Return the page with some of its items."""
    return page if len(items) == len(page.items) else attrs.evolve(page, items=items)
