"""apimall_async, as its README has it."""

from apimall_async import AsyncClient


async def read(
    url: str, key: str, *, by_pages: bool = False, read_ahead: int = 0, exact: bool = False
) -> int:
    """Read the history; count its tasks."""
    tasks = 0
    async with AsyncClient(key, base_url=url) as client:
        if by_pages:
            async for page in client.iter_history_pages(read_ahead=read_ahead, exact=exact):
                for _ in page.items:
                    tasks += 1
        else:
            async for _ in client.iter_history(read_ahead=read_ahead, exact=exact):
                tasks += 1
    return tasks
