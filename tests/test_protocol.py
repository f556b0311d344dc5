"""An answer becomes a page, or the error that says what is wrong with it. No socket, no clock."""

import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

import apimall_async
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
from apimall_async._protocol import _careful, _Envelope, _fast, parse_retry_after, read_page


NO_HEADERS: CIMultiDict[str] = CIMultiDict()
NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)

# The contract's *Response Example*, to the letter.
EXAMPLE = b"""{
"success": true,
"data": {
"items": [
{
"task_id": "img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M",
"model": "nano-banana",
"source": "gempix2",
"created_at": "2026-03-12T09:30:00.000Z",
"status": "completed",
"image_url": "https://cdn.apimall.ai/generated/image-01.webp",
"credits_used": 8,
"credits_refunded": 0,
"completed_at": "2026-03-12T09:31:06.000Z"
}
],
"page": 1,
"limit": 20
},
"request_id": "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R"
}"""
# And its *Error Response Example*.
ERROR = b"""{
"success": false,
"error": {
"code": "unauthorized",
"message": "Unauthorized"
},
"request_id": "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R"
}"""


def encode(answer: object) -> bytes:
    """Return an answer's body."""
    return json.dumps(answer).encode()


def example() -> dict[str, Any]:
    """Return the example, to be spoilt."""
    answer: dict[str, Any] = json.loads(EXAMPLE)
    return answer


def complaint(answer: object) -> str:
    """Return what is said of an answer outside the contract."""
    with pytest.raises(APIResponseValidationError) as caught:
        read_page(200, NO_HEADERS, encode(answer))
    return caught.value.message


def test_the_contracts_example_field_by_field() -> None:
    """Every field of the vendor's example arrives, with its type."""
    page = read_page(200, NO_HEADERS, EXAMPLE)
    (task,) = page.items
    assert (page.page, page.limit, page.request_id) == (1, 20, "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R")
    assert task.task_id == "img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M"
    assert task.model == "nano-banana"
    assert task.source == "gempix2"
    assert task.created_at == datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
    assert task.status == apimall_async.TaskStatus.COMPLETED
    assert task.image_url == "https://cdn.apimall.ai/generated/image-01.webp"
    assert (task.credits_used, task.credits_refunded) == (8, 0)
    assert task.completed_at == datetime(2026, 3, 12, 9, 31, 6, tzinfo=UTC)


@pytest.mark.parametrize("field", ["image_url", "credits_refunded", "completed_at"])
@pytest.mark.parametrize("absent", [True, False])
def test_what_may_be_missing(field: str, absent: bool) -> None:
    """The three optional fields may be null or absent, on some of a page's tasks alone."""
    answer = example()
    whole = answer["data"]["items"][0]
    part = {**whole, "task_id": "img_2", field: None}
    if absent:
        del part[field]
    answer["data"]["items"] = [whole, part]
    first, second = read_page(200, NO_HEADERS, encode(answer)).items
    assert getattr(first, field) is not None
    assert getattr(second, field) is None


