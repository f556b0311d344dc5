"""The kinds of files that an export makes. Each takes the tasks as lines of JSON, some at a time."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, get_args, get_type_hints

from apimall_async import ImageTask
from apimall_async.cli._formats import Csv


class Kind(Protocol):
    """A file that is being written; there must be none of its name."""

    def write(self, lines: Sequence[str]) -> None:
        """Write some more tasks."""
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
        """Nothing but close."""
        self._file.close()


class CsvFile:
    """The table that ``apimall history`` writes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="utf-8", newline="")
        self._format = Csv()

    def write(self, lines: Sequence[str]) -> None:
        """Write a row for each."""
        self._file.write(self._format.rows([json.loads(line) for line in lines]))

    def close(self) -> None:
        """Write the header if there was no task, and close."""
        self._file.write(self._format.end())
        self._file.close()


class ParquetFile:
    """Columns: text, 64-bit integers, and times in UTC to the microsecond."""

    def __init__(self, path: Path) -> None:
        # Not imported above: it is an extra's, and takes longer to load than the rest of the command.
        self._arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        self._schema = self._arrow.schema(
            [self._arrow.field(name, *self._type(kind)) for name, kind in get_type_hints(ImageTask).items()]
        )
        self._file = path.open("xb")
        self._writer = parquet.ParquetWriter(self._file, self._schema)

    def write(self, lines: Sequence[str]) -> None:
        """Write a group of rows."""
        tasks = [json.loads(line) for line in lines]
        table = self._arrow.table(
            [self._column(field, [task[field.name] for task in tasks]) for field in self._schema],
            schema=self._schema,
        )
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the index of the groups, and close."""
        with self._file:
            self._writer.close()

    def _type(self, kind: Any) -> tuple[Any, bool]:
        """Tell the column's type, and whether a value may be missing."""
        kinds = get_args(kind) or (kind,)
        if datetime in kinds:
            return self._arrow.timestamp("us", tz="UTC"), len(kinds) > 1
        return self._arrow.int64() if int in kinds else self._arrow.string(), len(kinds) > 1

    def _column(self, field: Any, values: list[Any]) -> Any:
        if self._arrow.types.is_timestamp(field.type):
            values = [value and datetime.fromisoformat(value) for value in values]
        return self._arrow.array(values, type=field.type)


KINDS: dict[str, Callable[[Path], Kind]] = {
    ".jsonl": JsonLinesFile,
    ".csv": CsvFile,
    ".parquet": ParquetFile,
}
"""By the suffix of the file's name."""
