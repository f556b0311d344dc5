"""What an export has read so far, on disk: whole at any moment, whatever ends the process.

It is an SQLite database, and not lines appended to a file, because an export that is resumed needs what a
file of lines lacks: records put in front of others, records found by id without holding a million ids in
memory, many changes made as one, no torn end after a kill, and a lock that ends with its process.
"""

import sqlite3
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import dropwhile
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from apimall_async import ImageTask
from apimall_async._conversion import Record
from apimall_async.cli._formats import fields_of


R = TypeVar("R", bound=Record)

_OURS = 0x4150494D  # SQLite's application_id; a database without it is another program's, and left alone
_SCHEMA = 3  # part of SQLite's user_version; raised with each change of the tables
_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT}  # our statements are right: the tables are not
_BATCH = 1_000  # records read at a time
_ROOM = 2**40  # positions left free in front of the first record, each time that records are put there

_CREATE = f"""
    BEGIN;
    CREATE TABLE records (
        position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, line TEXT NOT NULL, checksum INTEGER NOT NULL
    );
    PRAGMA application_id = {_OURS};
    PRAGMA user_version = %d;
    COMMIT;
"""
_FIRST = "SELECT coalesce(min(position), 0) FROM records"
_KNOWS = "SELECT count(*) FROM records WHERE id = ? AND position >= ?"
_LAST = "SELECT line FROM records ORDER BY position DESC LIMIT ?"
_APPEND = "INSERT OR IGNORE INTO records (id, line, checksum) VALUES (?, ?, ?)"
_PREPEND = f"""
    INSERT OR IGNORE INTO records
    SELECT coalesce(max(position), ? - {_ROOM}) + 1, ?, ?, ? FROM records WHERE position < ?
"""  # noqa: S608 - a number of our own

_id = attrgetter("task_id")


class Checkpoint:
    """The records read so far, newest first. What a record was when it was first read stays."""

    def __init__(self, path: Path, kind: type[Record]) -> None:
        self._path = path
        self._kind = kind
        self._database = _connect(path, kind)
        self._count = self._number("SELECT count(*) FROM records")
        self.finished = False
        """Whether all that it holds is elsewhere, too."""

    def close(self) -> None:
        """Let go of the file; remove it if nobody will miss it."""
        self._database.close()
        if self.finished or not self._count:
            self._path.unlink()

    def __len__(self) -> int:
        return self._count

    @property
    def first(self) -> int:
        """The position of the newest record."""
        return self._number(_FIRST)

    def clear(self) -> None:
        """Forget every record."""
        self._database.execute("DELETE FROM records")
        self._count = 0

    def append(self, records: Sequence[Record]) -> None:
        """Put those that are not known behind all others."""
        with self.transaction():
            self._insert(_APPEND, [_row(record) for record in records])

    def prepend(self, records: Sequence[Record], first: int) -> None:
        """Put records, and after them those of further calls, in front of the position ``first``."""
        self._insert(_PREPEND, [(first, *_row(record), first) for record in records])

    def knows(self, record: Record, first: int) -> bool:
        """Whether a record is at the position ``first``, or behind it."""
        return self._number(_KNOWS, _id(record), first) > 0

    def last(self, n: int) -> list[Any]:
        """Read the last n records, in their order."""
        lines = self._database.execute(_LAST, (n,)).fetchall()
        return [self._kind.from_json(line) for (line,) in reversed(lines)]

    def from_known(self, records: Sequence[R]) -> list[R]:
        """Drop those before the first that is known; all of them if none is."""
        first = self.first
        return list(dropwhile(lambda record: not self.knows(record, first), records))

    def batches(self) -> Iterator[list[str]]:
        """Read the records, some at a time, as lines of JSON."""
        return _batches(self._database)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Make all changes in the ``with`` block, or none if it fails."""
        before = self._count
        self._database.execute("BEGIN")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            self._count = before
            with suppress(sqlite3.Error):  # after a full disk there is none any more
                self._database.execute("ROLLBACK")
            raise

    def _insert(self, statement: str, rows: Sequence[tuple[str | int, ...]]) -> None:
        self._count += max(0, self._database.executemany(statement, rows).rowcount)

    def _number(self, query: str, *values: str | int) -> int:
        (number,) = self._database.execute(query, values).fetchone()
        return int(number)


@contextmanager
def open_checkpoint(path: Path, kind: type[Record] = ImageTask) -> Generator[Checkpoint]:
    """Open the checkpoint at ``path``, or begin one. It is removed in the end if it is empty, or finished.

    Raises:
        OSError: it cannot be read or written, is damaged, is another program's or another version's, or
            another process has it open.

    """
    if path.is_symlink():
        raise OSError(f"{path} is a link: it is not followed")
    try:
        with closing(Checkpoint(path, kind)) as checkpoint:
            yield checkpoint
    except sqlite3.Error as error:
        raise OSError(f"{path}{_describe(error)}") from error


def _describe(error: sqlite3.Error) -> str:
    # What Python itself finds wrong has no code: text that is no UTF-8. The upper bits of a code are details.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _DAMAGE:
        return " is damaged: delete it to begin anew"
    return f": {'another process is writing it' if code == sqlite3.SQLITE_BUSY else error}"


def _row(record: Record) -> tuple[str, str, int]:
    line = record.to_json()
    return _id(record), line, _checksum(line)


def _checksum(line: object) -> int:
    return zlib.crc32(str(line).encode())  # damaged, it may be of any type


def _batches(database: sqlite3.Connection) -> Iterator[list[str]]:
    """Read the lines, some at a time, and none that is not what was written."""
    rows = database.execute("SELECT line, checksum FROM records ORDER BY position")
    while batch := rows.fetchmany(_BATCH):
        if any(_checksum(line) != checksum for line, checksum in batch):
            raise sqlite3.DatabaseError("a line is not what was written")
        yield [line for line, _ in batch]


def _connect(path: Path, kind: type[Record]) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        _prepare(database, path, _version_of(kind))
    except BaseException:
        database.close()
        raise
    return database


def _version_of(kind: type[Record]) -> int:
    """Make one number of the tables and the fields: lines of other fields must not be mixed with ours."""
    names = [field.name for field in fields_of(kind)]
    return zlib.crc32(f"{_SCHEMA} {names}".encode()) >> 1  # as many bits as user_version has


def _prepare(database: sqlite3.Connection, path: Path, version: int) -> None:
    # The lock also spares us an index file that processes would share, and network disks cannot.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (written_by,) = database.execute("PRAGMA user_version").fetchone()
    if owner != _OURS and (tables or owner):
        raise OSError(f"{path} is another program's database")
    if tables and written_by != version:
        raise OSError(f"{path} is of another version of this command: delete it to begin anew")
    # Whatever is written goes to a log first, and counts only when it is there as a whole. Synced now and
    # then, the log may lose its last pages with the power, but none to a mere kill.
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    if tables:
        _check(database)
    else:
        database.executescript(_CREATE % version)


def _check(database: sqlite3.Connection) -> None:
    """Check all of it, before any of it is believed: its structure, and then each line."""
    (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    for _ in _batches(database):
        pass
