"""JSON to models, strictly: what is taken, what is refused, and by which path it is named."""

import json
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from contract import EXAMPLE, encode, page_objects, task_objects
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async import HistoryPage, ImageTask, Page, TaskStatus
from apimall_async._conversion import (
    _page_decoder,
    _record_decoder,
    _records_maker,
    problems,
    structure,
    unstructure,
)
from apimall_async._decoding import wire_fields
from apimall_async._json import load_json


NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
OPTIONAL = ["image_url", "credits_refunded", "completed_at"]
KNOWN = [field.name for field in wire_fields(ImageTask)]
BARE = {name: value for name, value in task_objects().items() if name not in OPTIONAL}
"""The object of a task without the optional fields."""
EMPTY = page_objects() | {"data": {"items": [], "page": 1, "limit": 20}}

Pairs = list[tuple[str, Any]]
"""The members of a JSON object, perhaps some with the same name."""


def problems_of(value: object, kind: type[Any] = HistoryPage) -> str:
    """Return what is found wrong with a body, or with objects."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever cattrs raises
        structure(value, kind)
    return problems(caught.value)


def outcome(value: object, kind: type[Any] = HistoryPage) -> object:
    """Return what is made of it, or what is wrong with it."""
    try:
        return structure(value, kind)
    except Exception as error:  # noqa: BLE001 - whatever cattrs raises
        return problems(error)


# What is taken.


def test_the_contracts_example_field_by_field() -> None:
    """Every field of the vendor's example has its value and its type."""
    page = structure(EXAMPLE, HistoryPage)
    assert (page.page, page.limit, page.request_id) == (1, 20, "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R")
    assert page.items == (
        ImageTask(
            task_id="img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M",
            model="nano-banana",
            source="gempix2",
            created_at=datetime(2026, 3, 12, 9, 30, tzinfo=UTC),
            status=TaskStatus.COMPLETED,
            image_url="https://cdn.apimall.ai/generated/image-01.webp",
            credits_used=8,
            credits_refunded=0,
            completed_at=datetime(2026, 3, 12, 9, 31, 6, tzinfo=UTC),
        ),
    )


def test_a_page_of_any_record() -> None:
    """``Page[ImageTask]`` is made as ``HistoryPage`` is."""
    page = structure(EXAMPLE, Page[ImageTask])
    assert type(page) is Page
    assert page.items == structure(EXAMPLE, HistoryPage).items


@pytest.mark.parametrize("field", OPTIONAL)
@pytest.mark.parametrize("absent", [True, False])
def test_what_may_be_missing(field: str, absent: bool) -> None:
    """The three optional fields may be null or absent, also for some tasks of a page alone."""
    other = task_objects(task_id="img_2") | {field: None}
    if absent:
        del other[field]
    first, second = structure(encode(page_objects(task_objects(), other)), HistoryPage).items
    assert getattr(first, field) is not None
    assert getattr(second, field) is None


def test_a_status_that_is_new() -> None:
    """A status that this version does not know is a text as any other."""
    assert ImageTask.from_dict(task_objects(status="upscaling")).status == "upscaling"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-03-12T09:30:00Z", NOW),
        ("2026-03-12T09:30:00", NOW),
        ("2026-03-12T10:30:00+01:00", NOW),
        ("20260312T093000", NOW),
        ("2026-03-12T09:30:00.123456789Z", NOW + timedelta(microseconds=123457)),
    ],
)
def test_times_are_aware(sent: str, read: datetime) -> None:
    """A time without an offset is UTC."""
    for task in (
        ImageTask.from_dict(task_objects(created_at=sent)),
        ImageTask.from_json(json.dumps(task_objects(created_at=sent))),
    ):
        assert task.created_at == read
        assert task.created_at.tzinfo is not None


