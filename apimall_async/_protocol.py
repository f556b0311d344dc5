"""Pure: one HTTP response in, a page or the typed error out.

The rules are the contract page's (*Response Parameters*, *Error Codes*) and RFC 9110's (Retry-After).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypedDict, TypeVar, cast

from multidict import CIMultiDict, CIMultiDictProxy

from apimall_async._conversion import Page, problems, structure
from apimall_async._errors import (
    APIError,
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from apimall_async._json import NotJSONError, load_json


P = TypeVar("P", bound=Page[Any])
Headers = CIMultiDict[str] | CIMultiDictProxy[str]

_OK = 200  # not HTTPStatus.OK: to look up a member costs as much as to check ten fields
_ABSURD_WAIT = 366 * 86_400.0  # seconds; a Retry-After beyond a year is taken for nonsense
_MAX_MESSAGE = 500  # characters of the gateway's own text that an error repeats

_ENCODINGS = {"", "identity", "gzip", "deflate", "br", "zstd"}  # that aiohttp unpacks, or says that it cannot

_ERRORS: Mapping[int, type[APIStatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}


def read_page(kind: type[P], status: int, headers: Headers, body: bytes) -> P:
    """Make a page of one response.

    Raises:
        APIStatusError: the subclass that goes with a status other than 200.
        APIError: a 200 that says ``success: false``.
        APIResponseValidationError: a 200 outside the contract.

    """
    if status != _OK:
        raise _status_error(status, headers, body)
    try:
        return structure(body, kind)
    except NotJSONError as error:
        failure: APIError = _no_json(str(error), headers)
    except Exception as error:  # noqa: BLE001 - cattrs groups what it found
        failure = _failed_with_200(body, problems(error))
    raise failure


def _no_json(message: str, headers: Headers) -> APIResponseValidationError:
    """Make the error of a body that is cut off, or is not the gateway's: the next one may be good."""
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        return APIResponseValidationError(
            f"the response has the encoding {encoding!r}, which was not requested and cannot be read"
        )
    error = APIResponseValidationError(message)
    error.retryable = True
    return error


def _failed_with_200(body: bytes, message: str) -> APIError:
    response = _load(body)
    if _member(response, "success") is False:
        return APIError(**_explained(response, default="the gateway responded 200 with success: false"))
    error = APIResponseValidationError(message, request_id=_text(_member(response, "request_id")))
    data = _member(response, "data")
    error.no_items = isinstance(_member(data, "page"), int) and _member(data, "items") is None
    return error


def _load(body: bytes) -> object:
    try:
        return load_json(body)
    except NotJSONError:
        return None


def parse_retry_after(headers: Headers, now: datetime | None = None) -> float | None:
    """Seconds to wait, or None where the header is absent or nonsense (RFC 9110, 10.2.3).

    Of several headers the longest wait counts. A date is measured from the response's own Date,
    so a wrong clock here does not matter, else from ``now``.
    """
    waits = [_parse_wait(value.strip(), headers, now) for value in headers.getall("Retry-After", ())]
    return max((wait for wait in waits if wait is not None), default=None)


def _parse_wait(value: str, headers: Headers, now: datetime | None) -> float | None:
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value):
        wait = float(value)
    elif (until := parse_date(value)) is not None:
        sent = parse_date(headers.get("Date", "")) or now or datetime.now(UTC)
        wait = max(0.0, (until - sent).total_seconds())
    else:
        return None
    return wait if wait <= _ABSURD_WAIT else None


def parse_date(value: str) -> datetime | None:
    """Read an HTTP date, or return None."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _status_error(status: int, headers: Headers, body: bytes) -> APIError:
    response = _load(body)
    facts = _explained(response, default=f"the gateway responded {_phrase(status)}")
    if status < HTTPStatus.MULTIPLE_CHOICES:
        failure = APIResponseValidationError(**facts)
        failure.retryable = response is None  # as a 200 without JSON
        return failure
    kind = _ERRORS.get(status)
    if kind is None:
        kind = InternalServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIStatusError
    error = kind(**facts, status=status, retry_after=parse_retry_after(headers))
    if status < HTTPStatus.BAD_REQUEST:
        error.hint = "redirects are not followed, the key would go along: check {base_url}"
    elif status == HTTPStatus.REQUEST_TIMEOUT:  # a proxy did not wait for the request (RFC 9110, 15.5.9)
        error.retryable = True
    return error


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


class _Explanation(TypedDict):
    message: str
    code: str | None
    request_id: str | None


def _explained(response: object, default: str) -> _Explanation:
    """What a response says of its failure (contract: *Error Response Example*), as far as it does.

    It may be the gateway's JSON, or a proxy's HTML, or nothing.
    """
    error = _member(response, "error")
    return {
        "message": _text(_member(error, "message")) or default,
        "code": _text(_member(error, "code")),
        "request_id": _text(_member(response, "request_id")),
    }


def _member(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value[:_MAX_MESSAGE] if isinstance(value, str) and value else None