def test_the_unknown_passes() -> None:
    """Fields, statuses and models newer than this library do no harm."""
    answer = example() | {"trace": {"a": [1]}}
    answer["data"]["items"][0] |= {"status": "upscaling", "prompt": "a cat"}
    answer["data"]["next"] = "x"
    assert read_page(200, NO_HEADERS, encode(answer)).items[0].status == "upscaling"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-03-12T09:30:00", NOW),
        ("2026-03-12T10:30:00+01:00", NOW),
        ("2026-03-12T09:30:00.123456789Z", NOW + timedelta(microseconds=123457)),
    ],
)
def test_times_are_aware(sent: str, read: datetime) -> None:
    """A time without an offset is UTC."""
    answer = example()
    answer["data"]["items"][0]["created_at"] = sent
    moment = read_page(200, NO_HEADERS, encode(answer)).items[0].created_at
    assert moment == read
    assert moment.tzinfo is not None


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("task_id", None, "expected a string, got null @ $.data.items[0].task_id"),
        ("model", 7, "expected a string, got int @ $.data.items[0].model"),
        ("credits_used", "8", "expected an integer, got str @ $.data.items[0].credits_used"),
        ("credits_used", 7.9, "expected an integer, got float @ $.data.items[0].credits_used"),
        ("credits_used", True, "expected an integer, got bool @ $.data.items[0].credits_used"),
        ("credits_used", 2**80, "expected an integer of 64 bits @ $.data.items[0].credits_used"),
        ("credits_refunded", [], "expected an integer, got list @ $.data.items[0].credits_refunded"),
        ("image_url", {}, "expected a string, got dict @ $.data.items[0].image_url"),
        ("created_at", "soon", "expected an ISO 8601 timestamp @ $.data.items[0].created_at"),
        ("created_at", 0, "expected a string, got int @ $.data.items[0].created_at"),
        ("completed_at", "", "expected an ISO 8601 timestamp @ $.data.items[0].completed_at"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(field: str, value: object, expected: str) -> None:
    """Nothing is converted in silence: null is no "None", "8" no 8, 7.9 no 7."""
    answer = example()
    answer["data"]["items"][0][field] = value
    body = encode(answer)
    with pytest.raises(APIResponseValidationError) as caught:
        read_page(200, NO_HEADERS, body)
    assert caught.value.message == expected
    assert caught.value.request_id == "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R"


@pytest.mark.parametrize("field", ["task_id", "model", "source", "created_at", "status", "credits_used"])
def test_a_missing_field_is_named_by_its_path(field: str) -> None:
    """Required means required."""
    answer = example()
    del answer["data"]["items"][0][field]
    assert complaint(answer) == f"missing @ $.data.items[0].{field}"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("data", "items"), "abc", "expected an array, got str @ $.data.items"),
        (("data", "items"), {"a": 1}, "expected an array, got dict @ $.data.items"),
        (("data", "items"), None, "expected an array, got null @ $.data.items"),
        (("data", "items"), [[]], "expected an object, got list @ $.data.items[0]"),
        (("data", "items"), [None], "expected an object, got null @ $.data.items[0]"),
        (("data", "items"), [{}] * 2000, "expected at most 50 items, got 2000 @ $.data.items"),
        (("data", "page"), 0, "expected at least 1, got 0 @ $.data.page"),
        (("data", "limit"), -5, "expected at least 1, got -5 @ $.data.limit"),
        (("data", "limit"), "20", "expected an integer, got str @ $.data.limit"),
        (("data",), [], "expected an object, got list @ $.data"),
        (("success",), 1, "expected a boolean, got int @ $.success"),
        (("request_id",), None, "expected a string, got null @ $.request_id"),
    ],
)
def test_a_wrong_envelope_is_named_by_its_path(path: tuple[str, ...], value: object, expected: str) -> None:
    """The envelope is as strict as what it holds."""
    answer = example()
    inner = answer
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    assert complaint(answer).startswith(
        expected.removesuffix(" @ $.data.page").removesuffix(" @ $.data.limit")
    )


def test_many_complaints_are_counted() -> None:
    """The message stays short, and says how much it leaves out."""
    answer = example()
    answer["data"]["items"] = [{}] * 50
    assert complaint(answer).count("missing") == 5
    assert complaint(answer).endswith("; and 295 more")


