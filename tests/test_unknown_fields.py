"""Fields that this version does not know: each is found, kept in ``extra``, and named in the log once."""

import copy
import json
import logging
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest
from contract import EXAMPLE, encode, page_objects, task_objects

from apimall_async import HistoryPage, ImageTask
from apimall_async._conversion import problems, structure
from apimall_async._json import load_json
from apimall_async.testing import Fault, LocalGateway


UNKNOWN: dict[str, dict[str, Any]] = {
    "a text": {"prompt": "a cat"},
    "commas": {"prompt": ",,,,,,,,,"},
    "null": {"prompt": None},
    "an array": {"sizes": [1, [2.5, None, ","]]},
    "an object with known names": {"parent": {"task_id": "img_1", "status": None}},
    "the name of the field that keeps it": {"extra": {"a": 1}},
    "the same, of another kind": {"extra": 7},
    "no name": {"": 1},
    "a name with a comma": {"a,b": 1},
    "half of a surrogate pair": {"prompt": "\ud800", "\udfff": 1},
    "a large number": {"seed": 2**200},
    "many": {f"field_{number}": number for number in range(100)},
}
EACH_UNKNOWN = pytest.mark.parametrize("unknown", UNKNOWN.values(), ids=UNKNOWN.keys())
ABSENT = pytest.mark.parametrize(
    "absent", [(), ("image_url",), ("image_url", "credits_refunded", "completed_at")]
)


