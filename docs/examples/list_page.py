"""Print the ten newest tasks of the account."""

import asyncio

from apimall_async import AsyncClient


async def main() -> None:
    """Read one page."""
    async with AsyncClient() as client:
        page = await client.list_history(limit=10)
    for task in page:
        print(task.task_id, task.created_at, task.status, task.image_url or "-")


if __name__ == "__main__":
    asyncio.run(main())