@pytest.mark.parametrize(
    ("field", "most"), [("task_id", 512), ("model", 16_384), ("status", 16_384), ("image_url", 16_384)]
)
def test_texts_have_bounds(field: str, most: int) -> None:
    """An iteration remembers ids; no other text is endless."""
    for kind in (encode, lambda objects: objects):
        assert structure(kind(task_objects(**{field: "x" * most})), ImageTask)
        wrong = problems_of(kind(task_objects(**{field: "x" * (most + 1)})), ImageTask)
        assert wrong == f"expected at most {most} characters, got {most + 1} @ $.{field}"


def test_a_request_id_has_a_bound() -> None:
    """It is in errors, and may be in logs."""
    objects = page_objects() | {"request_id": "x" * 16_385}
    for value in (objects, encode(objects)):
        assert problems_of(value) == "expected at most 16384 characters, got 16385 @ $.request_id"


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_integers_of_64_bits(number: int) -> None:
    """More fits into no table or file."""
    assert ImageTask.from_dict(task_objects(credits_used=number)).credits_used == number
    assert ImageTask.from_json(json.dumps(task_objects(credits_used=number))).credits_used == number


# What is refused.


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("task_id", None, "expected a string, got null"),
        ("task_id", "\ud800", "expected an identifier, got half of a surrogate pair"),
        ("model", 7, "expected a string, got int"),
        ("credits_used", "8", "expected an integer, got str"),
        ("credits_used", 7.9, "expected an integer, got float"),
        ("credits_used", 8.0, "expected an integer, got float"),
        ("credits_used", True, "expected an integer, got bool"),
        ("credits_used", 2**63, "expected an integer of 64 bits"),
        ("credits_used", -(2**63) - 1, "expected an integer of 64 bits"),
        ("credits_refunded", [], "expected an integer, got list"),
        ("image_url", {}, "expected a string, got dict"),
        ("created_at", "soon", "expected an ISO 8601 timestamp"),
        ("created_at", 0, "expected a string, got int"),
        ("created_at", None, "expected a string, got null"),
        ("completed_at", "", "expected an ISO 8601 timestamp"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(field: str, value: object, expected: str) -> None:
    """Nothing is converted silently: null is no "None", "8" no 8, 7.9 no 7."""
    objects = page_objects(task_objects(), task_objects(**{field: value}))
    assert problems_of(encode(objects)) == f"{expected} @ $.data.items[1].{field}"
    assert problems_of(objects) == f"{expected} @ $.data.items[1].{field}"
    with pytest.raises(ValueError, match=r"^no ImageTask: ") as caught:
        ImageTask.from_dict(task_objects(**{field: value}))
    assert str(caught.value) == f"no ImageTask: {expected} @ $.{field}"


@pytest.mark.parametrize("field", [name for name in KNOWN if name not in OPTIONAL])
def test_a_missing_field_is_named_by_its_path(field: str) -> None:
    """Required means required."""
    task = task_objects()
    del task[field]
    assert problems_of(encode(page_objects(task))) == f"missing @ $.data.items[0].{field}"
    with pytest.raises(ValueError, match=rf"^no ImageTask: missing @ \$\.{field}$"):
        ImageTask.from_json(json.dumps(task))


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("data.items", "abc", "expected an array, got str"),
        ("data.items", {"a": 1}, "expected an array, got dict"),
        ("data.items", None, "expected an array, got null"),
        ("data.items[0]", [], "expected an object, got list"),
        ("data.items[0]", None, "expected an object, got null"),
        ("data.page", 0, "expected at least 1, got 0"),
        ("data.limit", -5, "expected at least 1, got -5"),
        ("data.limit", "20", "expected an integer, got str"),
        ("data.page", 2**63, "expected an integer of 64 bits"),
        ("data", [], "expected an object, got list"),
        ("success", 1, "expected a boolean, got int"),
        ("request_id", None, "expected a string, got null"),
    ],
)
def test_a_wrong_envelope_is_named_by_its_path(path: str, value: object, expected: str) -> None:
    """The envelope is as strict as what is in it."""
    objects = page_objects()
    container: Any = objects
    *outer, last = path.replace("[0]", ".0").split(".")
    for name in outer:
        container = container[name]
    container[int(last) if last == "0" else last] = value
    assert problems_of(encode(objects)) == f"{expected} @ $.{path}"
    assert problems_of(objects) == f"{expected} @ $.{path}"


