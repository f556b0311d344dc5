"""Written in ten minutes: aiohttp, cattrs into attrs classes, backoff. No walk over moving pages."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count

import aiohttp
import attrs
import backoff
import cattrs
import orjson


@attrs.frozen
class ImageTask:
    """One of the history's items."""

    task_id: str
    model: str
    source: str
    created_at: datetime
    status: str
    credits_used: int
    image_url: str | None = None
    credits_refunded: int | None = None
    completed_at: datetime | None = None


converter = cattrs.Converter()
converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))


@asynccontextmanager
async def connect(
    url: str, key: str, *, max_tries: int = 5
) -> AsyncIterator[Callable[[int], Awaitable[list[ImageTask]]]]:
    """Give a function that fetches one page, again after an error: exponential waits, full jitter."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:

        @backoff.on_exception(backoff.expo, aiohttp.ClientError, max_tries=max_tries)
        async def fetch(page: int) -> list[ImageTask]:
            params = {"page": page, "limit": 50}
            async with session.get(f"{url}/api/v1/images/history", params=params) as response:
                answer = orjson.loads(await response.read())
            return converter.structure(answer["data"]["items"], list[ImageTask])

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
