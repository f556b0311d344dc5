"""The history as JSON lines from a FastAPI service: streamed page by page, one client for all readers.

APIMALL_API_KEY=… uvicorn history_in_fastapi:app
curl --no-buffer 'http://127.0.0.1:8000/history.jsonl?max_items=1000'
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, TypedDict

import msgspec
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
# There is no login here. Without this any site could have a browser read the history (DNS rebinding).
app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])


@app.get("/history.jsonl")
async def history(
    request: Request, max_items: Annotated[int | None, Query(ge=0)] = None
) -> StreamingResponse:
    """Send the tasks, a line each, newest first; in memory there is one page at a time."""
    client: AsyncClient = request.state.client
    pages = client.iter_history_pages(max_items=max_items)
    try:
        first = await anext(pages, None)  # before the answer begins, an error can still be its status
    except RateLimitError as error:
        headers = {"Retry-After": f"{error.retry_after or 1:.0f}"}
        raise HTTPException(503, "the gateway asks for a pause", headers) from error
    except ApimallError as error:
        raise HTTPException(502, "the history cannot be read") from error
    return StreamingResponse(lines(first, pages), media_type="application/x-ndjson")


async def lines(first: HistoryPage | None, rest: AsyncGenerator[HistoryPage]) -> AsyncIterator[bytes]:
    """Spell page after page. An error cuts the answer off, so that its reader sees it is not whole."""
    async with aclosing(rest):
        if first:
            yield spell(first)
        async for page in rest:
            yield spell(page)


def spell(page: HistoryPage) -> bytes:
    """Spell each task as one line."""
    return msgspec.json.Encoder().encode_lines(page.items)