def test_many_problems_are_counted() -> None:
    """The message stays short, and says how much it leaves out."""
    wrong = problems_of(encode(page_objects(*[{}] * 50)))
    assert wrong.count("missing") == 5
    assert wrong.endswith("; and 295 more")


@pytest.mark.parametrize("item", [{}, task_objects()], ids=["bad", "good"])
def test_too_many_items_are_not_looked_at(item: dict[str, Any]) -> None:
    """The contract allows 50. Up to 1000 are taken as they come, of more, only the number is given."""
    assert problems_of(encode(page_objects(*[item] * 1001))) == (
        "expected at most 50 items, got 1001 @ $.data.items"
    )
    assert len(structure(encode(page_objects(*[task_objects()] * 1000)), HistoryPage)) == 1000


def test_a_page_that_failed() -> None:
    """``success: false`` makes no page, whatever else is there."""
    assert problems_of(page_objects() | {"success": False}) == "expected a page, got success: false @ $"


@pytest.mark.parametrize("kind", [ImageTask, HistoryPage])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "expected JSON, got 0 bytes of something else @ $"),
        (b"  <html>", "expected JSON, got 8 bytes of HTML @ $"),
        (b'"\xff"', "expected JSON, got 3 bytes of something else @ $"),
        (b"[]", "expected an object, got list @ $"),
        (b"NaN", "expected an object, got null @ $"),
    ],
)
def test_a_body_that_is_no_object(kind: type[Any], body: bytes, expected: str) -> None:
    """The message names what it is instead."""
    assert problems_of(body, kind) == expected


def test_nan_is_null() -> None:
    """Python's json writes NaN and the infinities, which JSON lacks: they are read as null."""
    task = json.dumps(task_objects(credits_refunded=float("nan"), x=[float("inf"), -float("inf")]))
    read = ImageTask.from_json(task)
    assert read.credits_refunded is None
    assert read.extra == {"x": [None, None]}


# Two ways in, one result: msgspec decodes a body, and what it refuses cattrs structures from objects.


def test_a_good_page_needs_msgspec_alone() -> None:
    """Also where optional fields are absent: it is known then that no other field is there."""
    for page in (page_objects(), page_objects(BARE, task_objects()), page_objects(*[BARE] * 50), EMPTY):
        decoded = _page_decoder(ImageTask).decode(encode(page))
        assert decoded
        envelope, complete = decoded
        assert complete
        assert _records_maker(ImageTask)(envelope.data.items) == structure(page, HistoryPage).items
    decoded = _record_decoder(ImageTask).decode(encode(BARE))
    assert decoded
    assert _records_maker(ImageTask)([decoded[0]]) == (ImageTask.from_dict(BARE),)


texts = st.sampled_from(["", ",", "a,b", '",', "\\", "ä", "\U0001f600", "\n", "img_1"]) | st.text()
times = st.sampled_from(
    ["2026-03-12T09:30:00.000Z", "2026-03-12", "2026-03-12T09:30:00,5+01:00", "soon", ","]
)
integers = st.integers(-(2**63), 2**63 - 1)
odd = st.sampled_from([None, True, 7, 7.5, 2**63, "8", [], {}, "\ud800", "x" * 513, "x" * 16_385])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
good: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(KNOWN, texts)
good |= {"task_id": st.text(max_size=20), "image_url": st.none() | texts}
good |= {"credits_used": integers, "credits_refunded": st.none() | integers}
good |= {"created_at": times, "completed_at": st.none() | times}
names = st.sampled_from(["extra", "prompt", "a,b", '"', "", "task_id ", "items", "_", *KNOWN]) | st.text()


