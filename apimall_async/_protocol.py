"""Pure: one HTTP answer in, a HistoryPage or the typed error out.

The rules are the contract page's (*Response Parameters*, *Error Codes*) and RFC 9110's (Retry-After).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from operator import attrgetter, itemgetter
from typing import Any, TypedDict, TypeVar, cast, get_args

import attrs
import orjson
from cattrs import Converter, transform_error
from cattrs.preconf.orjson import make_converter
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
from apimall_async._models import HistoryPage, ImageTask


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
    answer = _decode(body)
    if answer is _NOT_JSON:
        kind = "HTML" if body.lstrip().startswith(b"<") else "something else"
        raise APIResponseValidationError(f"expected JSON, got {len(body)} bytes of {kind}")
    envelope = _structure(answer)
    if not envelope.success:
        raise _failure(answer)
    data = envelope.data
    return HistoryPage(data.items, data.page, data.limit, envelope.request_id)


def _decode(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # it holds the body, and must not become an error's __context__
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
    return kind(**facts, status=status, retry_after=parse_retry_after(headers))


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


def _failure(answer: object) -> APIError:
    return APIError(**_explained(answer, default="the gateway answered 200 with success: false"))


# --- the contract's shapes, and cattrs made strict --------------------------------------------

_Tasks = tuple[ImageTask, ...]


def _positive(_: object, __: object, value: int) -> None:
    if value < 1:
        raise ValueError(f"expected at least 1, got {value}")


@attrs.frozen
class _Data:
    items: _Tasks
    page: int = attrs.field(validator=_positive)
    limit: int = attrs.field(validator=_positive)


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
_list: Callable[[object, object], list[Any]] = _exactly(list, "an array")
_object: Callable[[object, object], dict[str, Any]] = _exactly(dict, "an object")


def _array(value: object, kind: object) -> list[Any]:
    """Take a list that is not absurdly long: naming what is wrong in a million tasks takes gigabytes."""
    items = _list(value, kind)
    if len(items) > _MAX_ITEMS:
        raise ValueError(f"expected at most {MAX_LIMIT} items, got {len(items)}")
    return items


def _timestamp(value: object, _: object) -> datetime:
    try:
        return _aware(datetime.fromisoformat(_string(value, str)))
    except ValueError:
        raise ValueError("expected an ISO 8601 timestamp") from None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_offset = attrgetter("tzinfo")


def _strict_converter(*, detailed: bool) -> Converter:
    converter = make_converter(detailed_validation=detailed)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(int, _exactly(int, "an integer"))
    converter.register_structure_hook(bool, _exactly(bool, "a boolean"))
    converter.register_structure_hook(datetime, _timestamp)
    return converter


def _careful_converter() -> Converter:
    """Name what is wrong by its path; takes its time."""
    converter = _strict_converter(detailed=True)
    structure_tasks = converter.get_structure_hook(_Tasks)
    converter.register_structure_hook_func(
        lambda kind: kind == _Tasks, lambda value, kind: structure_tasks(_array(value, kind), kind)
    )

    def structure_object(kind: type, converter: Converter) -> Callable[[object, type], Any]:
        structure: Callable[[Any, Any], Any] = converter.gen_structure_attrs_fromdict(kind)
        return lambda value, kind: structure(_object(value, kind), kind)

    converter.register_structure_hook_factory(attrs.has, structure_object)
    return converter


def _fast_converter() -> Converter:
    """Tell only that something is wrong, but check a page's tasks column by column.

    A column of 50 values is checked by one pass in C, where a hook a value costs 450 calls a page.
    """
    converter = _strict_converter(detailed=False)
    required = itemgetter(*(field.name for field in _FIELDS if field.default is attrs.NOTHING))
    optional = [field.name for field in _FIELDS if field.default is not attrs.NOTHING]
    checks = [_column_check(field.type) for field in _FIELDS]

    def structure_tasks(value: object, kind: object) -> _Tasks:
        rows = _array(value, kind)
        if not rows:
            return ()
        columns = [*zip(*map(required, rows), strict=True)]
        columns += [tuple([row.get(name) for row in rows]) for name in optional]
        return _make_tasks([check(column) for check, column in zip(checks, columns, strict=True)])

    converter.register_structure_hook_func(lambda kind: kind == _Tasks, structure_tasks)
    return converter


_FIELDS = attrs.fields(ImageTask)
_Draft = attrs.make_class(
    "_Draft", [field.name for field in _FIELDS], eq=False, slots=True, weakref_slot=False
)


def _make_tasks(columns: Iterable[Iterable[Any]]) -> _Tasks:
    """Make tasks of checked columns.

    A frozen class sets each field by a call, in a third of the time that a page takes. So a draft with
    the same slots is filled by plain assignment, and then becomes a task.
    """
    drafts: list[Any] = list(map(_Draft, *columns))
    for draft in drafts:
        draft.__class__ = ImageTask
    return tuple(drafts)


def _column_check(kind: Any) -> Callable[[Sequence[Any]], Iterable[Any]]:
    kinds = frozenset(get_args(kind) or (kind,))
    allowed = (kinds | {str}) - {datetime} if datetime in kinds else kinds

    def check(values: Sequence[Any]) -> Sequence[Any]:
        if not allowed.issuperset(map(type, values)):
            raise TypeError
        return values

    def check_timestamps(values: Sequence[Any]) -> Iterable[Any]:
        parse = datetime.fromisoformat
        if None in check(values):
            return [value if value is None else _aware(parse(value)) for value in values]
        moments = list(map(parse, values))
        return moments if all(map(_offset, moments)) else map(_aware, moments)

    return check_timestamps if datetime in kinds else check


_careful = _careful_converter()
_fast = _fast_converter()


def _structure(answer: object) -> _Envelope:
    with suppress(Exception):  # whatever it is, the careful converter finds it again, and names it
        return _fast.structure(answer, _Envelope)
    if _member(answer, "success") is False:
        raise _failure(answer)
    try:
        return _careful.structure(answer, _Envelope)
    except Exception as error:  # noqa: BLE001 - cattrs groups what it found; transform_error knows
        complaints = transform_error(error, path="$", format_exception=_complaint)
    shown = complaints[:_MAX_COMPLAINTS]
    if len(complaints) > len(shown):
        shown.append(f"and {len(complaints) - len(shown)} more")
    facts = _explained(answer, default="")
    raise APIResponseValidationError("; ".join(shown), request_id=facts["request_id"])


def _complaint(error: BaseException, _: object) -> str:
    return "missing" if isinstance(error, KeyError) else str(error)
