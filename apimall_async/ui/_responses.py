"""What the browser gets, as JSON: tasks, or what went wrong and what to do about it."""

import math
from http import HTTPStatus
from typing import Any

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
from apimall_async._untrusted import web_url


# What the page calls it, and the status. The gateway's 401 and 403 are no statement about the page's
# reader, whom a 401 would send to a login: for the reader they are a bad gateway. First match counts.
_KINDS: dict[type[ApimallError], tuple[str, HTTPStatus]] = {
    RateLimitError: ("rate_limited", HTTPStatus.TOO_MANY_REQUESTS),
    AuthenticationError: ("key_refused", HTTPStatus.BAD_GATEWAY),
    PermissionDeniedError: ("no_access", HTTPStatus.BAD_GATEWAY),
    NotFoundError: ("not_found", HTTPStatus.BAD_GATEWAY),
    InternalServerError: ("gateway_failed", HTTPStatus.BAD_GATEWAY),
    APITimeoutError: ("timeout", HTTPStatus.GATEWAY_TIMEOUT),
    APIConnectionError: ("unreachable", HTTPStatus.BAD_GATEWAY),
    APIResponseValidationError: ("bad_response", HTTPStatus.BAD_GATEWAY),
    PaginationError: ("pages_unreadable", HTTPStatus.BAD_GATEWAY),
    ClientClosedError: ("closed", HTTPStatus.SERVICE_UNAVAILABLE),
}
_OTHER = ("failed", HTTPStatus.BAD_GATEWAY)

_SETTINGS = {  # what the page calls the settings of its client
    "api_key": "the API key of the page's server (APIMALL_API_KEY)",
    "base_url": "the base URL of the page's server (APIMALL_BASE_URL)",
    "timeout": "timeout= of the page's client",
    "retry": "RetryPolicy of the page's client",
    "restart": "reload the page to read the history from its start",
}


def describe_page(page: HistoryPage, poll_interval: float, *, end: bool) -> web.Response:
    """Send the tasks of one page, whether the history ends in it, and when to look for new ones."""
    return web.json_response(
        {
            "tasks": [_describe_task(task) for task in page.items],
            "end": end,
            "poll_interval": poll_interval,
        }
    )


def _describe_task(task: ImageTask) -> dict[str, Any]:
    return task.to_dict() | {"image_url": web_url(task.image_url)}


def describe_error(error: ApimallError) -> web.Response:
    """Send what happened. The client has cut the API key out of the gateway's words."""
    kind, status = next((found for cls, found in _KINDS.items() if isinstance(error, cls)), _OTHER)
    advice = _sentence(error.format_hint(**_SETTINGS))
    if not isinstance(error, APIError):
        return error_response(status, kind=kind, message=str(error), advice=advice)
    return error_response(
        status,
        kind=kind,
        message=error.message,
        advice=advice,
        request_id=error.request_id,
        retryable=error.retryable,
        retry_after=getattr(error, "retry_after", None),
    )


def _sentence(hint: str) -> str:
    return f"{hint[0].upper()}{hint[1:]}." if hint else ""


def error_response(
    status: int,
    *,
    kind: str,
    message: str,
    advice: str = "",
    request_id: str | None = None,
    retryable: bool = False,
    retry_after: float | None = None,
) -> web.Response:
    """Make the response that the page shows as an error."""
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
