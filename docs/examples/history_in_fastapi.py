"""The history as JSON lines from a FastAPI service: streamed page by page, one client for all readers.

APIMALL_API_KEY=… uvicorn history_in_fastapi:app
curl --no-buffer 'http://127.0.0.1:8000/history.jsonl?max_items=1000'
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, TypedDict

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import StreamingResponse

from apimall_async import ApimallError, AsyncClient, HistoryPage, RateLimitError


class State(TypedDict):
    """What lives as long as the service does."""

    client: AsyncClient


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[State]:
    """Open the one client, and close it."""
    async with AsyncClient() as client:
        yield State(client=client)


app = FastAPI(lifespan=lifespan)
# There is no login. Without this, any site could make a browser read the history (DNS rebinding).
app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])


@app.get("/history.jsonl")
async def history(
    request: Request, max_items: Annotated[int | None, Query(ge=0)] = None
) -> StreamingResponse:
    """Send the tasks, one per line, newest first; only one page at a time is in memory."""
    client: AsyncClient = request.state.client
    pages = client.iter_history_pages(max_items=max_items)
    try:
        first = await anext(pages, None)  # before the response begins, an error can set its status
    except RateLimitError as error:
        headers = {"Retry-After": f"{error.retry_after or 1:.0f}"}
        raise HTTPException(503, "too many requests to the gateway", headers) from error
    except ApimallError as error:
        raise HTTPException(502, "the history cannot be read") from error
    return StreamingResponse(lines(first, pages), media_type="application/x-ndjson")


async def lines(first: HistoryPage | None, rest: AsyncGenerator[HistoryPage]) -> AsyncIterator[str]:
    """Send page after page. An error cuts the response off, so that its reader sees that it is incomplete."""
    async with aclosing(rest):
        if first:
            yield to_lines(first)
        async for page in rest:
            yield to_lines(page)


def to_lines(page: HistoryPage) -> str:
    """Write each task as one line."""
    return "".join([f"{json.dumps(task.to_dict())}\n" for task in page])
