"""An event loop whose clock the test owns: it stands still while there is work, then jumps to a timer."""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest


T = TypeVar("T")


class OwnClockLoop(asyncio.SelectorEventLoop):
    """Takes no time to wait."""

    def __init__(self) -> None:
        self.now = 1_000.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Return the seconds that the jumps have taken."""
        return self.now

    @property
    def timers(self) -> int:
        """How many timers are set."""
        return sum(not timer.cancelled() for timer in self._scheduled)  # type: ignore[attr-defined]


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: OwnClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        assert ready or timeout is not None, "stuck: nothing is left to wait for"
        if not ready and timeout:
            self._loop.now += timeout
        return ready


def run(main: Callable[[OwnClockLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function, which is given the loop. ``time.monotonic`` is the loop's clock meanwhile."""
    with asyncio.Runner(loop_factory=OwnClockLoop) as runner, pytest.MonkeyPatch.context() as patch:
        loop = runner.get_loop()
        assert isinstance(loop, OwnClockLoop)
        patch.setattr(time, "monotonic", loop.time)
        return runner.run(main(loop))
