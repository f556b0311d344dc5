"""Records of any class: what attrs allows in a field holds by msgspec's way and by cattrs' way alike."""

import json
import pickle
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs
import pytest
from contract import task_objects

from apimall_async import APIError, ImageTask, Page
from apimall_async._conversion import Record, structure
from apimall_async._extra import extra_field


class Size(StrEnum):
    """A text of which only some values are allowed."""

    SMALL = "s"
    LARGE = "l"


@attrs.frozen
class Particular(Record):
    """A record whose fields are not as simple as those of a task."""

    task_id: str
    created_at: datetime
    tags: list[str] = attrs.Factory(list)
    size: Size = Size.SMALL
    count: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    extra: Mapping[str, Any] = extra_field()


@attrs.frozen
class TaggedTask(ImageTask):
    """A task with one more field, which has a default made anew each time."""

    tags: list[str] = attrs.Factory(list)


BARE = {"task_id": "a", "created_at": "2026-03-12T09:30:00.000Z"}


@pytest.mark.parametrize(
    "changes", [{}, {"tags": ["x"]}, {"size": "l"}, {"count": 2}, {"more": [1]}, {"size": "l", "more": None}]
)
def test_a_good_record(changes: dict[str, object]) -> None:
    """As JSON or as objects, it is the same, and goes back to what it came from."""
    record = Particular.from_dict(BARE | changes)
    assert Particular.from_json(json.dumps(BARE | changes)) == record
    assert Particular.from_json(record.to_json()) == record
    assert (type(record.tags), type(record.size)) == (list, Size)


@pytest.mark.parametrize("changes", [{"count": 0}, {"size": "bogus"}, {"size": 3}, {"tags": "ab"}])
def test_a_bad_record(changes: dict[str, object]) -> None:
    """As JSON or as objects, it is refused, and the field is named."""
    for refuse in (Particular.from_dict, lambda data: Particular.from_json(json.dumps(data))):
        with pytest.raises(ValueError, match=f"no Particular: .*({next(iter(changes))}|Particular)"):
            refuse(BARE | changes)


def test_a_subclass_with_a_default_that_is_made() -> None:
    """It is made, also where msgspec could read the rest."""
    task = TaggedTask.from_json(json.dumps(task_objects()))
    assert task.tags == []
    assert TaggedTask.from_json(task.to_json()) == task


def test_unknown_fields_are_not_shared() -> None:
    """Whoever changes what was given, or what is returned, does not change the task."""
    given = task_objects(seed=[1, {"a": 2}])
    task = ImageTask.from_dict(given)
    given["seed"].append(3)
    task.to_dict()["seed"].append(4)
    assert task.extra == {"seed": [1, {"a": 2}]}


def test_an_unknown_field_hides_no_known_one() -> None:
    """Who puts the name of a known field into ``extra`` does not change what is written."""
    task = ImageTask.from_dict(task_objects())
    odd = attrs.evolve(task, extra={"task_id": "another", "status": 5, "seed": 1})
    assert odd.to_dict() == task.to_dict() | {"seed": 1}


@pytest.mark.parametrize("text", ["", "é"])
def test_what_json_lacks_is_written_as_null(text: str) -> None:
    """NaN and the infinities, whatever else there is in the task."""
    task = ImageTask.from_dict(task_objects(values=[float("nan"), float("inf")], text=text))
    read = json.loads(task.to_json(), parse_constant=pytest.fail)
    assert read["values"] == [None, None]
    assert read["text"] == text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle(protocol: int) -> None:
    """It keeps the unknown fields."""
    task = ImageTask.from_dict(task_objects(seed=1))
    assert pickle.loads(pickle.dumps(task, protocol)) == task


def test_a_hint_may_hold_braces() -> None:
    """Only the names of settings are replaced."""
    error = APIError("no")
    error.hint = 'send {"a": {}} to {base_url}'
    assert str(error) == 'no; send {"a": {}} to base_url'
    assert error.format_hint(base_url="--base-url") == 'send {"a": {}} to --base-url'


def test_a_page_of_what() -> None:
    """A bare Page does not say what its items are, and is refused in words."""
    with pytest.raises(TypeError, match=r"as in Page\[ImageTask\]"):
        structure(b"{}", Page)