@st.composite
def members(draw: st.DrawFn, known: dict[str, st.SearchStrategy[Any]], optional: Iterable[str]) -> Pairs:
    """Make the members of an object: in any order, some absent, unknown, or twice; few of them wrong."""
    present = [name for name in known if name not in optional or draw(st.booleans())]
    pairs = [(name, draw(known[name])) for name in present]
    pairs += draw(st.lists(st.tuples(names, values), max_size=2))
    if pairs and draw(st.integers(0, 9)) == 0:
        name, _ = draw(st.sampled_from(pairs))
        pairs.append((name, draw(odd | values | known.get(name, values))))
    return draw(st.permutations(pairs))


tasks = members(good, OPTIONAL)


@st.composite
def pages(draw: st.DrawFn) -> Pairs:
    """Make the members of an envelope."""
    counts = st.integers(1, 2**63 - 1)
    data = members({"items": st.lists(tasks.map(_Object), max_size=3), "page": counts, "limit": counts}, ())
    envelope = {"success": st.sampled_from([True] * 9 + [False]), "data": data.map(_Object)}
    return draw(members(envelope | {"request_id": texts}, ()))


@attrs.frozen
class _Object:
    """An object within another."""

    pairs: Pairs


def spell(value: Any, blank: str, *, escaped: bool) -> str:
    """Write JSON, with a blank between any two tokens."""
    if isinstance(value, _Object):
        inner = [
            f"{spell(name, '', escaped=escaped)}{blank}:{blank}{spell(one, blank, escaped=escaped)}"
            for name, one in value.pairs
        ]
        return f"{{{blank}" + f"{blank},{blank}".join(inner) + f"{blank}}}"
    if isinstance(value, list):
        return "[" + f"{blank},{blank}".join(spell(one, blank, escaped=escaped) for one in value) + "]"
    if escaped and isinstance(value, str):
        return '"' + "".join(f"\\u{ord(one):04x}" if ord(one) < 2**16 else one for one in value) + '"'
    return json.dumps(value)


spellings = st.fixed_dictionaries({"blank": st.sampled_from(["", "", " ", "\n\t"]), "escaped": st.booleans()})


@settings(max_examples=200)
@given(pages(), spellings)
def test_a_body_makes_what_its_objects_make(pairs: Pairs, spelling: dict[str, Any]) -> None:
    """The same page, or the same problems, by the same paths, however the JSON is written."""
    body = spell(_Object(pairs), **spelling).encode("utf-8", "surrogatepass")
    assert outcome(body) == outcome(load_json(body))


@settings(max_examples=200)
@given(tasks, spellings)
def test_a_task_has_all_its_fields(pairs: Pairs, spelling: dict[str, Any]) -> None:
    """Each is where it belongs: the known ones are attributes, the unknown ones are in ``extra``."""
    body = spell(_Object(pairs), **spelling).encode("utf-8", "surrogatepass")
    objects = load_json(body)
    read = outcome(body, ImageTask)
    assert read == outcome(objects, ImageTask)
    if not isinstance(read, ImageTask):
        return
    assert read.extra == {name: value for name, value in objects.items() if name not in KNOWN}
    for name in KNOWN:
        assert_same(getattr(read, name), objects.get(name))
    decoded = _record_decoder(ImageTask).decode(body)
    if decoded and decoded[1]:
        assert not read.extra


def assert_same(read: object, sent: object) -> None:
    """Check that nothing was converted but times."""
    if isinstance(read, datetime):
        assert isinstance(sent, str)
        assert read.tzinfo is not None
    else:
        assert type(read) is type(sent)
        assert read == sent


@settings(max_examples=200)
@given(tasks)
def test_what_was_read_can_be_written_and_read(pairs: Pairs) -> None:
    """Through objects and through JSON, a task and its unknown fields come back equal."""
    read = outcome(spell(_Object(pairs), "", escaped=False).encode(), ImageTask)
    if isinstance(read, ImageTask):
        assert ImageTask.from_dict(read.to_dict()) == read
        assert ImageTask.from_json(read.to_json()) == read
        assert structure(encode(page_objects(read.to_dict())), HistoryPage).items == (read,)


