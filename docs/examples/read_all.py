"""Count all tasks of the account by their status: exactly, and several pages at a time."""

import asyncio
from collections import Counter

from apimall_async import AsyncClient


async def main() -> None:
    """Read from the newest task to the oldest."""
    counts: Counter[str] = Counter()
    async with AsyncClient() as client:
        async for page in client.iter_history_pages(read_ahead=8):
            counts.update(task.status for task in page.items)
    for status, count in counts.most_common():
        print(status, count)


if __name__ == "__main__":
    asyncio.run(main())
