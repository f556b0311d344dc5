"""What is true of whatever a gateway answers.

An input is an answer much as it is on the wire: the status, lines of headers, an empty line, the body.
A target returns, or its assertion fails; whatever else it raises is a finding, too.
"""

import copy
import csv
import io
import json
import os
import pickle
import re
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import attrs
import markup
from multidict import CIMultiDict

from apimall_async import APIError, HistoryPage, ImageTask
from apimall_async._images._names import file_stem
from apimall_async._protocol import _careful, _Envelope, parse_retry_after, read_page
from apimall_async.cli._failures import describe
from apimall_async.cli._formats import FORMATS
from apimall_async.cli._table import Table
from apimall_async.cli._text import clean_line
from apimall_async.ui._answers import describe_failure, describe_window


Headers = CIMultiDict[str]

NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
A_YEAR = 366 * 86_400
_OF_RICH = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;(?:id=[0-9-]+)?;[ -~\xa0-\U0010ffff]*\x1b\\")  # colours, links


def split(data: bytes) -> tuple[int, Headers, bytes]:
    """Take an input apart; whatever the bytes are, they are one. Texts come as aiohttp makes them."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    headers: Headers = CIMultiDict()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    return int(status) if re.fullmatch("[1-9][0-9]{2}", status, re.ASCII) else 200, headers, body


def answer(data: bytes) -> None:
    """A page as it was sent, that can be hashed, compared, pickled, copied; or an APIError that can, too."""
    status, headers, body = split(data)
    page = _read(status, headers, body)
    if isinstance(page, APIError):
        _check_error(page)
        return
    assert status == 200
    sent = json.loads(body.decode(errors="replace"))  # a field that nobody reads may hold any bytes
    assert sent["success"] is True
    assert page == HistoryPage(**_same(_careful.structure(sent, _Envelope)))
    assert len(page.items) == len(sent["data"]["items"])
    for task, row in zip(page.items, sent["data"]["items"], strict=True):
        for field in attrs.fields(ImageTask):
            _check_value(getattr(task, field.name), row.get(field.name))
    for twin in (copy.deepcopy(page), pickle.loads(pickle.dumps(page))):
        assert twin == page
        assert hash(twin) == hash(page)
        assert repr(twin) == repr(page)


def retry_after(data: bytes) -> None:
    """None, or seconds within a year."""
    _, headers, body = split(data)
    for given in (headers, Headers({"Retry-After": body.decode("latin-1")})):
        for now in (None, NOW):
            wait = parse_retry_after(given, now)
            assert wait is None or (type(wait) is float and 0 <= wait <= A_YEAR)


def html(data: bytes) -> None:
    """In a notebook: text and images; nothing that was sent is markup."""
    page = _read(*split(data))
    if isinstance(page, APIError):
        return
    markup.check(page)
    for task in page.items[:50]:
        markup.check(task)


def terminal(data: bytes) -> None:
    """Nothing that was sent steers a terminal or names a path; JSON and CSV can be read back."""
    page = _read(*split(data))
    if isinstance(page, APIError):
        assert clean_line(describe(page)).isprintable()
        assert describe_failure(page).status >= 400
        return
    describe_window(page, 1.0)
    shown = {name: _show(form(io.StringIO()), page) for name, form in FORMATS.items()}
    for text in (*shown.values(), _OF_RICH.sub("", _show(Table(_Terminal()), page))):
        assert text.replace("\n", "").isprintable()
    lines = shown["jsonl"].splitlines()
    assert json.loads(shown["json"]) == [json.loads(line) for line in lines]
    assert len(lines) == len(page.items)
    assert {len(row) for row in csv.reader(io.StringIO(shown["csv"]))} == {len(attrs.fields(ImageTask))}
    for task in page.items:
        stem = file_stem(task.task_id)
        assert os.path.basename(stem) == stem  # noqa: PTH119 - as the system sees it
        assert re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,110}", stem)
    assert all(one == other or a != b for (a, one), (b, other) in pairwise(_stems(page)))


TARGETS = {target.__name__: target for target in (answer, retry_after, html, terminal)}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _read(status: int, headers: Headers, body: bytes) -> HistoryPage | APIError:
    try:
        return read_page(status, headers, body)
    except APIError as error:
        return error


def _check_error(error: APIError) -> None:
    assert error.__cause__ is None
    assert error.__context__ is None  # a decoder's error would hold the body
    assert str(error).isprintable()
    assert len(str(error)) < 2_000
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert (str(twin), vars(twin)) == (str(error), vars(error))
    wait = getattr(error, "retry_after", None)
    assert wait is None or 0 <= wait <= A_YEAR


def _same(envelope: Any) -> dict[str, Any]:
    """Make of the careful converter's envelope what read_page makes of the fast one's."""
    data = envelope.data
    return {
        "items": data.items,
        "page": data.page,
        "limit": data.limit,
        "request_id": envelope.request_id,
    }


def _check_value(read: object, sent: object) -> None:
    """Check that nothing was converted but times."""
    if isinstance(read, datetime):
        assert isinstance(sent, str)
        told = datetime.fromisoformat(sent)
        assert read.tzinfo
        told = told if told.tzinfo else told.replace(tzinfo=UTC)
        assert abs(read - told) <= datetime.resolution  # finer times are rounded
    else:
        assert type(read) is type(sent)
        assert read == sent


def _show(rows: Any, page: HistoryPage) -> str:
    text: str = rows.page(page.items) + rows.end()
    return text


def _stems(page: HistoryPage) -> list[tuple[str, str]]:
    return sorted((file_stem(task.task_id).casefold(), task.task_id) for task in page.items)
