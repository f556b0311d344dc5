"""Records as text, page by page: nothing is held back, whatever the length of the history."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TextIO

import attrs

from apimall_async import ImageTask
from apimall_async._conversion import Record
from apimall_async._json import to_json
from apimall_async._untrusted import printable
from apimall_async.cli._table import Table


class Format(Protocol):
    """Turns pages of tasks into the parts of one text."""

    def page(self, tasks: Sequence[ImageTask], /) -> str:
        """Return the next part, for one page."""
        ...

    def end(self) -> str:
        """Return the last part, once every page was read. A text that lacks it is seen to be incomplete."""
        ...


class JsonLines:
    """An object a line."""

    def page(self, records: Sequence[Record]) -> str:
        """Return a line for each."""
        return "".join([f"{record.to_json()}\n" for record in records])

    def end(self) -> str:
        """Return nothing."""
        return ""


class JsonArray:
    """One array of objects."""

    def __init__(self) -> None:
        self._before = "[\n"

    def page(self, records: Sequence[Record]) -> str:
        """Return a line for each, after the bracket or a comma."""
        if not records:
            return ""
        before, self._before = self._before, ",\n"
        return before + ",\n".join([record.to_json() for record in records])

    def end(self) -> str:
        """Return the closing bracket."""
        return "[]\n" if self._before == "[\n" else "\n]\n"


class Csv:
    """A table of comma-separated values, with a header. Its last column holds the unknown fields, as JSON."""

    def __init__(self, kind: type[Record]) -> None:
        self._columns = [field.name for field in fields_of(kind)]
        self._header = True

    def page(self, records: Sequence[Record]) -> str:
        """Return lines, after the header if they are the first."""
        return self.rows([record.to_dict() for record in records])

    def rows(self, objects: Sequence[dict[str, Any]]) -> str:
        """Return lines as ``page`` does, of records as the objects that they are in JSON."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self._header:
            self._header = False
            writer.writerow(self._columns)
        writer.writerows([self._row(fields) for fields in objects])
        return text.getvalue()

    def end(self) -> str:
        """Return the header, if there was no record."""
        return self.page([]) if self._header else ""

    def _row(self, fields: dict[str, Any]) -> list[Any]:
        known = [_cell(fields.pop(name)) for name in self._columns[:-1]]
        return [*known, to_json(fields) if fields else None]


FORMATS: dict[str, Callable[[TextIO], Format]] = {
    "table": Table,
    "json": lambda _: JsonArray(),
    "jsonl": lambda _: JsonLines(),
    "csv": lambda _: Csv(ImageTask),
}
"""By name, how to make the format for a stream."""


def fields_of(kind: type) -> Sequence["attrs.Attribute[Any]"]:
    """List the fields of a class of records: those on the wire, and ``extra`` as the last."""
    return sorted(attrs.fields(kind), key=lambda field: field.name == "extra")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    # A spreadsheet would run what begins so as a formula; the apostrophe makes it text.
    return printable("'" + value if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value)
