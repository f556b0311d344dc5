"""One page decoded and structured alone, often, without a client."""

import asyncio
import gc
import inspect
import time
from collections.abc import Callable
from typing import Any

import counting


def structure(url: str, key: str) -> dict[str, float]:
    """Decode and structure one page of 50; milliseconds of CPU."""
    decode = _prepare(url, key)
    gc.collect()
    gc.freeze()  # a full collection of all that was imported takes 10 ms, whoever sets it off
    times = []
    for _ in range(400):
        start = time.thread_time()
        decode()
        times.append((time.thread_time() - start) * 1e3)
    times.sort()
    return {"p90": times[-40], "longest": times[-1]}


def count_decoding(url: str, key: str, *, pages: list[int]) -> dict[str, Any]:
    """Decode and structure a page so many times, and so many times, under callgrind."""
    decode = _prepare(url, key)
    decode()
    counting.start()
    for times in pages:
        for _ in range(times):
            decode()
        counting.finish_part()
    counting.stop()
    return {}


def _prepare(url: str, key: str) -> Callable[[], object]:
    import aiohttp  # noqa: PLC0415 - the other tasks must not pay for this

    from apimall_async import HistoryPage, _protocol  # noqa: PLC0415

    async def fetch() -> tuple[int, Any, bytes]:
        headers = {"Authorization": f"Bearer {key}"}
        request = aiohttp.request("GET", f"{url}/api/v1/images/history?page=2&limit=50", headers=headers)
        async with request as response:
            return response.status, response.headers, await response.read()

    response = asyncio.run(fetch())
    read_page: Callable[..., object] = _protocol.read_page
    if len(inspect.signature(read_page).parameters) == len(response):  # 0.1.0 knows but one kind of page
        return lambda: read_page(*response)
    return lambda: read_page(HistoryPage, *response)