def without(task: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Leave out some fields."""
    return {name: value for name, value in task.items() if name not in names}


# Found and kept.


@EACH_UNKNOWN
@ABSENT
def test_an_unknown_field_is_found(unknown: dict[str, Any], absent: tuple[str, ...]) -> None:
    """Also where known ones are absent, in a page or alone, in a body or in objects."""
    task = without(task_objects(**unknown), absent)
    assert ImageTask.from_dict(task).extra == unknown
    assert ImageTask.from_json(json.dumps(task)).extra == unknown
    plain = without(task_objects(), absent)
    for objects in (page_objects(plain, task, plain), page_objects(task)):
        for value in (objects, encode(objects)):
            extras = [item.extra for item in structure(value, HistoryPage)]
            assert extras == [unknown if one is task else {} for one in objects["data"]["items"]]


@EACH_UNKNOWN
def test_an_unknown_field_is_written_again(unknown: dict[str, Any]) -> None:
    """Behind the known ones, under its own name."""
    task = ImageTask.from_dict(task_objects(**unknown))
    assert task.to_dict() == task_objects(**unknown)
    assert list(task.to_dict())[-len(unknown) :] == list(unknown)
    assert json.loads(task.to_json()) == task_objects(**unknown)
    assert ImageTask.from_json(task.to_json()) == task


@pytest.mark.parametrize("where", ["the envelope", "the data"])
def test_unknown_fields_around_the_tasks(where: str) -> None:
    """They do no harm, and hide none of a task's."""
    objects = page_objects(without(task_objects(prompt="a cat"), ("image_url",)))
    container = objects if where == "the envelope" else objects["data"]
    container |= {"next": {"task_id": [1, 2]}, "extra": None}
    for value in (objects, encode(objects)):
        assert structure(value, HistoryPage).items[0].extra == {"prompt": "a cat"}


def test_a_member_that_is_there_twice() -> None:
    """The last one counts; what was in the first hides nothing of it."""
    dropped = encode([without(task_objects(), ("image_url", "completed_at"))] * 20)
    task = json.dumps(task_objects(prompt="a, b"))
    for body in (
        EXAMPLE.replace(b'"items"', b'"items": %b, "items"' % dropped),
        EXAMPLE.replace(b'"data"', b'"data": {"page": 9, "limit": 9, "items": %b}, "data"' % dropped),
    ):
        (item,) = structure(body.replace(b'"source"', b'"prompt": "a, b", "source"'), HistoryPage)
        assert item == ImageTask.from_json(task)


@pytest.mark.parametrize(
    "value",
    [b"1e999", b"9" * 5_000, b'"\xff"', b'"\xed\xa0\x80"'],
    ids=["too large", "too long", "no UTF-8", "half of a surrogate pair"],
)
def test_a_value_that_python_cannot_hold(value: bytes) -> None:
    """It is no reason to guess: the field is read as everywhere, or the body is no JSON."""
    body = EXAMPLE.replace(b'"source"', b'"prompt": %b, "source"' % value)
    try:
        expected: object = load_json(body)
    except ValueError:
        with pytest.raises(ValueError, match=rf"^expected JSON, got {len(body)} bytes of something else$"):
            structure(body, HistoryPage)
    else:
        assert structure(body, HistoryPage) == structure(expected, HistoryPage)


def nested(levels: int) -> object:
    """Nest lists in each other."""
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("make", [encode, lambda objects: objects], ids=["body", "objects"])
def test_deeply_nested_fields_are_refused(make: Callable[[object], object]) -> None:
    """Python could read more levels than it can write or show."""
    task = structure(make(task_objects(prompt=nested(60))), ImageTask)
    assert ImageTask.from_json(task.to_json()) == task
    for levels in (100, 900):
        for kind, objects in (
            (ImageTask, task_objects(prompt=nested(levels))),
            (HistoryPage, page_objects(task_objects(prompt=nested(levels)))),
        ):
            with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever cattrs raises
                structure(make(objects), kind)
            assert problems(caught.value).startswith("expected unknown fields of at most 64 levels @ $")


async def test_the_client_keeps_unknown_fields(gateway: LocalGateway) -> None:
    """From the socket to the task."""
    gateway.fault(Fault(body=encode(page_objects(task_objects(prompt="a cat"), task_objects()))))
    async with gateway.client() as client:
        first, second = await client.list_history()
    assert (first.extra, second.extra) == ({"prompt": "a cat"}, {})


# What ``extra`` is.


def test_extra_is_a_read_only_mapping() -> None:
    """It looks like the dict it was made of, and that dict may change meanwhile."""
    fields = {"prompt": "a cat"}
    task = attrs.evolve(ImageTask.from_dict(task_objects()), extra=fields)
    fields["prompt"] = "a dog"
    assert isinstance(task.extra, Mapping)
    assert (dict(task.extra), len(task.extra), task.extra["prompt"]) == ({"prompt": "a cat"}, 1, "a cat")
    assert repr(task.extra) == "{'prompt': 'a cat'}"
    with pytest.raises(TypeError):
        task.extra["prompt"] = "a dog"  # type: ignore[index]
    with pytest.raises(AttributeError):
        task.extra.prompt = "a dog"  # type: ignore[attr-defined]


def test_extra_counts_for_equality_but_not_for_the_hash() -> None:
    """Equal tasks have one hash; what is in ``extra`` may have none."""
    task = ImageTask.from_dict(task_objects())
    prompted = ImageTask.from_dict(task_objects(tags=["cat"]))
    assert task != prompted
    assert prompted == ImageTask.from_dict(task_objects(tags=["cat"]))
    assert hash(task) == hash(prompted)
    assert len({task, prompted}) == 2


@pytest.mark.parametrize(
    "twin_of", [lambda task: pickle.loads(pickle.dumps(task)), copy.copy, copy.deepcopy, attrs.evolve]
)
def test_extra_is_copied(twin_of: Callable[[ImageTask], ImageTask]) -> None:
    """With the task, in each way that there is."""
    task = ImageTask.from_dict(task_objects(tags=["cat"]))
    twin = twin_of(task)
    assert (twin, hash(twin), twin.extra) == (task, hash(task), {"tags": ["cat"]})


# The log.


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Begin as a new process does; return the names that are remembered as logged."""
    names = set[str]()
    monkeypatch.setattr("apimall_async._extra._named", names)
    return names


def test_a_name_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it comes; a known name never."""
    caplog.set_level(logging.INFO, "apimall_async")
    for _ in range(3):
        structure(encode(page_objects(*[task_objects(prompt="a cat")] * 3)), HistoryPage)
    ImageTask.from_dict(task_objects(prompt="a cat", seed=7))
    start = "the gateway sends a field that this version does not know, kept in extra: "
    assert caplog.messages == [f"{start}prompt", f"{start}seed"]
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_name_in_the_log_is_one_printable_line(caplog: pytest.LogCaptureFixture) -> None:
    """It is untrusted text: it controls no terminal, forges no second line, and is cut."""
    caplog.set_level(logging.INFO, "apimall_async")
    ImageTask.from_dict(task_objects(**{"a\x1b[2J\n2026-03-12 ERROR b\u202e": 1, "x" * 10_000: 1}))
    assert len(caplog.messages) == 2
    assert all(message.isprintable() and len(message) < 250 for message in caplog.messages)


def test_at_most_fifty_names_are_logged(caplog: pytest.LogCaptureFixture, named: set[str]) -> None:
    """A gateway that makes up names fills no log, and no memory; the fields are kept all the same."""
    caplog.set_level(logging.INFO, "apimall_async")
    names = [f"{number}{'x' * 10_000}" for number in range(200)]
    task = ImageTask.from_dict(task_objects(**dict.fromkeys(names, 1)))
    assert list(task.extra) == names
    assert len(caplog.messages) == 50
    assert sum(map(len, named)) <= 50 * 100