@pytest.mark.parametrize("body", [b"", b"<html>", EXAMPLE[:-20], b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_200_that_is_no_json(body: bytes) -> None:
    """A login page, half an answer or nothing is named for what it is."""
    kind = "HTML" if body == b"<html>" else "something else"
    with pytest.raises(APIResponseValidationError, match=f"expected JSON, got {len(body)} bytes of {kind}"):
        read_page(200, NO_HEADERS, body)


@pytest.mark.parametrize("answer", [[], "x", 7, None, True])
def test_a_200_that_is_no_object(answer: object) -> None:
    """JSON of another shape is outside the contract."""
    assert complaint(answer).startswith("expected an object, got ")


@pytest.mark.parametrize("data", [{}, example()["data"]])
def test_a_200_that_says_it_failed(data: object) -> None:
    """``success: false`` is an error whatever else the answer holds."""
    body = encode(json.loads(ERROR) | {"data": data})
    with pytest.raises(APIError, match="Unauthorized") as caught:
        read_page(200, NO_HEADERS, body)
    assert (caught.value.code, caught.value.request_id) == ("unauthorized", "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R")


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
    """Each status has its error, whatever the body is worth; what the body says is kept."""
    with pytest.raises(APIStatusError) as caught:
        read_page(status, NO_HEADERS, body)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.retryable) == (status, code, retryable)
    assert error.message == ("Unauthorized" if code else error.message)
    assert str(status) in str(error)


def test_a_success_that_is_no_200() -> None:
    """204 and the like hold no page; the contract knows no such answer."""
    with pytest.raises(APIResponseValidationError, match="204 No Content"):
        read_page(204, NO_HEADERS, b"")


def test_the_gateways_words_are_bounded() -> None:
    """A message of a megabyte is cut."""
    body = encode({"error": {"message": "x" * 2**20}})
    with pytest.raises(APIStatusError) as caught:
        read_page(400, NO_HEADERS, body)
    assert len(str(caught.value)) < 1000


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


def test_retry_after_a_date_by_the_answers_own_clock() -> None:
    """A date is measured from the answer's Date, so a wrong clock here waits no less."""
    headers = CIMultiDict(
        {
            "Date": format_datetime(NOW, usegmt=True),
            "Retry-After": format_datetime(NOW + timedelta(seconds=30), usegmt=True),
        }
    )
    assert parse_retry_after(headers, NOW + timedelta(hours=2)) == 30.0
    assert parse_retry_after(headers) == 30.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(data=st.data())
def test_no_answer_is_read_wrong(data: st.DataObject) -> None:
    """Whatever stands in one place of a good answer: a page of the right types, or an APIError."""
    answer = example()
    places: list[tuple[Any, Any]] = [
        *((answer, name) for name in answer),
        *((answer["data"], name) for name in answer["data"]),
        *((answer["data"]["items"][0], name) for name in answer["data"]["items"][0]),
    ]
    container, name = data.draw(st.sampled_from(places))
    container[name] = data.draw(json_values)
    try:
        page = read_page(200, NO_HEADERS, encode(answer))
    except APIError:
        return
    assert isinstance(page, HistoryPage)
    for task in page.items:
        assert isinstance(task, ImageTask)
        assert {type(task.task_id), type(task.model), type(task.source), type(task.status)} == {str}
        assert type(task.credits_used) is int
        assert type(task.image_url) in {str, type(None)}
        assert type(task.credits_refunded) in {int, type(None)}
        assert task.created_at.tzinfo is not None
        assert task.completed_at is None or task.completed_at.tzinfo is not None


@given(
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["Retry-After", "Date", "Content-Type"]), st.text()),
    st.binary(),
)
def test_no_bytes_are_too_strange(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any status, headers and bytes: a page or an APIError, nothing else."""
    try:
        read_page(status, CIMultiDict(headers), body)
    except APIError as error:
        assert str(error)
    else:
        assert status == 200


OF_DATES = [
    "Thu,",
    "Thursday",
    ",",
    "(",
    ")",
    "\\",
    '"',
    "-",
    "12",
    "-12",
    "31",
    "Mar",
    "mar",
    "Xyz",
    "Mar-26",
]
OF_DATES += ["26", "2026", "9999", "09:31:30", "24:00", "99:99:99", "-1:2"]
OF_DATES += ["GMT", "EST", "Z", "-0000", "+2400", "-9999", "+99999999999", "\ud800", "٣"]
# What stands in Retry-After and Date: numbers and dates in all spellings, spoilt, and what is neither.
waits = st.one_of(
    st.text(),
    st.binary().map(lambda some: some.decode("utf-8", "surrogateescape")),
    st.from_regex(r"[-+ 0-9.,:eE_]{0,30}|[0-9]{300,400}(\.[0-9]*)?", fullmatch=True),
    st.lists(st.sampled_from(OF_DATES) | st.integers().map(str), max_size=8).map(" ".join),
    st.datetimes().map(lambda moment: format_datetime(moment.replace(tzinfo=UTC), usegmt=True)),
)


@settings(max_examples=60)
@given(st.lists(waits, max_size=4), st.none() | waits, st.none() | st.just(NOW))
def test_no_wait_is_too_strange(values: list[str], date: str | None, now: datetime | None) -> None:
    """Whatever the headers hold: None, or seconds within a year."""
    headers = CIMultiDict([("Retry-After", value) for value in values])
    if date is not None:
        headers["Date"] = date
    wait = parse_retry_after(headers, now)
    assert wait is None or 0 <= wait <= 366 * 86_400
    if not values:
        assert wait is None


TASK = encode(example()["data"]["items"][0])
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
    "a time": lambda size: EXAMPLE.replace(
        b"2026-03-12T09:30:00.000Z", b"2026-03-12T09:30:00." + b"9" * size
    ),
    "a message": lambda size: ERROR.replace(b"Unauthorized", b"x" * size),
    "an error that is none": lambda size: b'{"error":{"message":%b0]}}' % (b"[0," * (size // 3)),
}


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE.keys())
def test_the_largest_answers_take_time_and_memory_by_their_size(body: Callable[[int], bytes]) -> None:
    """Eight times the size takes about eight times the time, up to the 2 MiB that are received."""
    size = 2**18
    small, large = body(size), body(8 * size)
    for status in (200, 500):
        once = max(seconds(partial(read, status, small)), 0.002)
        assert seconds(partial(read, status, large)) < 40 * once
        tracemalloc.start()
        try:
            read(status, small)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 64 * size


def read(status: int, body: bytes) -> None:
    """Read a page, or an error whose words are cut."""
    try:
        read_page(status, NO_HEADERS, body)
    except APIError as error:
        assert len(str(error)) < 2_000


def seconds(work: Callable[[], object]) -> float:
    """Take the processor's time for it, at best; without what Python's collector adds, in leaps."""
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


@pytest.mark.parametrize(
    "unit",
    ["9", "9 ", "(", "\\(", "Thu, ", "-", "12:", ", ", "Thu, 12 Mar 2026 09:31:30 ", '"', "\ud800", ".9"],
)
def test_the_longest_waits_are_read_in_time(unit: str) -> None:
    """A header of 64 KiB, eight times what aiohttp takes, needs some 16 times as long as one of 4 KiB."""

    def parse(size: int) -> Callable[[], object]:
        text = unit * (size // len(unit))
        return partial(parse_retry_after, CIMultiDict({"Retry-After": text, "Date": text}))

    assert seconds(parse(2**16)) < 80 * max(seconds(parse(2**12)), 0.001)


def test_an_error_drags_nothing_along() -> None:
    """An error has no __context__: a JSON decoder's would hold the whole body."""
    for body in (b"{", encode([])):
        with pytest.raises(APIResponseValidationError) as caught:
            read_page(200, NO_HEADERS, body)
        assert caught.value.__context__ is None


def test_the_fast_way_is_taken_and_the_careful_way_agrees() -> None:
    """A good page needs the careful converter not at all; both make the same of it."""
    for answer in (example(), example() | {"data": {"items": [], "page": 1, "limit": 20}}):
        fast = _fast.decode(encode(answer))
        assert fast == _careful.structure(answer, _Envelope)
        assert all(type(task) is ImageTask for task in fast.data.items)
