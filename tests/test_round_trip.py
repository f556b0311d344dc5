"""Whatever a task holds, it is the same after each way out and back in: also what is in no field of today."""

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async import ImageTask, Page
from apimall_async._contract import HISTORY_PATH
from apimall_async._endpoints import Endpoint
from apimall_async._pagination import Options, iterate_items
from apimall_async.testing import LocalGateway, sample_history


TYPES = {  # of each field but ``extra``: its own, and NoneType where it may be missing
    field.name: get_args(field.type) or (field.type,)
    for field in attrs.fields(ImageTask)
    if field.name != "extra"
}
NAMES_OF_OTHERS = ["extra", "items", "data", "success", "self", "__proto__"]

ANY_TEXT = st.text(st.characters(), max_size=30)  # halves of surrogate pairs among it, which are no UTF-8
UTF8 = st.text(max_size=30)
# The exporter changes what is not printable, or would be a formula. An empty cell is None.
CELLS = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S"], exclude_characters="=+-@"),
    min_size=1,
    max_size=30,
)
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | UTF8,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(UTF8, values, max_size=3),
    max_leaves=5,
)
UNKNOWN_NAMES = (UTF8 | st.sampled_from(NAMES_OF_OTHERS)).filter(lambda name: name not in TYPES)


def histories(texts: st.SearchStrategy[str], ids: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Make lists of tasks, each with whatever its fields may hold by their types."""
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        str: texts,
        int: st.integers(-(2**63), 2**63 - 1),
        datetime: st.datetimes(timezones=ZONES),
        NoneType: st.none(),
    }
    fields = {name: st.one_of([by_type[kind] for kind in types]) for name, types in TYPES.items()}
    extra = st.dictionaries(UNKNOWN_NAMES, JSON, max_size=3)
    task = st.builds(ImageTask, **(fields | {"task_id": ids, "extra": extra}))
    return st.lists(task, max_size=4, unique_by=lambda task: task.task_id)


def export(history: Sequence[ImageTask], suffix: str) -> bytes:
    """Write a file as ``apimall export`` does; return what is in it."""
    files = pytest.importorskip("apimall_async.cli._files", reason="needs the extra `cli`")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"tasks{suffix}"
        file = files.KINDS[suffix](path, ImageTask)
        file.write([task.to_json() for task in history])
        file.close()
        return path.read_bytes()


@settings(max_examples=50)
@given(histories(ANY_TEXT, UTF8))
async def test_by_the_gateway_to_the_client(history: list[ImageTask]) -> None:
    """The client reads the tasks that the stand-in holds; only the path of an image is completed."""
    async with LocalGateway(history) as gateway, gateway.client() as client:
        page = await client.list_history()
        assert list(page.items) == gateway.tasks
    for read, served in zip(page.items, history, strict=True):
        assert attrs.evolve(read, image_url=None) == attrs.evolve(served, image_url=None)


@settings(max_examples=50)
@given(histories(ANY_TEXT, UTF8))
def test_by_dict_and_json(history: list[ImageTask]) -> None:
    """``from_dict`` and ``from_json`` take what ``to_dict`` and ``to_json`` give."""
    for task in history:
        assert ImageTask.from_dict(task.to_dict()) == task
        assert ImageTask.from_json(task.to_json()) == task


@settings(max_examples=50)
@given(histories(ANY_TEXT, UTF8))
def test_by_json_lines(history: list[ImageTask]) -> None:
    """A line of the file is a task."""
    assert [ImageTask.from_json(line) for line in export(history, ".jsonl").splitlines()] == history


@settings(max_examples=50)
@given(histories(CELLS, CELLS))
def test_by_csv(history: list[ImageTask]) -> None:
    """The cells are what the gateway sends; the last column has the unknown fields, as JSON."""
    found: list[ImageTask] = []
    for row in csv.DictReader(export(history, ".csv").decode().splitlines(keepends=True)):
        extra = json.loads(row.pop("extra") or "{}")
        numbers = {name: int(cell) for name, cell in row.items() if cell and int in TYPES[name]}
        found.append(
            ImageTask.from_dict({name: cell or None for name, cell in row.items()} | numbers | extra)
        )
    assert found == history


@settings(max_examples=50)
@given(histories(UTF8, UTF8))
def test_by_parquet(history: list[ImageTask]) -> None:
    """The columns have the fields' types; the last one has the unknown fields, as JSON."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    rows = parquet.read_table(io.BytesIO(export(history, ".parquet"))).to_pylist()
    assert [ImageTask(**row | {"extra": json.loads(row["extra"] or "{}")}) for row in rows] == history


@attrs.frozen
class LaterTask(ImageTask):
    """A task as the gateway may send it one day, with one more field."""

    rendered_at: datetime | None = None


@pytest.mark.parametrize("rendered_at", [None, datetime(2026, 3, 12, 9, 30, tzinfo=UTC)])
async def test_one_more_field_goes_everywhere(rendered_at: datetime | None) -> None:
    """Only the class has its name: the stand-in sends it, the client reads it, and a notebook shows it."""
    fields = attrs.asdict(sample_history(1)[0], recurse=False)
    later = LaterTask(**fields, rendered_at=rendered_at)
    endpoint = Endpoint(HISTORY_PATH, Page[LaterTask])
    async with LocalGateway([later]) as gateway, gateway.client() as client:
        (unknown,) = (await client.list_history()).items
        (known,) = [task async for task in client._iterate(iterate_items, endpoint, Options())]
    assert known == later
    assert unknown.extra == {"rendered_at": rendered_at and "2026-03-12T09:30:00.000Z"}
    assert unknown.to_dict() == known.to_dict()
    for task in (unknown, known):
        assert ">rendered_at</th>" in task._repr_html_()