@settings(max_examples=100)
@given(pages())
def test_a_page_that_was_read_can_be_written_and_read(pairs: Pairs) -> None:
    """It is what the gateway would send."""
    page = outcome(spell(_Object(pairs), "", escaped=False).encode(), HistoryPage)
    if isinstance(page, HistoryPage):
        assert structure(unstructure(page), HistoryPage) == page
        assert structure(encode(unstructure(page)), HistoryPage) == page


def test_threads_decode_at_the_same_time() -> None:
    """None takes the other's absent fields for its own, and so overlooks an unknown one."""
    bodies = [encode(page_objects(*[BARE] * n, task_objects(prompt="a, b"))) for n in range(8)]
    expected = [structure(body, HistoryPage) for body in bodies]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            pages = list(threads.map(lambda body: structure(body, HistoryPage), bodies * 200))
    finally:
        sys.setswitchinterval(interval)
    assert pages == expected * 200
    assert all(page.items[-1].extra == {"prompt": "a, b"} for page in pages)


# Classes of a user's own.


@attrs.frozen
class PromptedTask(ImageTask):
    """A task with one more field."""

    prompt: str | None = None


@attrs.frozen
class TaggedTask(ImageTask):
    """A task with one more field, which is a list."""

    tags: list[str] = attrs.field(factory=list[str], kw_only=True)


class SameTask(ImageTask):
    """A task with a method more; it is not decorated."""

    def cost(self) -> int:
        """Return what it cost."""
        return self.credits_used - (self.credits_refunded or 0)


@attrs.frozen
class PromptedPage(Page[PromptedTask]):
    """A page of them."""


Make = Callable[[dict[str, Any]], object]
BODY_AND_OBJECTS = pytest.mark.parametrize("make", [encode, lambda objects: objects], ids=["body", "objects"])


@BODY_AND_OBJECTS
def test_a_subclass_with_one_more_field(make: Make) -> None:
    """The field is known then; others are in ``extra``."""
    task = structure(make(task_objects(prompt="a cat", seed=7)), PromptedTask)
    assert (task.prompt, task.extra) == ("a cat", {"seed": 7})
    assert task.to_dict() == task_objects(prompt="a cat", seed=7)
    assert structure(make(task_objects()), PromptedTask).prompt is None
    assert problems_of(make(task_objects(prompt=7)), PromptedTask) == "expected a string, got int @ $.prompt"
    page = structure(make(page_objects(task.to_dict())), PromptedPage)
    assert type(page) is PromptedPage
    assert page.items == (task,)


@BODY_AND_OBJECTS
def test_a_subclass_with_a_list(make: Make) -> None:
    """It is as strict as the rest: a text is no list of characters."""
    assert structure(make(task_objects(tags=["a", "b"])), TaggedTask).tags == ["a", "b"]
    wrong = problems_of(make(task_objects(tags=["a", 7])), TaggedTask)
    assert wrong == "expected a string, got int @ $.tags[1]"
    assert problems_of(make(task_objects(tags="ab")), TaggedTask).endswith(" @ $.tags")


@BODY_AND_OBJECTS
def test_a_subclass_that_is_not_decorated(make: Make) -> None:
    """It is as strict as ImageTask."""
    task = structure(make(task_objects(created_at="2026-03-12T09:30:00", seed=7)), SameTask)
    assert type(task) is SameTask
    assert (task.cost(), task.created_at, task.extra) == (8, NOW, {"seed": 7})
    wrong = problems_of(make(task_objects(task_id="x" * 513)), SameTask)
    assert wrong == "expected at most 512 characters, got 513 @ $.task_id"


def test_a_subclass_stays_as_it_was_written() -> None:
    """What msgspec is shown of a class is not what its users see."""
    assert PromptedTask.__annotations__ == {"prompt": str | None}
    assert attrs.fields_dict(PromptedTask)["prompt"].default is None
    assert attrs.fields_dict(PromptedTask)["created_at"].type is datetime
