"""What an export has read so far, on disk: whole at any moment, whatever ends the process.

It is an SQLite database, and not lines appended to a file, because an export that is resumed needs what a
file of lines lacks: records put in front of others, records found by id without holding a million ids in
memory, many changes made as one, no torn end after a kill, and a lock that ends with its process.
"""

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import dropwhile
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from apimall_async._conversion import Record


R = TypeVar("R", bound=Record)

_OURS = 0x4150494D  # SQLite's application_id; a database without it is another program's, and left alone
_VERSION = 2  # SQLite's user_version; that of 0.1, which lacks unknown fields, has none
_BATCH = 1_000  # records read at a time
_ROOM = 2**40  # positions left free in front of the first record, each time that records are put there

_CREATE = f"""
    BEGIN;
    CREATE TABLE records (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, line TEXT NOT NULL);
    PRAGMA application_id = {_OURS};
    PRAGMA user_version = {_VERSION};
    COMMIT;
"""
_FIRST = "SELECT coalesce(min(position), 0) FROM records"
_KNOWS = "SELECT count(*) FROM records WHERE id = ? AND position >= ?"
_APPEND = "INSERT OR IGNORE INTO records (id, line) VALUES (?, ?)"
_PREPEND = f"""
    INSERT OR IGNORE INTO records
    SELECT coalesce(max(position), ? - {_ROOM}) + 1, ?, ? FROM records WHERE position < ?
"""  # noqa: S608 - a number of our own

_id = attrgetter("task_id")


class Checkpoint:
    """The records read so far, newest first. What a record was when it was first read stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = _connect(path)
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
            self._insert(_APPEND, [(_id(record), record.to_json()) for record in records])

    def prepend(self, records: Sequence[Record], first: int) -> bool:
        """Put records, and after them those of further calls, in front of the position ``first``.

        Only those before one that is at this position, or behind it, already. Return whether there is such
        a one.
        """
        known = [number for number, record in enumerate(records) if self._knows(record, first)]
        new = records[: known[0]] if known else records
        self._insert(_PREPEND, [(first, _id(record), record.to_json(), first) for record in new])
        return bool(known)

    def from_known(self, records: Sequence[R]) -> list[R]:
        """Drop those before the first that is known; all of them if none is."""
        first = self.first
        return list(dropwhile(lambda record: not self._knows(record, first), records))

    def batches(self) -> Iterator[list[str]]:
        """Read the records, some at a time, as lines of JSON."""
        rows = self._database.execute("SELECT line FROM records ORDER BY position")
        while batch := rows.fetchmany(_BATCH):
            yield [line for (line,) in batch]

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

    def _knows(self, record: Record, first: int) -> bool:
        return self._number(_KNOWS, _id(record), first) > 0

    def _number(self, query: str, *values: str | int) -> int:
        (number,) = self._database.execute(query, values).fetchone()
        return int(number)


@contextmanager
def open_checkpoint(path: Path) -> Generator[Checkpoint]:
    """Open the checkpoint at ``path``, or begin one. It is removed in the end if it is empty, or finished.

    Raises:
        OSError: it cannot be read or written, is another program's, or another process has it open.

    """
    if path.is_symlink():
        raise OSError(f"{path} is a link: it is not followed")
    try:
        with closing(Checkpoint(path)) as checkpoint:
            yield checkpoint
    except sqlite3.Error as error:
        busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the other bits are details
        raise OSError(f"{path}: {'another process is writing it' if busy else error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    # The lock also spares us an index file that processes would share, and network disks cannot.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if owner != _OURS and (tables or owner):
        raise OSError(f"{path} is another program's database")
    if tables and version != _VERSION:
        raise OSError(f"{path} is of another version of this command: delete it to begin anew")
    # Whatever is written goes to a log first, and counts only when it is there as a whole. Synced now and
    # then, the log may lose its last pages with the power, but none to a mere kill.
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        database.executescript(_CREATE)
