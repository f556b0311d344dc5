"""Where what is read anew, from the newest task on, meets what an earlier run has read."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from apimall_async import ApimallError


class Item(Protocol):
    """What a record must have."""

    @property
    def task_id(self) -> str: ...
    @property
    def created_at(self) -> Any: ...


T = TypeVar("T", bound=Item)

_ENOUGH = 50  # tasks in a row


class Overlap:
    """Tells which tasks of a history, read from the newest on, were created since the last run.

    They stand before all that are known; those of one ``created_at`` may have changed places. One known task
    is no proof that all new ones were seen, for it may have moved to the front. So the next 50 are looked at,
    and have to be known, too, or to stand behind the last known one: these are the ones that the last run did
    not reach. It is an error, rather than a gap, if a task is among them that is neither.
    """

    def __init__(self, knows: Callable[[Any], bool], last: Item) -> None:
        """Compare with tasks that ``knows`` is true of, of which ``last`` is the last one."""
        self._knows = knows
        self._oldest = last.created_at
        self._times: set[object] = set()  # of what stands from the first known task on
        self._in_a_row = 0
        self._passed = False  # whether a task was seen that stands behind the last known one

    @property
    def begun(self) -> bool:
        """Whether a known task was seen."""
        return bool(self._times)

    @property
    def reached(self) -> bool:
        """Whether all new tasks were seen."""
        return self._in_a_row >= _ENOUGH

    def new(self, tasks: Sequence[T]) -> list[T]:
        """Choose the new ones among the next tasks.

        Raises:
            ApimallError: one is not known, and stands among those that are.

        """
        return [task for task in tasks if not self.reached and self._is_new(task)]

    def _is_new(self, task: Item) -> bool:
        time = task.created_at
        known = self._knows(task)
        if not known and self._times <= {time}:
            self._in_a_row = 0
            return True
        if time > self._oldest and (self._passed or not known):
            raise ApimallError(
                f"the order of the history has changed since the last run, at task {task.task_id}:"
                " new tasks may stand behind those that were read before; use --overwrite"
            )
        self._passed |= not known
        self._times.add(time)
        self._in_a_row += 1
        return False
