"""What is true of whatever a gateway responds.

An input is a response much as it is on the wire: the status, lines of headers, an empty line, the body.
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
from apimall_async._conversion import structure
from apimall_async._images._names import file_stem
from apimall_async._json import load_json
from apimall_async._protocol import parse_retry_after, read_page
from apimall_async.cli._formats import FORMATS
from apimall_async.cli._table import Table
from apimall_async.ui._responses import describe_error, describe_page


Headers = CIMultiDict[str]

NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
A_YEAR = 366 * 86_400
KNOWN = {field.name for field in attrs.fields(ImageTask)} - {"extra"}
_OF_RICH = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;(?:id=[0-9-]+)?;[ -~\xa0-\U0010ffff]*\x1b\\")  # colours, links


def split(data: bytes) -> tuple[int, Headers, bytes]:
    """Take an input apart; whatever the bytes are, they are one. Texts are as aiohttp makes them."""
    head, _, body = data.partition(b"\n\n")
    status, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    headers: Headers = CIMultiDict()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    return int(status) if re.fullmatch("[1-9][0-9]{2}", status, re.ASCII) else 200, headers, body


def response(data: bytes) -> None:
    """A page as it was sent, that can be hashed, compared, pickled, copied; or an APIError that can, too."""
    status, headers, body = split(data)
    page = _read(status, headers, body)
    if isinstance(page, APIError):
        _check_error(page)
        assert status != 200 or not _makes_a_page(body)
        return
    assert status == 200
    sent = load_json(body.decode("utf-8", "replace").encode())  # bytes beside the data may be no text
    assert sent["success"] is True
    assert page == structure(sent, HistoryPage)
    assert len(page.items) == len(sent["data"]["items"])
    for task, row in zip(page.items, sent["data"]["items"], strict=True):
        for name in KNOWN:
            _check_value(getattr(task, name), row.get(name))
        assert task.extra == {name: value for name, value in row.items() if name not in KNOWN}
        assert ImageTask.from_dict(task.to_dict()) == task
        assert task.to_json().isascii()
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


def notebook(data: bytes) -> None:
    """Text and images; nothing that was sent is markup."""
    page = _read(*split(data))
    if isinstance(page, APIError):
        return
    markup.check(page)
    for task in page.items[:50]:
        markup.check(task)


def terminal(data: bytes) -> None:
    """Nothing that was sent controls a terminal or names a path; JSON and CSV can be read back."""
    page = _read(*split(data))
    if isinstance(page, APIError):
        assert describe_error(page).status >= 400
        return
    describe_page(page, 1.0, end=True)
    shown = {name: _show(form(io.StringIO()), page) for name, form in FORMATS.items()}
    for text in (*shown.values(), _OF_RICH.sub("", _show(Table(_Terminal()), page))):
        assert text.replace("\n", "").isprintable()
    lines = shown["jsonl"].splitlines()
    assert json.loads(shown["json"]) == [json.loads(line) for line in lines]
    assert len(lines) == len(page.items)
    assert len({len(row) for row in csv.reader(io.StringIO(shown["csv"]))}) == 1
    for task in page.items:
        stem = file_stem(task.task_id)
        assert os.path.basename(stem) == stem  # noqa: PTH119 - as the system sees it
        assert re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,110}", stem)
    assert all(one == other or a != b for (a, one), (b, other) in pairwise(_stems(page)))


TARGETS = {target.__name__: target for target in (response, retry_after, notebook, terminal)}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _read(status: int, headers: Headers, body: bytes) -> HistoryPage | APIError:
    try:
        return read_page(HistoryPage, status, headers, body)
    except APIError as error:
        return error


def _makes_a_page(body: bytes) -> bool:
    """Structure the objects in a body."""
    try:
        structure(load_json(body), HistoryPage)
    except Exception:  # noqa: BLE001 - NotJSONError, or whatever cattrs raises
        return False
    return True


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


def _check_value(read: object, sent: object) -> None:
    """Check that nothing was converted but times."""
    if isinstance(read, datetime):
        assert isinstance(sent, str)
        moment = datetime.fromisoformat(sent)
        assert read.tzinfo
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        assert abs(read - moment) <= datetime.resolution  # finer times are rounded
    else:
        assert type(read) is type(sent)
        assert read == sent


def _show(rows: Any, page: HistoryPage) -> str:
    text: str = rows.page(page.items) + rows.end()
    return text


def _stems(page: HistoryPage) -> list[tuple[str, str]]:
    return sorted((file_stem(task.task_id).casefold(), task.task_id) for task in page.items)
