"""The iterators over pages and items: what ``iter_history_pages`` and ``iter_history`` return."""

import logging
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from apimall_async._conversion import Page, Record
from apimall_async._pagination._exact import ExactIteration
from apimall_async._pagination._fetch import Fetch, Iteration, with_items
from apimall_async._pagination._options import Options, Stats
from apimall_async._pagination._plain import PlainIteration
from apimall_async._pagination._until import Until


P = TypeVar("P", bound=Page[Any])
T = TypeVar("T", bound=Record)
Y = TypeVar("Y")

_logger = logging.getLogger("apimall_async")


class _Pages(Generic[P]):
    """The iteration itself, page by page; and what was not yielded yet of the current page."""

    def __init__(self, fetch: Fetch[P], options: Options, stats: Stats) -> None:
        kind = ExactIteration if options.needs_proof else PlainIteration
        self._iteration: Iteration[P] = kind(fetch, options, stats)
        self._until = None if options.until is None else Until(options.until)
        self._left = options.max_items
        self._page: P | None = None
        self.stats = stats
        self.items: Iterator[Any] = iter(())
        self.interrupted = False
        """Whether the last call of ``next`` ended in an error, or was cancelled."""
        self.over = False

    @property
    def position(self) -> int:
        """The position in the list up to which pages were read, about."""
        return self._iteration.position

    async def next(self) -> P | None:
        """Return the next page, with an item at least, or None after the last."""
        self.interrupted = True
        page = await self._next()
        self.interrupted = False
        if page is None:
            return None
        if self._left is not None:
            page = with_items(page, page.items[: self._left])
            self._left -= len(page.items)
        self.stats.tasks += len(page.items)
        self._page = page
        return page

    async def rest_or_next(self) -> P | None:
        """Return what was not yielded of the current page, else the next page."""
        rest = tuple(self.items)
        return with_items(self._page, rest) if self._page and rest else await self.next()

    async def close(self) -> None:
        """Leave nothing running. Idempotent."""
        self.items = iter(())
        await self._iteration.close()
        if not self.over:
            self.over = True
            _logger.debug("iteration ended: %s", self.stats)

    async def _next(self) -> P | None:
        while not (self.over or self._left == 0 or (self._until and self._until.over)):
            page = await self._iteration.next()
            if page is None or self._until is None:
                return page
            if items := self._until.cut(page.items):
                return with_items(page, items)
        return None


class _Iterator(AsyncGenerator[Y, None], Generic[Y, P]):
    """An async generator that goes on after an error.

    Python's own generators, which do the work, are over once an exception has left them. So the state is in
    ``_Pages``, and a generator that ended early is replaced by another.
    """

    def __init__(self, pages: _Pages[P]) -> None:
        self._pages = pages
        self._generator = self._generate(pages)

    def __aiter__(self) -> AsyncIterator[Y]:
        return self._current()

    def __anext__(self) -> Coroutine[Any, Any, Y]:
        return self._current().__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, Y]:
        """Return the next one, as ``anext`` does."""
        return self._current().asend(value)

    def athrow(self, *error: Any) -> Coroutine[Any, Any, Y]:
        """Raise an exception where the iteration stands, which ends it."""
        return self._current().athrow(*error)

    async def aclose(self) -> None:
        """End the iteration, and call back what was requested ahead. Idempotent."""
        await self._generator.aclose()
        await self._pages.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def stats(self) -> Stats:
        """What was read so far, and what it cost."""
        return self._pages.stats

    def __repr__(self) -> str:
        pages = self._pages
        state = "over" if pages.over else f"at position {pages.position}"
        return f"<{type(self).__name__} {state}: {pages.stats.tasks} tasks, {pages.stats.pages} pages read>"

    def _current(self) -> AsyncGenerator[Y]:
        if self._pages.interrupted:
            self._pages.interrupted = False
            self._generator = self._generate(self._pages)
        return self._generator

    @staticmethod
    @abstractmethod
    def _generate(pages: _Pages[P]) -> AsyncGenerator[Y]: ...


class PageIterator(_Iterator[P, P]):
    """Yields the pages of a list, with the items that were not yielded before."""

    @staticmethod
    async def _generate(pages: _Pages[P]) -> AsyncGenerator[P]:
        while page := await pages.rest_or_next():
            try:
                yield page
            except BaseException:
                await pages.close()
                raise
        await pages.close()


class ItemIterator(_Iterator[T, Page[T]]):
    """Yields the items of a list."""

    def pages(self) -> PageIterator[Page[T]]:
        """Go on page by page, over the same iteration: what one iterator yields the other does not."""
        return PageIterator(self._pages)

    @staticmethod
    async def _generate(pages: _Pages[Page[T]]) -> AsyncGenerator[T]:
        while True:
            try:
                for item in pages.items:
                    yield item
            except BaseException:
                await pages.close()
                raise
            page = await pages.next()
            if page is None:
                break
            pages.items = iter(page.items)
        await pages.close()


def iterate_pages(fetch: Fetch[P], options: Options, stats: Stats) -> PageIterator[P]:
    """Iterate over pages of items that were not yielded before, up to ``max_items`` items."""
    return PageIterator(_Pages(fetch, options, stats))


def iterate_items(fetch: Fetch[Page[T]], options: Options, stats: Stats) -> ItemIterator[T]:
    """Iterate over the items of such pages."""
    return ItemIterator(_Pages(fetch, options, stats))
