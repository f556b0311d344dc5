"""The floor: bare aiohttp and orjson to dicts, page by page. No types, no checks, no retries."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp
import orjson


@asynccontextmanager
async def connect(url: str, key: str) -> AsyncIterator[Callable[[int], Awaitable[list[dict[str, Any]]]]]:
    """Give a function that fetches one page."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:

        async def fetch(page: int) -> list[dict[str, Any]]:
            params = {"page": page, "limit": 50}
            async with session.get(f"{url}/api/v1/images/history", params=params) as response:
                response.raise_for_status()
                return orjson.loads(await response.read())["data"]["items"]

        yield fetch


async def read(url: str, key: str) -> int:
    """Read the history; count its tasks."""
    tasks = 0
    async with connect(url, key) as fetch:
        for page in count(1):
            items = await fetch(page)
            for _ in items:
                tasks += 1
            if len(items) < 50:
                break
    return tasks
