"""The generators over pages and items, up to ``max_items``."""

import logging
from collections.abc import AsyncGenerator
from typing import Any, Generic, Self, TypeVar

from apimall_async._conversion import Page, Record
from apimall_async._pagination._exact import ExactIteration
from apimall_async._pagination._fetch import Fetch, Iteration, with_items
from apimall_async._pagination._options import Options, Stats
from apimall_async._pagination._plain import PlainIteration


P = TypeVar("P", bound=Page[Any])
T = TypeVar("T", bound=Record)

_logger = logging.getLogger("apimall_async")


async def iterate_pages(fetch: Fetch[P], options: Options, stats: Stats) -> AsyncGenerator[P]:
    """Yield pages of items that were not yielded before, up to ``max_items`` items.

    Raises:
        PaginationError: the pages lead to no end, or hide what they skip.

    """
    async with _Pages(fetch, options, stats) as pages:
        while page := await pages.next():
            yield page


async def iterate_items(fetch: Fetch[Page[T]], options: Options, stats: Stats) -> AsyncGenerator[T]:
    """Yield the items of ``iterate_pages``, one by one."""
    async with _Pages(fetch, options, stats) as pages:
        while page := await pages.next():
            for item in page.items:
                yield item


class _Pages(Generic[P]):
    """The iteration itself, page by page.

    No generator, though it is much like one: of generators within generators that were dropped unclosed,
    the garbage collector may close all at once, which asyncio then reports as errors.
    """

    def __init__(self, fetch: Fetch[P], options: Options, stats: Stats) -> None:
        kind = ExactIteration if options.exact or options.read_ahead > 0 else PlainIteration
        self._iteration: Iteration[P] = kind(fetch, options, stats)
        self._stats = stats
        self._left = options.max_items

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._iteration.close()
        finally:
            _logger.debug("iteration ended: %s", self._stats)

    async def next(self) -> P | None:
        """Return the next page, with an item at least, or None after the last."""
        page = None if self._left == 0 else await self._iteration.next()
        if page is None:
            return None
        if self._left is not None:
            page = with_items(page, page.items[: self._left])
            self._left -= len(page.items)
        self._stats.tasks += len(page.items)
        return page
