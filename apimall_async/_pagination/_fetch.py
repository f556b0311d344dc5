"""One page requested: what an iteration is given of the world, and what both kinds of iteration share."""

import contextlib
from asyncio import Task
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import attrs

from apimall_async._conversion import Page
from apimall_async._errors import APIError, APIResponseValidationError, APIStatusError, PaginationError
from apimall_async._page_ranges import PageRange
from apimall_async._pagination._options import Stats


P = TypeVar("P", bound=Page[Any])
P_co = TypeVar("P_co", bound=Page[Any], covariant=True)

Fetch = Callable[[int, int], Coroutine[Any, Any, P]]
"""``fetch(page, limit)``: one response of the gateway."""

_REFUSED_PAST_END = frozenset({400, 404, 410, 416, 422})  # what paginators send for a page behind the last


class Iteration(Protocol[P_co]):
    """A way to iterate."""

    @property
    def position(self) -> int:
        """The position in the list up to which pages were read, about."""
        ...

    async def next(self) -> P_co | None:
        """Return the next page that shows something new, with that alone; None at the end.

        After an error, or if it was cancelled, the next call goes on where this one stood.
        """
        ...

    async def close(self) -> None:
        """Leave nothing running."""
        ...


async def fetch_range(fetch: Fetch[P], requested: PageRange) -> P:
    """Fetch a page, or one before it, if that is what comes; an error carries the number of the page."""
    try:
        page = await fetch(requested.page, requested.limit)
        if page.page > requested.page:
            raise wrong_page(page, requested)
    except APIError as error:
        error.page = requested.page
        raise
    return page


def wrong_page(page: Page[Any], requested: PageRange) -> PaginationError:
    """Return the error for a response that is another page's."""
    message = f"requested page {requested.page}, got page {page.page}"
    error = PaginationError(message, request_id=page.request_id)
    error.page = requested.page
    return error


def refused_past_end(error: APIError) -> bool:
    """Whether a page behind the last is refused like this, by some gateways."""
    if isinstance(error, APIResponseValidationError):
        return error.no_items
    return isinstance(error, APIStatusError) and error.status in _REFUSED_PAST_END


def with_items(page: P, items: tuple[Any, ...]) -> P:
    """Return the page with some of its items."""
    return page if len(items) == len(page.items) else attrs.evolve(page, items=items)


class PageReader:
    """Reads ranges of a list, for exact iteration: a page past the end of the list is an empty one."""

    def __init__(self, fetch: Fetch[Any], stats: Stats) -> None:
        self._fetch = fetch
        self._stats = stats
        self._empty: Page[Any] | None = None  # made of the first good page; before it no refusal is an end
        self.refusal: APIError | None = None
        """The last response that was taken for a page past the end."""

    async def read(self, requested: PageRange) -> Any:
        """Return the page.

        Raises:
            APIError: the request failed, and not as those past the end do; or the page is another's.

        """
        try:
            page = await fetch_range(self._fetch, requested)
        except APIError as error:
            if not refused_past_end(error):
                raise
            return await self._past_end(requested, error)
        if page.page < requested.page:
            return await self._past_end(requested, wrong_page(page, requested))
        if self._empty is None:
            self._empty = attrs.evolve(page, items=())
        self._stats.pages += 1
        return page

    @property
    def largest(self) -> int:
        """The bytes of the largest page so far, as far as that is known."""
        size: int = getattr(self._fetch, "largest", 0)
        return size

    def tasks_under_way(self) -> set[Task[Any]]:
        """Return the tasks whose request is sent, and lacks only its response, as far as that is known."""
        tell: Callable[[], set[Task[Any]]] = getattr(self._fetch, "tasks_under_way", set)
        return tell()

    async def _past_end(self, requested: PageRange, error: APIError) -> Page[Any]:
        if requested.page == 1:  # it is never past the end
            raise error
        if self._empty is None:
            with contextlib.suppress(APIError):  # a wrong base_url, say, has no first page either
                self._empty = attrs.evolve(await fetch_range(self._fetch, PageRange(1, 1)), items=())
            if self._empty is None:
                raise error
            page: Page[Any] = await self.read(requested)  # once more: a proxy's passing 404 is no end
            return page
        self.refusal = error
        return attrs.evolve(self._empty, page=requested.page, limit=requested.limit)
