"""A response becomes a page, or the error that says what is wrong with it. No socket, no clock."""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import pytest
from contract import ERROR, EXAMPLE, NO_HEADERS, encode, page_objects, task_objects
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from apimall_async import (
    APIError,
    APIResponseValidationError,
    APIStatusError,
    AuthenticationError,
    HistoryPage,
    ImageTask,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from apimall_async._protocol import parse_retry_after, read_page


NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
REQUEST_ID = "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R"


def read(status: int, body: bytes) -> HistoryPage:
    """Read a response without headers."""
    return read_page(HistoryPage, status, NO_HEADERS, body)


def test_a_page() -> None:
    """200 with the contract's example."""
    page = read(200, EXAMPLE)
    assert (page.page, page.limit, page.request_id, len(page)) == (1, 20, REQUEST_ID, 1)
    assert type(page.items[0]) is ImageTask


# A 200 that is no page.


def test_bad_fields_are_named_by_their_paths() -> None:
    """And the error has the id of the request, for the vendor's support."""
    with pytest.raises(APIResponseValidationError) as caught:
        read(200, encode(page_objects(task_objects(status=None), task_objects(model=7))))
    assert caught.value.message == (
        "expected a string, got null @ $.data.items[0].status; "
        "expected a string, got int @ $.data.items[1].model"
    )
    assert caught.value.request_id == REQUEST_ID


@pytest.mark.parametrize("body", [b"", b"<html>", EXAMPLE[:-20], b"\xff\xfe", b"[" * 100_000, b"{"])
def test_a_200_that_is_no_json(body: bytes) -> None:
    """A login page, half a response or nothing is named for what it is."""
    kind = "HTML" if body == b"<html>" else "something else"
    with pytest.raises(APIResponseValidationError, match=rf"^expected JSON, got {len(body)} bytes of {kind}"):
        read(200, body)


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null", b"true", b"NaN"])
def test_a_200_that_is_no_object(body: bytes) -> None:
    """JSON of another shape breaks the contract."""
    with pytest.raises(APIResponseValidationError, match=r"^expected an object, got "):
        read(200, body)


@pytest.mark.parametrize("data", [{}, page_objects()["data"]])
def test_a_200_that_says_it_failed(data: object) -> None:
    """``success: false`` is an error, whatever else the response holds."""
    with pytest.raises(APIError, match="Unauthorized") as caught:
        read(200, encode(json.loads(ERROR) | {"data": data}))
    assert type(caught.value) is APIError
    assert (caught.value.code, caught.value.request_id) == ("unauthorized", REQUEST_ID)


def test_a_200_that_says_it_failed_and_not_why() -> None:
    """The error says that much itself."""
    with pytest.raises(APIError, match=r"^the gateway responded 200 with success: false$"):
        read(200, b'{"success": false}')


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"success": false}', encode(page_objects({}))])
def test_an_error_has_no_context(body: bytes) -> None:
    """A JSON decoder's error would hold the whole body."""
    with pytest.raises(APIError) as caught:
        read(200, body)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


# Other statuses.


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, AuthenticationError, False),
        (403, PermissionDeniedError, False),
        (404, NotFoundError, False),
        (429, RateLimitError, True),
        (500, InternalServerError, True),
        (502, InternalServerError, True),
        (599, InternalServerError, True),
        (302, APIStatusError, False),
        (400, APIStatusError, False),
        (408, APIStatusError, True),
        (418, APIStatusError, False),
    ],
)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (ERROR, "unauthorized"),
        (b"<html><h1>Bad Gateway</h1></html>", None),
        (b"", None),
        (b"[1]", None),
        (b'"x"', None),
        (b'{"error": "no", "request_id": 7}', None),
        (b'{"error": {"code": 7, "message": [], "x": 1}}', None),
        (ERROR[:50], None),
    ],
)
def test_the_contracts_error_codes(
    status: int,
    kind: type[APIStatusError],
    retryable: bool,
    body: bytes,
    code: str | None,
) -> None:
    """Each status has its error, whatever the body is; what the body says is kept."""
    with pytest.raises(APIStatusError) as caught:
        read(status, body)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.retryable) == (status, code, retryable)
    assert error.message.startswith("Unauthorized" if code else f"the gateway responded {status}")
    assert str(status) in str(error)


