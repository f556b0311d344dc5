"""What an export has read so far, on disk: whole at any moment, whatever ends the process.

It is an SQLite database, and not lines appended to a file, because an export that is resumed needs what a
file of lines lacks: tasks put in front of others, tasks found by id without holding a million ids in
memory, many changes made as one, no torn end after a kill, and a lock that ends with its process.
"""

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import dropwhile
from pathlib import Path

from apimall_async import ImageTask
from apimall_async.cli._formats import JsonLines


_OURS = 0x4150494D  # SQLite's application_id; a database without it is another program's, and left alone
_BATCH = 1_000  # tasks handed out at a time
_ROOM = 2**40  # places left free in front of the first task, each time that tasks are put there

_CREATE = f"""
    BEGIN;
    CREATE TABLE tasks (place INTEGER PRIMARY KEY, task_id TEXT NOT NULL UNIQUE, line TEXT NOT NULL);
    PRAGMA application_id = {_OURS};
    COMMIT;
"""
_FIRST = "SELECT coalesce(min(place), 0) FROM tasks"
_KNOWS = "SELECT count(*) FROM tasks WHERE task_id = ? AND place >= ?"
_APPEND = "INSERT OR IGNORE INTO tasks (task_id, line) VALUES (?, ?)"
_PREPEND = f"""
    INSERT OR IGNORE INTO tasks
    SELECT coalesce(max(place), ? - {_ROOM}) + 1, ?, ? FROM tasks WHERE place < ?
"""  # noqa: S608 - a number of our own


class Part:
    """The tasks read so far, newest first. What a task was when it was first read stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = _connect(path)
        self._count = self._number("SELECT count(*) FROM tasks")
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
        """The place of the newest task."""
        return self._number(_FIRST)

    def clear(self) -> None:
        """Forget every task."""
        self._database.execute("DELETE FROM tasks")
        self._count = 0

    def append(self, tasks: Sequence[ImageTask]) -> None:
        """Put those that are not known behind all others."""
        with self.transaction():
            self._insert(_APPEND, [(task.task_id, _line(task)) for task in tasks])

    def prepend(self, tasks: Sequence[ImageTask], first: int) -> bool:
        """Put tasks, and after them those of further calls, in front of the place ``first``.

        Only those before one that stands there, or behind, already. Say whether there is such a one.
        """
        known = [number for number, task in enumerate(tasks) if self._knows(task, first)]
        born = tasks[: known[0]] if known else tasks
        self._insert(_PREPEND, [(first, task.task_id, _line(task), first) for task in born])
        return bool(known)

    def from_known(self, tasks: Sequence[ImageTask]) -> list[ImageTask]:
        """Drop those before the first that is known; all of them if none is."""
        first = self.first
        return list(dropwhile(lambda task: not self._knows(task, first), tasks))

    def batches(self) -> Iterator[list[str]]:
        """Hand out the tasks as lines of JSON."""
        rows = self._database.execute("SELECT line FROM tasks ORDER BY place")
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

    def _knows(self, task: ImageTask, first: int) -> bool:
        return self._number(_KNOWS, task.task_id, first) > 0

    def _number(self, query: str, *values: str | int) -> int:
        (number,) = self._database.execute(query, values).fetchone()
        return int(number)


@contextmanager
def open_part(path: Path) -> Generator[Part]:
    """Open the part at ``path``, or begin one. It is removed in the end if it is empty, or finished.

    Raises:
        OSError: it cannot be read or written, is another program's, or another process has it open.

    """
    if path.is_symlink():
        raise OSError(f"{path} is a link: it is not followed")
    try:
        with closing(Part(path)) as part:
            yield part
    except sqlite3.Error as error:
        busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the other bits are details
        raise OSError(f"{path}: {'another process is writing it' if busy else error}") from error


def _line(task: ImageTask) -> str:
    return JsonLines().page([task]).rstrip("\n")


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
    if owner != _OURS and (tables or owner):
        raise OSError(f"{path} is another program's database")
    # Whatever is written goes to a log first, and counts only when it is there as a whole. Synced now and
    # then, the log may lose its last pages with the power, but none to a mere kill.
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        database.executescript(_CREATE)
