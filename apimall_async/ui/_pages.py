"""The history as the page reads it: by positions, in pages that overlap what the browser has.

The gateway knows page numbers only, and they move: between two requests tasks are created, and page 2 shows
what page 1 has shown. So the browser requests *the position of the last task it has*. It is sent the page
that covers that position and reaches furthest, and looks in it for tasks whose ids it knows. Where it
finds one, what follows is what follows in the history: nothing was skipped, and by the ids nothing comes
twice, whatever was created or deleted in between. Where it finds none, it looks a little further on or back.

The browser has the ids anyway, to draw the tasks. So nothing is kept here: no iteration for each reader,
which would have to be found again, kept open and expire; and any number of processes can serve one reader.
The price is the overlap, about a fifth more requests than pages without one.
"""

from apimall_async import AsyncClient, HistoryPage, PaginationError
from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._page_ranges import PageRange, furthest_range


async def read_page_at(client: AsyncClient, position: int) -> HistoryPage:
    """Read the page that covers ``position``, counted from 0 at the newest, and reaches furthest.

    Raises:
        PaginationError: the gateway serves other pages than requested.
        ApimallError: the request failed.

    """
    page = await _read(client, furthest_range(position, MAX_PAGE_SIZE))
    if not _covers(page, position):  # the gateway caps the limit, so its pages begin elsewhere
        page = await _read(client, furthest_range(position, min(page.limit, MAX_PAGE_SIZE)))
    if _covers(page, position):
        return page
    raise PaginationError(
        f"requested task {position}, got page {page.page} of {page.limit} tasks", request_id=page.request_id
    )


async def _read(client: AsyncClient, wanted: PageRange) -> HistoryPage:
    return await client.list_history(wanted.page, wanted.limit)


def _covers(page: HistoryPage, position: int) -> bool:
    shown = PageRange(page.page, page.limit)
    return shown.start <= position < shown.stop
