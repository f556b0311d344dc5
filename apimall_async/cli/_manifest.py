"""The manifest of a download: a line of JSON for each image, by which it can be found, and verified."""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import attrs
import click

from apimall_async._conversion import Record
from apimall_async._extra import extra_field
from apimall_async._untrusted import printable


_BEGINNING = b'{"task_id":"'
_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
}


@attrs.frozen
class Entry(Record):
    """One image."""

    task_id: str
    file: str
    """Its name in the directory."""
    size: int
    sha256: str
    type: str
    """The media type, by what the file holds."""
    when: datetime
    """When the file was written."""
    extra: Mapping[str, Any] = extra_field()

    @classmethod
    def of(cls, task_id: str, path: Path) -> Self:
        """Read a file."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            found = os.fstat(file.fileno())
        media_type = _TYPES.get(path.suffix, "application/octet-stream")
        when = datetime.fromtimestamp(int(found.st_mtime), UTC)
        return cls(task_id, path.name, found.st_size, digest, media_type, when)

    def holds_the_same(self, other: "Entry") -> bool:
        """Whether both are of the same bytes."""
        return (self.size, self.sha256) == (other.size, other.sha256)


class Manifest:
    """The entries, by their tasks. Each is in the file as soon as it was added."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one.

        Raises:
            click.UsageError: the file is no manifest. It is not touched.

        """
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._surplus = 0
        """Lines of the file that no longer count."""
        if path.exists():
            self._load()

    def _load(self) -> None:
        if not self._path.is_file():
            raise self._unusable("not a plain file")
        *lines, rest = self._path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                self._put(Entry.from_json(line))
            except ValueError:
                raise self._unusable(f"line {number}") from None
        if rest[: len(_BEGINNING)] != _BEGINNING[: len(rest)]:
            raise self._unusable(f"line {len(lines) + 1}")
        self._surplus += bool(rest)  # the last run was killed, or the disk was full

    def __enter__(self) -> Self:
        """Make the file ready to be added to."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()
        self._tidy()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave one line for each image."""
        self._tidy()

    def get(self, task_id: str) -> Entry | None:
        """Find the image of a task."""
        return self._entries.get(task_id)

    def add(self, entry: Entry) -> None:
        """Add an image; it replaces what was noted for its task."""
        with self._path.open("ab") as file:
            file.write(f"{entry.to_json()}\n".encode())
        self._put(entry)

    def _put(self, entry: Entry) -> None:
        self._surplus += entry.task_id in self._entries
        self._entries[entry.task_id] = entry

    def _tidy(self) -> None:
        if not self._surplus:
            return
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        with new.open("xb") as file:
            file.writelines([f"{entry.to_json()}\n".encode() for entry in self._entries.values()])
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        self._surplus = 0

    def _unusable(self, why: str) -> click.UsageError:
        return click.UsageError(
            f"{printable(self._path.name)} is no manifest: {why}. Give another name, or move it away"
        )
