"""The requests that a gateway got, for tests to read."""

import contextlib
import time
from collections.abc import Mapping

import attrs
from aiohttp import web

from apimall_async.testing._contract import Refusal, read_query


@attrs.define(kw_only=True)
class RecordedRequest:
    """One request as it arrived, and the response to it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in any case: ``request.headers["authorization"]``."""
    received_at: float
    """Seconds on ``time.monotonic``'s clock."""
    page: int | None = None
    """The requested page; None where the request names none that can be served."""
    limit: int | None = None
    """The requested limit, before any cap."""
    status: int | None = None
    """Of the response; None until it was sent, and for good if the connection was reset or left silent."""
    tasks: int = 0
    """Tasks in the response."""


def record_request(request: web.BaseRequest, history_path: str) -> RecordedRequest:
    """Record a request that has just arrived."""
    record = RecordedRequest(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        received_at=time.monotonic(),
    )
    if record.path == history_path:
        with contextlib.suppress(Refusal):
            record.page, record.limit = read_query(record.query)
    return record
