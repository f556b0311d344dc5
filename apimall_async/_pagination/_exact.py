"""Exact iteration: pages that overlap, each proven to carry on where the one before it ended."""

from math import inf
from typing import Any, Generic, TypeVar

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._conversion import Page
from apimall_async._errors import APIError, PaginationError
from apimall_async._page_ranges import PageRange
from apimall_async._pagination._boundary import Boundary
from apimall_async._pagination._end import End, Items
from apimall_async._pagination._fetch import Fetch, PageReader, with_items
from apimall_async._pagination._memory import Progress
from apimall_async._pagination._options import Options, Stats
from apimall_async._pagination._plan import Plan
from apimall_async._pagination._prefetch import Prefetch
from apimall_async._pagination._search import find_page


P = TypeVar("P", bound=Page[Any])

_SEARCH_LIMIT = 64  # pages in a row that prove nothing, before an exact iteration gives up
_EMPTY_LIMIT = 3  # times that the first page is empty, and what is behind it is not
_NO_PROGRESS_LIMIT = 8  # pages that show what was shown before; some are read again to find a position


class ExactIteration(Generic[P]):
    """Read pages that overlap, and hand out only what a known item proves to come next.

    If an item already handed out stands on a page, then nothing that stood behind it was skipped, whatever
    was created or deleted between the two requests and in whatever order their responses came. So pages can
    be requested ahead, and are checked as they are consumed, in order. One that proves nothing stays first in
    the queue, while a page is requested that closes the gap before it.
    """

    def __init__(self, fetch: Fetch[P], options: Options, stats: Stats) -> None:
        self._stats = stats
        self._reader = PageReader(fetch, stats)
        self._prefetch = Prefetch(self._reader, options.read_ahead, self._refill)
        self._boundary = Boundary(stats)
        self._progress = Progress(_NO_PROGRESS_LIMIT + 2 * MAX_PAGE_SIZE // options.page_size)
        self._after = options.after
        if self._after:
            self._boundary.remember(self._after)
        self._next = options.first_page()
        self._plan = Plan(self._next, options.page_size)
        self._enough = inf if options.max_items is None else self._next.start + options.max_items
        self._gap: PageRange | None = None  # to be read before all others
        self._closing: PageRange | None = None  # the last page that was to close one
        self._misses = 0  # pages in a row that proved nothing
        self._searching_forward = False
        self._end = End()
        self._empty = 0
        self._hidden = False  # whether a short page was not the last one: rows are hidden in this list
        self._over = False

    @property
    def position(self) -> int:
        """The position in the list up to which pages were read, about."""
        return self._plan.end

    async def next(self) -> P | None:
        """Return the next page that shows something new, with that alone; None at the end."""
        while not self._over:
            try:
                requested, page = await self._read()
            except BaseException as error:
                if self._prefetch:
                    self._begin_again_at(self._prefetch.first_range)
                if not isinstance(error, APIError):  # cancelled: leave nothing running
                    await self._prefetch.close()
                raise
            try:
                fresh = self._consume(requested, page)
            except PaginationError as error:
                error.page = requested.page
                self._begin_again_at(requested)
                raise
            if fresh:
                return with_items(page, fresh)
        return None

    async def close(self) -> None:
        """Call back what was requested ahead."""
        self._over = True
        await self._prefetch.close()

    async def _read(self) -> tuple[PageRange, P]:
        if self._after:
            return await self._find_after()
        if self._gap or not (self._prefetch.depth or self._prefetch):  # no task is needed
            wanted = self._gap or self._next
            return wanted, await self._reader.read(wanted)
        self._request()
        return await self._prefetch.first()

    async def _find_after(self) -> tuple[PageRange, P]:
        found, page = await find_page(self._reader, self._boundary, self._after, self._next)
        self._enough += found.stop - self._next.start
        self._next, self._after = found, ()
        self._plan.anchor = found.start
        return found, page

    def _begin_again_at(self, requested: PageRange) -> None:
        """Let the next call read this page anew."""
        self._prefetch.begin_again()
        self._next, self._gap, self._misses = requested, None, 0
        self._end = End()

    def _refill(self) -> None:
        """Let other requests start as one has ended, while the reader waits, or is busy with a page."""
        if self._prefetch.depth and not self._gap:
            self._request()

    def _request(self) -> None:
        """Have as many requests under way as may be, but none that is known to be in vain."""
        while self._prefetch.has_room:
            if self._prefetch and (self._prefetch.furthest.stop >= self._enough or self._sees_end()):
                return
            self._prefetch.request(self._next)
            self._next = self._plan.following(self._next)

    def _sees_end(self) -> bool:
        return any(not (page.items and self._hidden) for page in self._prefetch.short_pages())

    def _consume(self, requested: PageRange, page: P) -> Items:
        """Take the new items of one page, and settle what to read next."""
        served = PageRange(page.page, min(page.limit, requested.limit))
        if served.limit < requested.limit:  # capped: what is requested ahead begins elsewhere than planned
            self._prefetch.begin_again()
            self._plan.cap(served.limit)
            self._end.enough = self._plan.enough
        ahead = self._gap is None and len(self._prefetch) > 0
        self._gap = None
        repeated = self._end.is_repeated_by(served, page.items) and self._shows_only_known(page.items)
        items = () if repeated else page.items
        if self._boundary.empty and self._end.short and items and served.start:
            self._begin_behind_nothing(served)
            return ()
        fresh = self._prove(served, items)
        nothing_behind = fresh is None and self._shows_nothing_behind(served, items)
        if fresh is None and not nothing_behind and not (ahead and self._shows_only_known(items)):
            self._unproven(served, items)
            return ()
        if ahead:
            self._prefetch.pop()
        if fresh is None:
            self._pass_over(served, items, nothing_behind=nothing_behind)
            return ()
        self._hand_out(items, fresh)
        self._go_on(served, items, fresh, ahead=ahead)
        return fresh

    def _prove(self, served: PageRange, items: Items) -> Items | None:
        fresh = self._boundary.prove(items, from_start=served.start == 0)
        if fresh is None and items and not (self._boundary.has_anchor and self._plan.can_show_anchor()):
            fresh = self._boundary.prove_by_order(items)
        return fresh

    def _bridge(self) -> PageRange | None:
        """Choose the page that carries on from the last one in any order of equals, if there is one."""
        return self._plan.bridge() if self._boundary.has_anchor else None

    def _shows_only_known(self, items: Items) -> bool:
        return bool(items) and not self._boundary.shows_unknown(items)

    def _hand_out(self, items: Items, fresh: Items) -> None:
        self._boundary.hand_out(fresh)
        self._stats.duplicates += len(items) - len(fresh)
        self._note_progress(items, fresh)
        if fresh:
            self._closing = self._reader.refusal = None
        if fresh or not self._prefetch:
            self._misses = 0

    def _note_progress(self, items: Items, fresh: Items) -> None:
        try:
            self._progress.note(items, fresh=bool(fresh))
        except PaginationError as error:
            raise (self._reader.refusal or error) from None

    def _pass_over(self, served: PageRange, items: Items, *, nothing_behind: bool) -> None:
        """Leave a page that shows nothing new, and proves nothing."""
        self._plan.end = max(self._plan.end, served.start + len(items))
        if items:
            self._note_progress(items, ())
        if nothing_behind:
            self._look_behind(served, anchored=False)

    def _go_on(self, served: PageRange, items: Items, fresh: Items, *, ahead: bool) -> None:
        """Settle what to read after a page that carries on from the last one."""
        short = len(items) < served.limit
        if short and not fresh and self._end.ends_like(items) and self._end.has_room(served, items):
            self._look_behind(served, anchored=True)
            return
        self._hidden |= bool(fresh) and self._end.short
        shows_latest = bool(fresh) or self._boundary.shows_latest(items)
        if shows_latest or not ahead:  # else it may be an old response
            self._end = End(served, items, self._plan.enough, served.stop)
        if shows_latest or not self._prefetch or served.stop > self._plan.end:
            self._plan.move(served, items)
        self._prefetch.drop(up_to=self._plan.end)
        may_be_last = short and not self._hidden
        if not may_be_last:
            self._plan.note_overlap()
        if not self._prefetch:
            self._next = self._behind(served) if may_be_last else self._plan.next()
        self._prefetch.deepen(fresh=bool(fresh), may_be_last=may_be_last)
        self._refill()

    def _behind(self, served: PageRange) -> PageRange:
        """Choose the page to look at behind a page that may be the last one."""
        if self._boundary.empty:
            return self._plan.look_behind_nothing(served)
        return self._plan.look_behind(served, with_anchor=not self._end.almost_empty)

    def _begin_behind_nothing(self, served: PageRange) -> None:
        """Read the first page again: it was empty, and what is behind it is not."""
        self._empty += 1
        if self._end.page is None or self._empty > _EMPTY_LIMIT:
            raise PaginationError(f"a page is empty, and page {served.page} behind it is not")
        self._begin_again_at(self._end.page)

    def _shows_nothing_behind(self, served: PageRange, items: Items) -> bool:
        """Whether this page is behind what may be the end, and shows nothing but the last items before it."""
        end = self._end
        if not end.near or end.seen or not end.borders_on(served) or not end.has_room(served, items):
            return False
        return not items or (end.ends_with(items[-1]) and self._shows_only_known(items))

    def _look_behind(self, served: PageRange, *, anchored: bool) -> None:
        """Take it that nothing new is behind the last page, down to where ``served`` ends.

        ``anchored``: it shows the last items, too.
        """
        end = self._end
        if end.unlinked and served.stop < end.unlinked.stop:
            raise PaginationError(
                "too many rows are hidden between the tasks read so far and those behind them"
            )
        seen_before = end.seen
        end.look(served)
        if not end.seen:
            if not self._prefetch:
                self._next = self._behind(served)
        elif (
            end.almost_empty
            or self._boundary.empty
            or (anchored and (seen_before or served.stop == end.looked_to))
        ):
            self._over = True
        else:
            self._gap = self._bridge() or end.page

    def _unproven(self, served: PageRange, items: Items) -> None:
        """Look for a known item: in the gap before this page, then further back, and from the newest on.

        Deletions pulled the known items back. Only where more items were created than the iteration had read
        do they stand further on, and then the first page of the list shows none of them.
        """
        if not items and served.start == 0:
            self._begin_at_nothing(served)
            return
        if not self._misses:
            self._stats.boundaries_repaired += 1
            self._searching_forward = False
        self._misses += 1
        near = self._end.near
        if near:
            self._end.forget()
            if self._boundary.shows_unknown(items):
                self._end.unlinked = served
        bridge = self._bridge() or (self._plan.link() if near else None)
        if bridge != self._closing and (near or self._boundary.shows_known(items)):
            self._gap = self._closing = bridge
        if not self._gap:
            self._search(served, items)

    def _begin_at_nothing(self, served: PageRange) -> None:
        """Look for the end behind the first page, if that is empty: all is deleted, or hidden."""
        self._over = self._end.seen and not self._end.items
        self._end = End(served, (), self._plan.enough, served.stop)
        self._plan.move(served, ())
        self._prefetch.begin_again()
        self._next = self._behind(served)

    def _search(self, served: PageRange, items: Items) -> None:
        self._searching_forward |= served.start == 0
        if self._misses > _SEARCH_LIMIT or (self._searching_forward and not items):
            raise PaginationError("the list changed too fast: no page shows where the iteration had been")
        wanted = self._plan.search(served, self._misses, forward=self._searching_forward)
        if self._misses == 1 and self._prefetch:
            self._gap = wanted
        else:
            self._prefetch.begin_again()
            self._next = wanted
