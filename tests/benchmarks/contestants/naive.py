"""Naive: bare aiohttp that sleeps a second at each 429 and asks again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson


@asynccontextmanager
async def connect(url: str, key: str) -> AsyncIterator[Callable[[int], Awaitable[list[dict[str, Any]]]]]:
    """Give a function that fetches one page."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:

        async def fetch(page: int) -> list[dict[str, Any]]:
            params = {"page": page, "limit": 50}
            while True:
                async with session.get(f"{url}/api/v1/images/history", params=params) as response:
                    if response.status != HTTPStatus.TOO_MANY_REQUESTS:
                        response.raise_for_status()
                        return orjson.loads(await response.read())["data"]["items"]
                await asyncio.sleep(1)

        yield fetch
