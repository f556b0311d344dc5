"""The log records of a client that waits: the cause first in the text, and the facts as fields beside it."""

import logging
from http import HTTPStatus

from apimall_async._errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
)


_TOO_MANY_REQUESTS = 429

_logger = logging.getLogger("apimall_async")


def log_pause(status: int, wait: float) -> None:
    """Log that no request may start for a while, because of a response with this status."""
    fields = {"status": status, "wait": wait}
    cause = _phrase(status) if status >= _TOO_MANY_REQUESTS else "rate limit reached"
    _logger.info("%s, next request in %s", cause, _seconds(wait), extra=fields)


def log_retry(error: APIError, *, attempt: int, max_tries: int, wait: float, page: int) -> None:
    """Log that a page will be requested again after ``wait`` seconds.

    ``attempt`` is the number of the coming try. That of a 429 has none of its own, and the pause that it
    means to all requests was logged: one line is enough for people.
    """
    status = getattr(error, "status", None)
    fields = {
        "attempt": attempt,
        "max_tries": max_tries,
        "wait": wait,
        "status": status,
        "request_id": error.request_id,
        "page": page,
        "error": str(error),
    }
    when = f"in {_seconds(wait)}: {_cause(error)}"
    if status == _TOO_MANY_REQUESTS:
        _logger.debug("retry %s", when, extra=fields)
    else:
        _logger.info("retry %d of %d %s", attempt, max_tries, when, extra=fields)


def _cause(error: APIError) -> str:
    """Say in two or three words what went wrong."""
    if isinstance(error, APIStatusError):
        return _phrase(error.status)
    if isinstance(error, APIConnectionError) and not error.connected:
        return "no connection"
    if isinstance(error, APITimeoutError):
        return "no response in time"
    if isinstance(error, APIResponseValidationError):
        return "no JSON"
    return "connection lost"


def _phrase(status: int) -> str:
    if status == _TOO_MANY_REQUESTS:
        return "rate limited (429)"
    try:
        return f"{HTTPStatus(status).phrase.lower()} ({status})"
    except ValueError:
        return f"status {status}"


def _seconds(wait: float) -> str:
    return f"{wait:.0f} s" if wait >= 1 else f"{wait:.2g} s"
