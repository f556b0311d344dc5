"""A cattrs converter of a user's own, with the project's hooks for tasks and pages."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import attrs
import pytest
from cattrs import BaseConverter, Converter, UnstructureStrategy, transform_error
from cattrs.preconf.json import make_converter
from contract import EXAMPLE, page_objects, task_objects

from apimall_async import HistoryPage, ImageTask, Page, configure_converter


@attrs.frozen
class Invoice:
    """A class of a user's own."""

    tasks: list[ImageTask]
    month: date
    amount: int = 0
    page: HistoryPage | None = None
    pages: tuple[Page[ImageTask], ...] = ()
    by_id: dict[str, ImageTask] = attrs.field(factory=dict[str, ImageTask])


OBJECTS: dict[str, Any] = {
    "tasks": [task_objects(), task_objects(prompt="a cat", image_url=None)],
    "month": "2026-03-01",
    "amount": 16,
    "page": page_objects(),
    "pages": [page_objects(), page_objects(task_objects(seed=7))],
    "by_id": {"img_1": task_objects()},
}
MAKERS: dict[str, Callable[..., BaseConverter]] = {
    "Converter": Converter,
    "preconf": make_converter,
    "briefly": lambda: Converter(detailed_validation=False),
    "preconf, briefly": lambda: make_converter(detailed_validation=False),
    "omits defaults": lambda: Converter(omit_if_default=True),
    "forbids more": lambda: Converter(forbid_extra_keys=True),
    "BaseConverter": BaseConverter,
}


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def converter(request: pytest.FixtureRequest) -> BaseConverter:
    """Make a converter that knows dates, as a user's may, and configure it."""
    made: BaseConverter = request.param()
    made.register_structure_hook(date, lambda value, _: date.fromisoformat(value))
    made.register_unstructure_hook(date, date.isoformat)
    configure_converter(made)
    return made


def test_tasks_within_another_class(converter: BaseConverter) -> None:
    """They are structured wherever they are, with unknown fields; and unstructured to the same objects."""
    invoice = converter.structure(OBJECTS, Invoice)
    assert invoice.tasks == [ImageTask.from_dict(task) for task in OBJECTS["tasks"]]
    assert invoice.tasks[1].extra == {"prompt": "a cat"}
    assert type(invoice.page) is HistoryPage
    assert [type(page) for page in invoice.pages] == [Page, Page]
    assert invoice.pages[1].items[0].extra == {"seed": 7}
    assert json.loads(json.dumps(converter.unstructure(invoice))) == OBJECTS


def test_tasks_and_pages_themselves(converter: BaseConverter) -> None:
    """As they are in the client, from objects or from a body."""
    assert converter.structure(task_objects(), ImageTask) == ImageTask.from_dict(task_objects())
    page = converter.structure(page_objects(), HistoryPage)
    assert converter.structure(EXAMPLE, HistoryPage) == page
    assert converter.unstructure(page) == page_objects()
    assert converter.unstructure(page.items[0]) == task_objects()
    assert converter.unstructure([page.items[0]]) == [task_objects()]


@pytest.mark.parametrize("make", [Converter, make_converter], ids=["Converter", "preconf"])
def test_problems_within_another_class(make: Callable[[], Converter]) -> None:
    """``cattrs.transform_error`` names each by its path."""
    converter = make()
    configure_converter(converter)
    wrong = {"tasks": [task_objects(status=None), task_objects(credits_used="8")]}

    @attrs.frozen
    class Bill:
        tasks: list[ImageTask]

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever cattrs raises
        converter.structure(wrong, Bill)
    assert transform_error(caught.value, format_exception=lambda error, _: str(error)) == [
        "expected a string, got null @ $.tasks[0].status",
        "expected an integer, got str @ $.tasks[1].credits_used",
    ]


def test_a_wrong_task_is_refused(converter: BaseConverter) -> None:
    """By a converter of every kind."""
    for changes in ({"status": None}, {"credits_used": "8"}, {"created_at": "soon"}):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever cattrs raises
            converter.structure([task_objects(**changes)], list[ImageTask])
        assert "expected" in " ".join(transform_error(caught.value, format_exception=lambda e, _: str(e)))


@attrs.frozen
class Other:
    """A class that is none of the project's."""

    name: str
    when: datetime
    count: int = 0


def test_other_classes_stay_as_they_are() -> None:
    """A converter as lenient as cattrs' own is that for all other classes."""
    for make in (Converter, make_converter):
        plain, configured = make(), make()
        for one in (plain, configured):
            one.register_structure_hook(datetime, lambda value, _: datetime.fromtimestamp(value, UTC))
            one.register_unstructure_hook(datetime, datetime.timestamp)
        configure_converter(configured)
        objects = {"name": 7, "when": 1e9, "count": "8", "more": 1}
        other = Other("7", datetime.fromtimestamp(1e9, UTC), 8)
        assert configured.structure(objects, Other) == plain.structure(objects, Other) == other
        assert configured.unstructure(other) == plain.unstructure(other)
        assert configured.structure("8", int) == 8
        assert configured.structure(None, str) == "None"
        assert configured.structure((1, "2"), tuple[int, ...]) == (1, 2)


def test_a_task_as_a_tuple() -> None:
    """A converter that makes tuples of other classes makes objects of tasks all the same."""
    converter = Converter(unstruct_strat=UnstructureStrategy.AS_TUPLE)
    configure_converter(converter)
    assert converter.unstructure(ImageTask.from_dict(task_objects())) == task_objects()


def test_a_subclass_of_a_users_own(converter: BaseConverter) -> None:
    """It needs no further hook."""

    @attrs.frozen
    class PromptedTask(ImageTask):
        prompt: str = ""

    task = converter.structure(task_objects(prompt="a cat"), PromptedTask)
    assert (type(task), task.prompt, task.extra) == (PromptedTask, "a cat", {})
    assert converter.unstructure(task) == task_objects(prompt="a cat")
