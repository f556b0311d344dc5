"""The timeouts of many requests over one timer of the event loop."""

import asyncio
import math
from types import TracebackType
from typing import Self, cast


class Deadlines:
    """Gives each request the same number of seconds; with infinity it can only be ended.

    ``asyncio.timeout`` sets and cancels a timer for each request. Here one timer is set at a time, for the
    oldest request; when it runs out, it is set for the oldest that is left.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._started: dict[Deadline, float] = {}  # and when they run out: the oldest is the first
        self._timer: asyncio.TimerHandle | None = None

    def start(self, deadline: "Deadline") -> None:
        """Let a deadline begin."""
        when = self._started[deadline] = self._loop.time() + self._seconds
        if self._timer is None and when < math.inf:
            self._timer = self._loop.call_at(when, self._check)

    def tasks(self) -> set[asyncio.Task[object]]:
        """Return the tasks of the requests that are under way."""
        return {deadline.task for deadline in self._started}

    def end(self, deadline: "Deadline") -> None:
        """Forget a deadline; the timer will find nothing to do."""
        self._started.pop(deadline, None)

    def close(self) -> None:
        """End what is under way, at once, and cancel the timer."""
        for deadline in list(self._started):
            self.end(deadline)
            deadline.run_out()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        for deadline, when in list(self._started.items()):
            if when > now:
                self._timer = self._loop.call_at(when, self._check)
                return
            self.end(deadline)
            deadline.run_out()


class Deadline:
    """``with Deadline(deadlines)``: cancels the task when its time is over, and makes it a TimeoutError.

    It treats other cancellations as ``asyncio.timeout`` does, also one that comes at the same moment.
    """

    __slots__ = ("_cancelling", "_deadlines", "_over", "task")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.task = cast("asyncio.Task[object]", asyncio.current_task())
        self._cancelling = self.task.cancelling()
        self._over = False

    def __enter__(self) -> Self:
        self._deadlines.start(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._deadlines.end(self)
        if self._over and self.task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def run_out(self) -> None:
        """Cancel the task."""
        self._over = True
        self.task.cancel()
