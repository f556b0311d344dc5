"""Print the ids of the tasks created from SINCE on and before UNTIL (ISO 8601, with an offset).

For a program that has lost the ids of its tasks: ``recover_task_ids.py 2026-03-12T08:50Z 2026-03-12T09:00Z``
"""

import asyncio
import sys
from datetime import datetime, timedelta

from apimall_async import AsyncClient


MARGIN = timedelta(hours=1)  # the gateway does not promise an order: read a bit more


async def main(since: datetime, until: datetime) -> None:
    """Read until the tasks are clearly older than ``since``."""
    async with AsyncClient() as client:
        async for task in client.iter_history(exact=True):
            if since <= task.created_at < until:
                print(task.task_id)
            if task.created_at < since - MARGIN:
                break


if __name__ == "__main__":
    asyncio.run(main(*map(datetime.fromisoformat, sys.argv[1:])))
