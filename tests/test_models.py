"""Tasks and pages are values: they travel, compare and hash, and come back from what they are written to."""

import copy
import json
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_type_hints

import attrs
import pytest
from contract import EXAMPLE, task_objects
from hypothesis import given
from hypothesis import strategies as st

import apimall_async
from apimall_async import HistoryPage, ImageTask, Page, TaskStatus
from apimall_async._conversion import structure
from apimall_async.testing import sample_history


PAGE = HistoryPage(tuple(sample_history(3)), 1, 20, "req_1")
TASK = PAGE.items[0]
WITH_EXTRA = attrs.evolve(TASK, extra={"tags": ["cat"], "seed": 7})
READ = structure(EXAMPLE, HistoryPage)
VALUES = {
    "a page": PAGE,
    "a task": TASK,
    "a task with extra": WITH_EXTRA,
    "a page that was read": READ,
    "a task that was read": READ.items[0],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_value_travels(value: HistoryPage | ImageTask) -> None:
    """Pickled, copied or deep-copied, it is equal and has the same hash and repr."""
    pickles = [pickle.dumps(value, protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in (*map(pickle.loads, pickles), copy.copy(value), copy.deepcopy(value)):
        assert type(twin) is type(value)
        assert (twin, hash(twin), repr(twin)) == (value, hash(value), repr(value))


def test_a_value_is_frozen() -> None:
    """No field can be set, none added."""
    for value in (TASK, PAGE):
        for name in ("status", "items", "mood"):
            with pytest.raises(AttributeError):
                setattr(value, name, "x")


def test_a_task_that_was_read_is_one_that_was_made() -> None:
    """With all its fields, ``extra`` among them."""
    (read,) = READ
    made = ImageTask(**{field.name: getattr(read, field.name) for field in attrs.fields(ImageTask)})
    assert (made, hash(made), repr(made)) == (read, hash(read), repr(read))
    assert attrs.asdict(made) == attrs.asdict(read)
    assert attrs.evolve(read, status="failed") == attrs.evolve(made, status="failed")
    assert (made.extra, read.extra) == ({}, {})
    assert not hasattr(read, "mood")


def test_a_page_is_iterated() -> None:
    """It yields its tasks, and has their number."""
    assert tuple(PAGE) == PAGE.items
    assert len(PAGE) == 3
    assert TASK in PAGE
    assert list(reversed(list(PAGE))) == list(PAGE.items[::-1])
    assert not HistoryPage((), 1, 20, "req_1")


def test_a_page_is_a_page_of_tasks() -> None:
    """``HistoryPage`` is ``Page[ImageTask]`` by another name; to be equal it takes the same class."""
    assert isinstance(PAGE, Page)
    assert Page(PAGE.items, 1, 20, "req_1") != PAGE
    assert attrs.evolve(PAGE, items=PAGE.items[:1]).items == (TASK,)


def test_a_repr_is_one_printable_line() -> None:
    """Texts in it are cut: they are untrusted."""
    assert repr(TASK) == (
        f"<ImageTask {TASK.task_id} {TASK.status} {TASK.model} {TASK.created_at.isoformat(' ', 'seconds')}>"
    )
    assert repr(PAGE) == (
        f"<HistoryPage page=1 limit=20: 3 tasks, {TASK.task_id} to {PAGE.items[-1].task_id}>"
    )
    assert repr(HistoryPage((), 2, 20, "req_1")) == "<HistoryPage page=2 limit=20: 0 tasks>"
    hostile = attrs.evolve(TASK, task_id="a\x1b[2J\nb" * 100, status="\u202e", extra={"x": "y" * 1_000})
    assert repr(hostile).isprintable()
    assert len(repr(hostile)) < 200


def test_status_is_open() -> None:
    """The known statuses are equal to plain texts."""
    assert {TaskStatus.PENDING, TaskStatus.PROCESSING, TaskStatus.COMPLETED, TaskStatus.FAILED} == {
        "pending",
        "processing",
        "completed",
        "failed",
    }


def test_annotations_are_plain() -> None:
    """Those who look at the class see the types that its values have."""
    fields = attrs.fields(ImageTask)
    assert fields.created_at.type is datetime
    assert fields.task_id.type is str
    assert fields.completed_at.type == datetime | None
    assert fields.credits_used.type is int
    assert get_type_hints(ImageTask) == {
        "task_id": str,
        "model": str,
        "source": str,
        "created_at": datetime,
        "status": str,
        "credits_used": int,
        "image_url": str | None,
        "credits_refunded": int | None,
        "completed_at": datetime | None,
        "extra": Mapping[str, Any],
    }
    assert [field.name for field in fields if field.default is not attrs.NOTHING] == [
        "image_url",
        "credits_refunded",
        "completed_at",
        "extra",
    ]


def test_public_classes_are_of_the_package() -> None:
    """Messages, pickles and documentation name them as users import them."""
    public = {name: getattr(apimall_async, name) for name in apimall_async.__all__}
    named = {f"{it.__module__}.{it.__qualname__}" for it in public.values() if isinstance(it, type)}
    assert named == {f"apimall_async.{name}" for name, it in public.items() if isinstance(it, type)}


# To and from JSON.


def test_to_dict() -> None:
    """What the gateway sends: times as text, null as None, unknown fields at the end."""
    sent = task_objects(image_url=None, prompt="a cat")
    task = ImageTask.from_dict(sent)
    assert task.to_dict() == sent
    assert list(task.to_dict())[-1] == "prompt"
    task.to_dict()["status"] = "changed"
    assert task.to_dict() == sent


def test_to_json() -> None:
    """The same on one line, in ASCII."""
    task = ImageTask.from_dict(task_objects(model="ä\n\u2028\U0001f600", prompt="\ud800"))
    assert json.loads(task.to_json()) == task.to_dict()
    assert task.to_json().isascii()
    assert task.to_json().isprintable()


@pytest.mark.parametrize("data", [task_objects(), attrs.evolve(TASK).to_dict(), WITH_EXTRA.to_dict()])
def test_from_dict_and_from_json(data: dict[str, Any]) -> None:
    """A mapping of any kind, a text or bytes: each makes the same task."""
    task = ImageTask.from_dict(data)
    assert task.to_dict() == data
    assert ImageTask.from_dict(_ReadOnly(data)) == task
    text = json.dumps(data, ensure_ascii=False)
    assert ImageTask.from_json(text) == ImageTask.from_json(text.encode()) == task


class _ReadOnly(dict[str, Any], Mapping[str, Any]):
    """A mapping that is not exactly a dict."""


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "<html>"])
def test_from_json_of_something_else(text: str) -> None:
    """A ValueError says what it is, and holds none of it."""
    with pytest.raises(ValueError, match=r"^no ImageTask: expected (JSON|an object), got .+ @ \$$") as caught:
        ImageTask.from_json(text)
    assert caught.value.__context__ is None


def test_all_problems_are_named() -> None:
    """Not only the first."""
    with pytest.raises(ValueError, match="no ImageTask") as caught:
        ImageTask.from_dict({"task_id": 7, "model": "m", "source": None})
    assert str(caught.value) == (
        "no ImageTask: expected a string, got int @ $.task_id; expected a string, got null @ $.source; "
        "missing @ $.created_at; missing @ $.status; missing @ $.credits_used"
    )


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(timezones=st.just(UTC) | offsets)
texts = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
tasks = st.builds(
    ImageTask,
    task_id=texts,
    model=texts,
    source=texts,
    created_at=moments,
    status=texts,
    credits_used=st.integers(-(2**63), 2**63 - 1),
    image_url=st.none() | texts,
    credits_refunded=st.none() | st.integers(-(2**63), 2**63 - 1),
    completed_at=st.none() | moments,
    extra=st.dictionaries(texts.map(lambda name: f"x-{name}"), json_values, max_size=3),
)


@given(tasks)
def test_any_task_comes_back(task: ImageTask) -> None:
    """With every field, to the microsecond, whatever the time zone."""
    for twin in (ImageTask.from_dict(task.to_dict()), ImageTask.from_json(task.to_json())):
        assert twin == task
        assert hash(twin) == hash(task)
        assert repr(twin.extra) == repr(task.extra)
