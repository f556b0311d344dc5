"""Print what each month cost, in credits, with refunds subtracted."""

import asyncio
from collections import Counter

from apimall_async import AsyncClient


async def main() -> None:
    """Add up the whole history; ``exact``, because a bill must not skip a task."""
    credits_by_month: Counter[str] = Counter()
    async with AsyncClient() as client:
        async for task in client.iter_history(exact=True, read_ahead=4):
            month = f"{task.created_at:%Y-%m}"
            credits_by_month[month] += task.credits_used - (task.credits_refunded or 0)
    for month, total in sorted(credits_by_month.items()):
        print(month, total)


if __name__ == "__main__":
    asyncio.run(main())
