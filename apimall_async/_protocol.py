"""Pure: one HTTP answer in, a HistoryPage or the typed error out.

The rules are the contract page's (*Response Parameters*, *Error Codes*) and RFC 9110's (Retry-After).
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Any, TypedDict, TypeVar, cast

import attrs
import msgspec
from cattrs import Converter, transform_error
from multidict import CIMultiDict, CIMultiDictProxy

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
from apimall_async._models import HistoryPage, ImageTask, Int64


T = TypeVar("T")
Headers = CIMultiDict[str] | CIMultiDictProxy[str]

HISTORY_PATH = "/api/v1/images/history"
MAX_LIMIT = 50
"""Tasks a page can hold (contract: *Query Parameters*)."""

_ABSURD_WAIT = 366 * 86_400.0  # seconds; a Retry-After beyond a year is taken for nonsense
_MAX_MESSAGE = 500  # characters of the gateway's own words that an error repeats
_MAX_ITEMS = 20 * MAX_LIMIT  # tasks in one answer that are still looked at
_MAX_COMPLAINTS = 5  # bad fields that a validation error names

_NOT_JSON = object()
_ERRORS: Mapping[int, type[APIStatusError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
}


def read_page(status: int, headers: Headers, body: bytes) -> HistoryPage:
    """Decode one answer to *List Image History*.

    Raises:
        APIStatusError: the subclass that goes with a status other than 200.
        APIError: a 200 that says ``success: false``.
        APIResponseValidationError: a 200 outside the contract.

    """
    if status != HTTPStatus.OK:
        raise _status_error(status, headers, body)
    envelope = _structure(body)
    data = envelope.data
    return HistoryPage(data.items, data.page, data.limit, envelope.request_id)


def _decode(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Some hold the body: none must become another error's __context__.
        return _NOT_JSON


def parse_retry_after(headers: Headers, now: datetime | None = None) -> float | None:
    """Seconds to wait, or None where the header is absent or nonsense (RFC 9110, 10.2.3).

    Of several headers the longest wait counts. A date is measured from the answer's own Date,
    so that a wrong clock here does not matter, else from ``now``.
    """
    waits = [_parse_wait(value.strip(), headers, now) for value in headers.getall("Retry-After", ())]
    return max((wait for wait in waits if wait is not None), default=None)


def _parse_wait(value: str, headers: Headers, now: datetime | None) -> float | None:
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value):
        wait = float(value)
    elif (until := _parse_date(value)) is not None:
        sent = _parse_date(headers.get("Date", "")) or now or datetime.now(UTC)
        wait = max(0.0, (until - sent).total_seconds())
    else:
        return None
    return wait if wait <= _ABSURD_WAIT else None


def _parse_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _status_error(status: int, headers: Headers, body: bytes) -> APIError:
    facts = _explained(_decode(body), default=f"the gateway answered {_phrase(status)}")
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return APIResponseValidationError(**facts)
    kind = _ERRORS.get(status)
    if kind is None:
        kind = InternalServerError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else APIStatusError
    error = kind(**facts, status=status, retry_after=parse_retry_after(headers))
    if status < HTTPStatus.BAD_REQUEST:
        error.hint = "redirects are not followed, the key would go along: check base_url"
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


def _explained(answer: object, default: str) -> _Explanation:
    """What an answer says of its failure (contract: *Error Response Example*), as far as it does.

    It may be the gateway's JSON, or a proxy's HTML, or nothing.
    """
    error = _member(answer, "error")
    return {
        "message": _text(_member(error, "message")) or default,
        "code": _text(_member(error, "code")),
        "request_id": _text(_member(answer, "request_id")),
    }


def _member(answer: object, name: str) -> object:
    return cast("dict[str, object]", answer).get(name) if isinstance(answer, dict) else None


def _text(value: object) -> str | None:
    return value[:_MAX_MESSAGE] if isinstance(value, str) and value else None


# --- the contract's shapes, and cattrs made strict --------------------------------------------

_Tasks = tuple[ImageTask, ...]


def _positive(_: object, __: object, value: int) -> None:
    if value < 1:
        raise ValueError(f"expected at least 1, got {value}")


@attrs.frozen
class _Data:
    items: Annotated[_Tasks, msgspec.Meta(max_length=_MAX_ITEMS)]
    page: Int64 = attrs.field(validator=_positive)
    limit: Int64 = attrs.field(validator=_positive)


@attrs.frozen
class _Envelope:
    success: bool
    data: _Data
    request_id: str


def _exactly(kind: type[T], name: str) -> Callable[[object, object], T]:
    """Take JSON values of this very kind only; cattrs by itself turns null into "None", "8" into 8."""

    def structure(value: object, _: object) -> T:
        if type(value) is kind:
            return value
        got = "null" if value is None else type(value).__name__
        raise TypeError(f"expected {name}, got {got}")

    return structure


_string = _exactly(str, "a string")
_whole = _exactly(int, "an integer")
_list: Callable[[object, object], list[Any]] = _exactly(list, "an array")
_object: Callable[[object, object], dict[str, Any]] = _exactly(dict, "an object")


def _integer(value: object, kind: object) -> int:
    number = _whole(value, kind)
    if not -(2**63) <= number < 2**63:
        raise ValueError("expected an integer of 64 bits")
    return number


def _array(value: object, kind: object) -> list[Any]:
    """Take a list that is not absurdly long: naming what is wrong in a million tasks takes gigabytes."""
    items = _list(value, kind)
    if len(items) > _MAX_ITEMS:
        raise ValueError(f"expected at most {MAX_LIMIT} items, got {len(items)}")
    return items


def _timestamp(value: object, _: object) -> datetime:
    text = _string(value, str)
    with suppress(msgspec.ValidationError):
        return _aware(msgspec.convert(text, datetime))
    try:
        return _aware(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError("expected an ISO 8601 timestamp") from None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _careful_converter() -> Converter:
    """Name what is wrong by its path; takes its time."""
    converter = Converter()
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(int, _integer)
    converter.register_structure_hook(bool, _exactly(bool, "a boolean"))
    converter.register_structure_hook(datetime, _timestamp)
    structure_tasks = converter.get_structure_hook(_Tasks)
    converter.register_structure_hook_func(
        lambda kind: kind == _Tasks, lambda value, kind: structure_tasks(_array(value, kind), kind)
    )

    def structure_object(kind: type, converter: Converter) -> Callable[[object, type], Any]:
        structure: Callable[[Any, Any], Any] = converter.gen_structure_attrs_fromdict(kind)
        return lambda value, kind: structure(_object(value, kind), kind)

    converter.register_structure_hook_factory(attrs.has, structure_object)
    return converter


_fast = msgspec.json.Decoder(_Envelope)
_careful = _careful_converter()


def _structure(body: bytes) -> _Envelope:
    """Decode and check a page in one pass; what that refuses is gone through again, with care."""
    with suppress(Exception):
        envelope = _fast.decode(body)
        if envelope.success:
            return envelope
    return _structure_carefully(body)


def _structure_carefully(body: bytes) -> _Envelope:
    """Take what the fast way is too strict for, such as times without an offset; name what is wrong."""
    answer = _decode(body)
    if answer is _NOT_JSON:
        kind = "HTML" if body.lstrip().startswith(b"<") else "something else"
        raise APIResponseValidationError(f"expected JSON, got {len(body)} bytes of {kind}")
    facts = _explained(answer, default="the gateway answered 200 with success: false")
    if _member(answer, "success") is False:
        raise APIError(**facts)
    try:
        return _careful.structure(answer, _Envelope)
    except Exception as error:  # noqa: BLE001 - cattrs groups what it found; transform_error knows
        complaints = transform_error(error, path="$", format_exception=_complaint)
    shown = complaints[:_MAX_COMPLAINTS]
    if len(complaints) > len(shown):
        shown.append(f"and {len(complaints) - len(shown)} more")
    raise APIResponseValidationError("; ".join(shown), request_id=facts["request_id"])


def _complaint(error: BaseException, _: object) -> str:
    return "missing" if isinstance(error, KeyError) else str(error)
