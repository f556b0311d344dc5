"""apimall_async, as its README has it."""

from contextlib import aclosing

from apimall_async import AsyncClient


async def read(
    url: str, key: str, *, by_pages: bool = False, read_ahead: int = 0, exact: bool = False
) -> int:
    """Read the history; count its tasks."""
    tasks = 0
    async with AsyncClient(key, base_url=url) as client:
        if by_pages:
            async with aclosing(client.iter_history_pages(read_ahead=read_ahead, exact=exact)) as pages:
                async for page in pages:
                    for _ in page.items:
                        tasks += 1
        else:
            async with aclosing(client.iter_history(read_ahead=read_ahead, exact=exact)) as history:
                async for _ in history:
                    tasks += 1
    return tasks
