"""The history as the page reads it: by windows that overlap what the browser holds.

The gateway knows page numbers only, and they move: between two requests tasks are born, and page 2 shows
what page 1 has shown. So the browser asks for *the position of the last task it holds*, is sent the page
that covers that position and reaches furthest, and looks in it for tasks whose ids it knows. Where it
finds one, what follows is what follows in the history: nothing was skipped, and by the ids nothing comes
twice, whatever was born or deleted in between. Where it finds none, it asks a little further on or back.

The browser holds the ids anyway, to draw the tasks. So nothing is kept here: no walk per reader that
would have to be found again, kept open and expire; and any number of processes can serve one reader.
The price is the overlap, about a fifth more requests than pages without one.
"""

from apimall_async import AsyncClient, HistoryPage, PaginationError


_MAX_LIMIT = 50  # tasks a page can hold (contract: *Query Parameters*)


async def read_window(client: AsyncClient, position: int) -> HistoryPage:
    """Read the page that covers ``position``, counted from 0 at the newest, and reaches furthest.

    Raises:
        PaginationError: the gateway serves other pages than asked for.
        ApimallError: the request failed.

    """
    window = await client.list_history(*choose_page(position, _MAX_LIMIT))
    if not _covers(window, position):  # the gateway caps the limit, so its pages lie elsewhere
        limit = min(window.limit, _MAX_LIMIT)
        window = await client.list_history(*choose_page(position, limit))
    if _covers(window, position):
        return window
    raise PaginationError(
        f"asked for task {position}, got page {window.page} of {window.limit} tasks",
        request_id=window.request_id,
    )


def _covers(window: HistoryPage, position: int) -> bool:
    return (window.page - 1) * window.limit <= position < window.page * window.limit


def choose_page(position: int, limit: int) -> tuple[int, int]:
    """Choose page and limit. A page of n tasks starts at a multiple of n, so its size places it."""
    size = max(range(1, limit + 1), key=lambda size: (position // size + 1) * size)
    return position // size + 1, size
