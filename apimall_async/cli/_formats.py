"""Tasks as text, page by page: nothing is held back, whatever the length of the history."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

import attrs

from apimall_async import ImageTask
from apimall_async.cli._table import Table
from apimall_async.cli._text import clean, in_zone


class Format(Protocol):
    """Turns pages of tasks into the parts of one text."""

    def page(self, tasks: Sequence[ImageTask]) -> str:
        """The next part, for one page."""
        ...

    def end(self) -> str:
        """The last part, once every page was read. A text that lacks it is seen to be incomplete."""
        ...


class JsonLines:
    """An object a line."""

    def page(self, tasks: Sequence[ImageTask]) -> str:
        """Each on a line of its own."""
        return "".join([f"{_json(task)}\n" for task in tasks])

    def end(self) -> str:
        """Nothing."""
        return ""


class JsonArray:
    """One array of objects."""

    def __init__(self) -> None:
        self._before = "[\n"

    def page(self, tasks: Sequence[ImageTask]) -> str:
        """Objects, a line each, after the bracket or a comma."""
        if not tasks:
            return ""
        before, self._before = self._before, ",\n"
        return before + ",\n".join([_json(task) for task in tasks])

    def end(self) -> str:
        """The closing bracket."""
        return "[]\n" if self._before == "[\n" else "\n]\n"


class Csv:
    """A table of comma-separated values, with a header."""

    def __init__(self) -> None:
        self._header = True

    def page(self, tasks: Sequence[ImageTask]) -> str:
        """Lines, after the header if they are the first."""
        return self.rows([_values(task) for task in tasks])

    def rows(self, tasks: Sequence[Mapping[str, Any]]) -> str:
        """Lines as those of ``page``, of tasks as the objects that JsonLines writes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self._header:
            self._header = False
            writer.writerow(field.name for field in attrs.fields(ImageTask))
        writer.writerows([[_cell(value) for value in task.values()] for task in tasks])
        return text.getvalue()

    def end(self) -> str:
        """The header, if there was no task."""
        return self.page([]) if self._header else ""


FORMATS: dict[str, Callable[[TextIO], Format]] = {
    "table": Table,
    "json": lambda _: JsonArray(),
    "jsonl": lambda _: JsonLines(),
    "csv": lambda _: Csv(),
}
"""By name, how to make the format for a stream."""


def _json(task: ImageTask) -> str:
    # Escaping all but ASCII keeps every control character from a terminal, and loses none.
    return json.dumps(_values(task), ensure_ascii=True)


def _values(task: ImageTask) -> dict[str, Any]:
    """The fields under the wire's names, times in UTC as the wire spells them."""
    return attrs.asdict(task, value_serializer=_spell)


def _spell(_: object, __: object, value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    precision = "microseconds" if value.microsecond % 1000 else "milliseconds"
    return in_zone(value, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _cell(value: str | int | None) -> str | int | None:
    if not isinstance(value, str):
        return value
    # A spreadsheet would run what begins so as a formula; the apostrophe makes it text.
    return clean("'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value)