def test_a_success_that_is_no_200() -> None:
    """204 and the like hold no page; the contract has no such response."""
    with pytest.raises(APIResponseValidationError, match="the gateway responded 204 No Content"):
        read(204, b"")


def test_a_redirect_is_explained() -> None:
    """The hint says why it is not followed."""
    with pytest.raises(APIStatusError) as caught:
        read(302, b"")
    assert caught.value.hint == "redirects are not followed, the key would go along: check base_url"


def test_texts_of_the_gateway_are_bounded() -> None:
    """A message of a megabyte is cut."""
    with pytest.raises(APIStatusError) as caught:
        read(400, encode({"error": {"message": "x" * 2**20}}))
    assert len(str(caught.value)) < 1000


@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["Retry-After", "Date", "Content-Type"]), st.text()),
    st.binary(),
)
def test_any_response(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any status, headers and bytes: a page or an APIError, nothing else."""
    try:
        read_page(HistoryPage, status, CIMultiDict(headers), body)
    except APIError as error:
        assert str(error)
    else:
        assert status == 200


# Retry-After.


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        (["3"], 3.0),
        (["1.5"], 1.5),
        (["0"], 0.0),
        ([" 7 "], 7.0),
        (["-1"], None),
        (["+1"], None),
        (["1e3"], None),
        (["nan"], None),
        (["inf"], None),
        (["soon"], None),
        ([""], None),
        (["٣"], None),
        (["9" * 400], None),
        (["99999999999"], None),
        ([format_datetime(NOW + timedelta(seconds=90), usegmt=True)], 90.0),
        ([format_datetime(NOW + timedelta(seconds=90))], 90.0),
        (["Thu, 12 Mar 2026 09:31:30 -0000"], 90.0),
        ([format_datetime(NOW - timedelta(days=9), usegmt=True)], 0.0),
        (["Thu, 99 Mar 2026 09:31:30 GMT"], None),
        (["Thu, 12 Mar 99999 09:31:30 GMT"], None),
        (["2", "10"], 10.0),
        (["10", "nonsense"], 10.0),
    ],
)
def test_retry_after(values: list[str], seconds: float | None) -> None:
    """Every form of RFC 9110, 10.2.3, and what is none."""
    headers = CIMultiDict([("Retry-After", value) for value in values])
    assert parse_retry_after(headers, NOW) == seconds


def test_retry_after_a_date_by_the_gateways_own_clock() -> None:
    """A date is measured from the response's Date, so a wrong clock here waits no less."""
    headers = CIMultiDict(
        {
            "Date": format_datetime(NOW, usegmt=True),
            "Retry-After": format_datetime(NOW + timedelta(seconds=30), usegmt=True),
        }
    )
    assert parse_retry_after(headers, NOW + timedelta(hours=2)) == 30.0
    assert parse_retry_after(headers) == 30.0


DATE_PARTS = ["Thu,", "Thursday", ",", "(", ")", "\\", '"', "-", "12", "-12", "31", "Mar", "mar", "Xyz"]
DATE_PARTS += ["Mar-26", "26", "2026", "9999", "09:31:30", "24:00", "99:99:99", "-1:2"]
DATE_PARTS += ["GMT", "EST", "Z", "-0000", "+2400", "-9999", "+99999999999", "\ud800", "٣"]
# Values of Retry-After and Date: numbers and dates in all spellings, damaged ones, and what is neither.
waits = st.one_of(
    st.text(),
    st.binary().map(lambda some: some.decode("utf-8", "surrogateescape")),
    st.from_regex(r"[-+ 0-9.,:eE_]{0,30}|[0-9]{300,400}(\.[0-9]*)?", fullmatch=True),
    st.lists(st.sampled_from(DATE_PARTS) | st.integers().map(str), max_size=8).map(" ".join),
    st.datetimes().map(lambda moment: format_datetime(moment.replace(tzinfo=UTC), usegmt=True)),
)


@settings(max_examples=60)
@given(st.lists(waits, max_size=4), st.none() | waits, st.none() | st.just(NOW))
def test_any_wait(values: list[str], date: str | None, now: datetime | None) -> None:
    """Whatever the headers hold: None, or seconds within a year."""
    headers = CIMultiDict([("Retry-After", value) for value in values])
    if date is not None:
        headers["Date"] = date
    wait = parse_retry_after(headers, now)
    assert wait is None or 0 <= wait <= 366 * 86_400
    if not values:
        assert wait is None


# Size.


TASK = encode(task_objects())
HUGE: dict[str, Callable[[int], bytes]] = {  # bodies of about so many bytes
    "a text": lambda size: b'"%b"' % (b"x" * size),
    "escapes": lambda size: b'"%b"' % (b"\\u00e9" * (size // 6)),
    "a number": lambda size: b"9" * size,
    "a fraction": lambda size: b"0." + b"9" * size,
    "an exponent": lambda size: b"1e" + b"9" * size,
    "objects": lambda size: b"[%b{}]" % (b"{}," * (size // 3)),
    "arrays": lambda size: b"[%b[]]" % (b"[]," * (size // 3)),
    "nested": lambda size: b"[" * size,
    "names": lambda size: b"{%b}" % b",".join([b'"%d":0' % number for number in range(size // 10)]),
    "one name": lambda size: b'{%b"a":0}' % (b'"a":0,' * (size // 6)),
    "blanks": lambda size: b" " * size,
    "markup": lambda size: b"<" * size,
    "no UTF-8": lambda size: b"\xff" * size,
    "tasks": lambda size: (
        b'{"success":true,"data":{"items":[%b],"page":1,"limit":50},"request_id":"x"}'
        % b",".join([TASK] * (size // len(TASK)))
    ),
    "bad tasks": lambda size: b'{"success":true,"data":{"items":[%b{}]}}' % (b"{}," * (size // 3)),
    "unknown fields": lambda size: EXAMPLE.replace(
        b'"task_id"', b"".join([b'"%d":0,' % number for number in range(size // 10)]) + b'"task_id"'
    ),
    "an unknown field": lambda size: EXAMPLE.replace(b'"task_id"', b'"x":"%b","task_id"' % (b"," * size)),
    "nested in an unknown field": lambda size: EXAMPLE.replace(
        b'"task_id"', b'"x":%b%b,"task_id"' % (b"[" * (size // 2), b"]" * (size // 2))
    ),
    "commas in a text": lambda size: EXAMPLE.replace(b"gempix2", b"," * size),
    "a time": lambda size: EXAMPLE.replace(
        b"2026-03-12T09:30:00.000Z", b"2026-03-12T09:30:00." + b"9" * size
    ),
    "a message": lambda size: ERROR.replace(b"Unauthorized", b"x" * size),
    "an error that is none": lambda size: b'{"error":{"message":%b0]}}' % (b"[0," * (size // 3)),
}


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE.keys())
def test_large_bodies_take_time_and_memory_by_their_size(body: Callable[[int], bytes]) -> None:
    """Eight times the size takes about eight times the time, up to the 2 MiB that are received."""
    size = 2**18
    small, large = body(size), body(8 * size)
    for status in (200, 500):
        once = max(seconds(partial(read_or_fail, status, small)), 0.002)
        assert seconds(partial(read_or_fail, status, large)) < 40 * once
        tracemalloc.start()
        try:
            read_or_fail(status, small)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 64 * size


@pytest.mark.parametrize(
    "unit",
    ["9", "9 ", "(", "\\(", "Thu, ", "-", "12:", ", ", "Thu, 12 Mar 2026 09:31:30 ", '"', "\ud800", ".9"],
)
def test_long_waits_take_time_by_their_size(unit: str) -> None:
    """A header of 64 KiB, eight times what aiohttp takes, needs some 16 times as long as one of 4 KiB."""

    def parse(size: int) -> Callable[[], object]:
        text = unit * (size // len(unit))
        return partial(parse_retry_after, CIMultiDict({"Retry-After": text, "Date": text}))

    assert seconds(parse(2**16)) < 80 * max(seconds(parse(2**12)), 0.001)


def read_or_fail(status: int, body: bytes) -> None:
    """Read a page, or an error of bounded length."""
    try:
        read(status, body)
    except APIError as error:
        assert len(str(error)) < 2_000


def seconds(work: Callable[[], object]) -> float:
    """Measure the processor's time for it, at best; without what Python's collector adds, in leaps."""
    times = []
    gc.disable()
    try:
        for _ in range(2):
            started = time.thread_time()
            work()
            times.append(time.thread_time() - started)
    finally:
        gc.enable()
    return min(times)
