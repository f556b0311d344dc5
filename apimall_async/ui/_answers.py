"""What the page is told, as JSON: tasks, or what went wrong and what to do about it."""

import math
import re
from http import HTTPStatus
from typing import Any

import attrs
from aiohttp import web

from apimall_async import (
    APIConnectionError,
    APIError,
    ApimallError,
    APIResponseValidationError,
    APITimeoutError,
    AuthenticationError,
    ClientClosedError,
    HistoryPage,
    ImageTask,
    InternalServerError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
)


_WEB_URL = re.compile(r"https?://[^\s/\\?#@]+([/?#]\S*)?", re.IGNORECASE | re.ASCII)

# What it is called, the status, and advice. The gateway's 401 and 403 are no statement about the page's
# reader, whom a 401 would send to a login: for the reader they are a bad gateway. First match counts.
_KINDS: dict[type[ApimallError], tuple[str, HTTPStatus, str]] = {
    RateLimitError: (
        "rate_limited",
        HTTPStatus.TOO_MANY_REQUESTS,
        "The page goes on by itself.",
    ),
    AuthenticationError: (
        "key_refused",
        HTTPStatus.BAD_GATEWAY,
        "Start the page's server with a valid API key: APIMALL_API_KEY.",
    ),
    PermissionDeniedError: (
        "no_access",
        HTTPStatus.BAD_GATEWAY,
        "Check that the account has API access, and that the base URL names the gateway.",
    ),
    NotFoundError: (
        "not_found",
        HTTPStatus.BAD_GATEWAY,
        "Check the base URL: it is the gateway's origin, without /api/v1.",
    ),
    InternalServerError: (
        "gateway_failed",
        HTTPStatus.BAD_GATEWAY,
        "Try again later. If it goes on, send the request id to the vendor's support.",
    ),
    APITimeoutError: (
        "timeout",
        HTTPStatus.GATEWAY_TIMEOUT,
        "Check the network of the page's server.",
    ),
    APIConnectionError: (
        "unreachable",
        HTTPStatus.BAD_GATEWAY,
        "Check the network of the page's server, its proxy and the base URL.",
    ),
    APIResponseValidationError: (
        "bad_answer",
        HTTPStatus.BAD_GATEWAY,
        "A newer release of apimall-async may know this answer.",
    ),
    PaginationError: (
        "pages_unreadable",
        HTTPStatus.BAD_GATEWAY,
        "Reload the page to read the history from its start.",
    ),
    ClientClosedError: (
        "closed",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The page's server is shutting down. Start it again.",
    ),
}
_OTHER = ("failed", HTTPStatus.BAD_GATEWAY, "Try again.")


def describe_window(window: HistoryPage, poll_interval: float) -> web.Response:
    """Tell the tasks of one window, whether the history ends in it, and when to look for news."""
    return web.json_response(
        {
            "tasks": [_describe_task(task) for task in window.items],
            "end": len(window.items) < window.limit,
            "poll_interval": poll_interval,
        }
    )


def _describe_task(task: ImageTask) -> dict[str, Any]:
    completed_at = task.completed_at and task.completed_at.isoformat()
    return attrs.asdict(task) | {
        "image_url": web_url(task.image_url),
        "created_at": task.created_at.isoformat(),
        "completed_at": completed_at,
    }


def web_url(url: str | None) -> str | None:
    """Return ``url`` if it is an absolute http(s) URL without a login, else None."""
    return url if url and _WEB_URL.fullmatch(url) else None


def describe_failure(error: ApimallError) -> web.Response:
    """Tell the page what happened. The client has cut the API key out of the gateway's words."""
    kind, status, advice = next((found for kind, found in _KINDS.items() if isinstance(error, kind)), _OTHER)
    if not isinstance(error, APIError):
        return failure_answer(status, kind=kind, message=str(error), advice=advice)
    return failure_answer(
        status,
        kind=kind,
        message=error.message,
        advice=advice,
        request_id=error.request_id,
        retryable=error.retryable,
        retry_after=getattr(error, "retry_after", None),
    )


def failure_answer(
    status: int,
    *,
    kind: str,
    message: str,
    advice: str = "",
    request_id: str | None = None,
    retryable: bool = False,
    retry_after: float | None = None,
) -> web.Response:
    """Make the answer that the page shows as an error."""
    error = {
        "kind": kind,
        "message": message,
        "advice": advice,
        "request_id": request_id,
        "retryable": retryable,
        "retry_after": retry_after,
    }
    headers = {} if retry_after is None else {"Retry-After": str(math.ceil(retry_after))}
    return web.json_response({"error": error}, status=status, headers=headers)
