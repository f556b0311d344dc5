"""The kinds of files that an export makes. Each takes records as lines of JSON, some at a time."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, Protocol, get_args

from apimall_async._conversion import Record
from apimall_async._json import to_json
from apimall_async.cli._formats import Csv, fields_of


_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: UTF-8 has none


class File(Protocol):
    """A file that is being written; there must be none of its name."""

    def write(self, lines: Sequence[str]) -> None:
        """Write some more records."""
        ...

    def close(self) -> None:
        """Write what ends the file, and close it."""
        ...


class JsonLinesFile:
    """The lines as they are."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="ascii", newline="\n")

    def write(self, lines: Sequence[str]) -> None:
        """Write a line for each."""
        self._file.writelines([f"{line}\n" for line in lines])

    def close(self) -> None:
        """Do nothing but close."""
        self._file.close()


class CsvFile:
    """The table that ``apimall history`` writes."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self._file = path.open("x", encoding="utf-8", newline="")
        self._format = Csv(kind)

    def write(self, lines: Sequence[str]) -> None:
        """Write a row for each."""
        self._file.write(self._format.rows([json.loads(line) for line in lines]))

    def close(self) -> None:
        """Write the header if there was no record, and close."""
        self._file.write(self._format.end())
        self._file.close()


class ParquetFile:
    """Columns: text, 64-bit numbers, times in UTC to the microsecond, and the unknown fields as JSON."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        # Not imported above: it is an extra's, and takes longer to load than the rest of the command.
        self._arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        *known, extra = fields_of(kind)
        self._schema = self._arrow.schema(
            [
                *[self._column(field.name, field.type) for field in known],
                self._arrow.field(extra.name, self._arrow.string()),
            ]
        )
        self._file = path.open("xb")
        self._writer = parquet.ParquetWriter(self._file, self._schema)

    def write(self, lines: Sequence[str]) -> None:
        """Write a group of rows."""
        rows = [json.loads(line) for line in lines]
        *known, extra = self._schema
        columns = [self._array(column, [row.pop(column.name) for row in rows]) for column in known]
        columns.append(self._array(extra, [to_json(row) if row else None for row in rows]))
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))

    def close(self) -> None:
        """Write the index of the groups, and close."""
        with self._file:
            self._writer.close()

    def _column(self, name: str, annotation: Any) -> Any:
        """Choose the column's type, and whether a value may be missing."""
        types: dict[Any, Any] = {
            str: self._arrow.string(),
            int: self._arrow.int64(),
            float: self._arrow.float64(),
            bool: self._arrow.bool_(),
            datetime: self._arrow.timestamp("us", tz="UTC"),
        }
        kinds = get_args(annotation) or (annotation,)
        (kind,) = set(kinds) - {NoneType}
        return self._arrow.field(name, types[kind], nullable=NoneType in kinds)

    def _array(self, column: Any, values: list[Any]) -> Any:
        if self._arrow.types.is_timestamp(column.type):
            values = [value and datetime.fromisoformat(value) for value in values]
        elif self._arrow.types.is_string(column.type):
            values = [value and _HALF.sub("\N{REPLACEMENT CHARACTER}", value) for value in values]
        return self._arrow.array(values, type=column.type)


KINDS: dict[str, Callable[[Path, type[Record]], File]] = {
    ".jsonl": lambda path, _: JsonLinesFile(path),
    ".csv": CsvFile,
    ".parquet": ParquetFile,
}
"""By the suffix of the file's name."""
