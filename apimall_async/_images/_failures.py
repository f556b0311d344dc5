"""The errors of a download.

No message has the URL: whoever knows a signed one can get the image.
"""

from http import HTTPStatus
from http.client import responses
from typing import TypeVar

import aiohttp

from apimall_async._errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    InternalServerError,
    RateLimitError,
)
from apimall_async._network_errors import may_pass
from apimall_async._protocol import parse_retry_after


_Error = TypeVar("_Error", bound=APIError)


class NotPublicError(OSError):
    """No connection is made, because the address is not public."""


def status_error(response: aiohttp.ClientResponse) -> APIStatusError:
    """Make the error for a response whose status is not a success."""
    return make_status_error(response.status, parse_retry_after(response.headers))


def make_status_error(status: int, retry_after: float | None, to_what: str = "") -> APIStatusError:
    """Make the error for a status. Only an error that may pass says when."""
    message = f"the image's host responded with {status} {responses.get(status, '')}".rstrip()
    message = f"{message} {to_what}".rstrip()
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return with_hint(RateLimitError(message, status=status, retry_after=retry_after), "try again later")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return with_hint(
            InternalServerError(message, status=status, retry_after=retry_after), "try again later"
        )
    # Here, 404 is not about the gateway, and 401 not about the API key: so not the subclasses for these.
    return with_hint(
        APIStatusError(message, status=status), "the URL may have expired: read the history again"
    )


def translate_error(error: Exception) -> APIError:
    """Make an error of this package of what aiohttp, or the system below it, raised."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, NotPublicError):
        return validation_error(str(cause))
    reason = str(error) if isinstance(error, aiohttp.ClientConnectorError) else type(error).__name__
    failure = APIConnectionError(f"the image could not be downloaded: {reason}")
    failure.retryable = may_pass(error)
    return with_hint(failure, "check the network, or try again")


def validation_error(message: str) -> APIResponseValidationError:
    """Make the error for a URL, an address or an image that is not acceptable."""
    return with_hint(APIResponseValidationError(message), "")


def not_an_image(what: str) -> APIResponseValidationError:
    """Make the error for a page, JSON or a text: a host in trouble may send one, and the image later."""
    error = with_hint(
        APIResponseValidationError(f"the image's host sent {what}, and no image"), "try again later"
    )
    error.retryable = True
    return error


def with_hint(error: _Error, hint: str) -> _Error:
    """Replace the hint of the error's class, which is about the gateway."""
    error.hint = hint
    return error
