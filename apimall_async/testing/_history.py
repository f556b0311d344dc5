"""One account's list of records: read by pages, changed while they are read, from any thread."""

import random
import threading
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast

import attrs

from apimall_async import ImageTask
from apimall_async.testing._samples import NEWEST, new_tasks


class Item(Protocol):
    """What a history needs to know of the records in it: ImageTask's, or another endpoint's."""

    @property
    def task_id(self) -> str: ...
    @property
    def created_at(self) -> object: ...
    def to_json(self) -> str: ...


if TYPE_CHECKING:
    from typing_extensions import TypeVar  # Python's own has a default only from 3.13 on

    R = TypeVar("R", bound=Item, default=ImageTask)  # a History without more is one of ImageTasks
else:
    from typing import TypeVar

    R = TypeVar("R", bound=Item)


class History(Generic[R]):
    """The tasks of one account. Every method may be called from any thread."""

    def __init__(self, tasks: Iterable[R] = (), *, seed: int = 0) -> None:
        """Hold ``tasks``, newest first."""
        # Oldest first, so that a new task is an append, and a page a slice wherever it is.
        self._ids: list[str] = []
        self._tasks: dict[str, R] = {}
        self._encoded: dict[str, bytes] = {}
        self._origin = ""
        self._rng = random.Random(seed)  # noqa: S311 - nothing secret here
        self._tie_rng = random.Random(seed)  # noqa: S311 - idem; apart, so that new tasks do not depend on it
        self._lock = threading.RLock()
        self.insert(*tasks)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._tasks

    @property
    def tasks(self) -> list[R]:
        """The tasks as they are now, newest first: a copy."""
        with self._lock:
            return [self._task(task_id) for task_id in reversed(self._ids)]

    def insert(self, *tasks: R) -> None:
        """Put tasks in front of all others; the first one given becomes the newest.

        Raises:
            ValueError: a task of that id is there already.

        """
        new = {task.task_id: task for task in reversed(tasks)}
        with self._lock:
            if len(new) < len(tasks) or not new.keys().isdisjoint(self._tasks):
                message = "a history holds each task_id once"
                raise ValueError(message)
            self._ids += new
            self._tasks |= new

    def insert_new(self: "History[ImageTask]", n: int = 1) -> list[ImageTask]:
        """Create n pending image tasks, each a second later than the newest so far; newest first."""
        with self._lock:
            newest = self._tasks[self._ids[-1]].created_at if self._ids else NEWEST
            new = new_tasks(n, newest, self._rng)
            self.insert(*new)
        return new

    def delete(self, *task_ids: str) -> None:
        """Take tasks out, wherever they are.

        Raises:
            KeyError: there is no such task.

        """
        gone = frozenset(task_ids)
        with self._lock:
            self._require(gone)
            for task_id in gone:
                del self._tasks[task_id]
                self._encoded.pop(task_id, None)
            self._ids = [task_id for task_id in self._ids if task_id not in gone]

    def update(self, task: R) -> None:
        """Replace the task with this id, as when a pending one is completed.

        Raises:
            KeyError: there is no such task.

        """
        with self._lock:
            self._require({task.task_id})
            self._tasks[task.task_id] = task
            self._encoded.pop(task.task_id, None)

    def set_origin(self, origin: str) -> None:
        """Complete each image_url that is a mere path with the gateway's origin, from now on."""
        with self._lock:
            self._origin = origin
            self._encoded.clear()

    def read(self, page: int, limit: int, *, shuffle_ties: bool = False) -> tuple[list[tuple[R, bytes]], int]:
        """Read one page, newest first: its tasks, each as it is and in JSON; and the number of the last page.

        ``shuffle_ties`` reads the list in another order each time: tasks that stand side by side and have one
        ``created_at`` change places.
        """
        with self._lock:
            end = max(0, len(self._ids) - (page - 1) * limit)
            start = max(0, end - limit)
            ids = self._shuffled(start, end) if shuffle_ties else self._ids[start:end]
            rows = [
                (self._task(task_id), self._encoded.get(task_id) or self._encode(task_id))
                for task_id in reversed(ids)
            ]
            return rows, max(1, -(-len(self._ids) // limit))

    def _shuffled(self, start: int, end: int) -> list[str]:
        """Cut a page out of the list as it would be if the tasks of every group had changed places."""
        # Only the groups on the page are shuffled, but each of them whole, because the page may cut it.
        first, last = start, end
        while 0 < first < end and self._created_at(first - 1) == self._created_at(first):
            first -= 1
        while start < last < len(self._ids) and self._created_at(last - 1) == self._created_at(last):
            last += 1
        ids: list[str] = []
        for _, positions in groupby(range(first, last), self._created_at):
            group = [self._ids[position] for position in positions]
            self._tie_rng.shuffle(group)
            ids += group
        return ids[start - first : end - first]

    def _created_at(self, position: int) -> object:
        return self._tasks[self._ids[position]].created_at

    def _encode(self, task_id: str) -> bytes:
        encoded = self._encoded[task_id] = self._task(task_id).to_json().encode()
        return encoded

    def _task(self, task_id: str) -> R:
        # Completed when first read, because completing a million at the start takes seconds.
        task = self._tasks[task_id]
        url: Any = getattr(task, "image_url", None)
        if self._origin and url and url.startswith("/"):
            task = self._tasks[task_id] = attrs.evolve(cast("Any", task), image_url=self._origin + url)
        return task

    def _require(self, task_ids: Iterable[str]) -> None:
        if missing := sorted(set(task_ids) - self._tasks.keys()):
            message = f"no such task: {', '.join(missing)}"
            raise KeyError(message)
