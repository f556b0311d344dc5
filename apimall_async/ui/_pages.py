"""The history as the page reads it: by positions, in pages that overlap what the browser has.

The gateway knows page numbers only, and they move: between two requests tasks are created, and page 2 shows
what page 1 has shown. So the browser requests *the position of the last task it has*. It is sent the page
that covers that position and reaches furthest, and looks in it for tasks whose ids it knows. Where it
finds one, what follows is what follows in the history: nothing was skipped, and by the ids nothing comes
twice, whatever was created or deleted in between. Where it finds none, it looks a little further on or back.

The browser has the ids anyway, to draw the tasks. So nothing is kept here: no iteration for each reader,
which would have to be found again, kept open and expire; and any number of processes can serve one reader.
The price is the overlap, about a fifth more requests than pages without one. Only where a page may be the
last one, or is refused, does an exact iteration find out.
"""

from typing import Any

import attrs

from apimall_async import APIError, AsyncClient, HistoryPage, PaginationError
from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._page_ranges import PageRange, furthest_range


async def read_page_at(client: AsyncClient, position: int) -> HistoryPage:
    """Read the page that covers ``position``, counted from 0 at the newest, and reaches furthest.

    Where the gateway refuses pages past the end of the list, or sends the last one again, that is empty.

    Raises:
        PaginationError: the gateway serves other pages than requested.
        ApimallError: the request failed.

    """
    wanted = furthest_range(position, MAX_PAGE_SIZE)
    page = await _read(client, wanted)
    if page.limit < wanted.limit:  # capped, so the gateway's pages begin elsewhere
        page = await _read(client, furthest_range(position, page.limit))
    return page


async def is_last(client: AsyncClient, page: HistoryPage) -> bool:
    """Whether the list is known to end in this page: a short one may be in the middle, if rows are hidden.

    Raises:
        ApimallError: a request failed.

    """
    if len(page.items) >= page.limit:
        return False
    try:
        return await _is_end(client, PageRange(page.page, page.limit), after=page.items)
    except PaginationError:  # the list has changed, or this is no page of it, but one past its end
        return False


async def _read(client: AsyncClient, wanted: PageRange) -> HistoryPage:
    try:
        page = await client.list_history(wanted.page, wanted.limit)
        if page.page != wanted.page:
            raise PaginationError(
                f"requested page {wanted.page}, got page {page.page}", request_id=page.request_id
            )
    except APIError as error:
        if wanted.page == 1 or error.retryable or not await _is_end(client, wanted):
            raise
        return HistoryPage((), wanted.page, wanted.limit, error.request_id or "")
    return attrs.evolve(page, limit=min(page.limit, wanted.limit))


async def _is_end(client: AsyncClient, wanted: PageRange, **options: Any) -> bool:
    """Whether an exact iteration that begins with this page yields nothing."""
    pages = client.iter_history_pages(exact=True, start_page=wanted.page, page_size=wanted.limit, **options)
    async with pages:
        return await anext(pages, None) is None
