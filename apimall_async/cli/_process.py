"""The command as a process: streams that were closed before it began, and signals that end it."""

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import attrs

from apimall_async.cli._errors import ExitCode


_EXIT_CODES = {"SIGHUP": ExitCode.HUNG_UP, "SIGTERM": ExitCode.TERMINATED}  # Windows has no SIGHUP


def open_missing_streams() -> None:
    """Put something in the place of each standard stream that was closed, as supervisors may close them.

    The next file or socket would get its number otherwise, and with it whatever is written to the stream.
    To write to such a stdout is an error, because rows would be lost; messages to stderr may be.
    """
    for name, mode, flags in [
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ]:
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)  # the lowest that is free: the stream's own
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


@attrs.define
class Interruption:
    """What interrupted the command, besides Ctrl-C."""

    exit_code: ExitCode | None = None

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Do what Ctrl-C would do now: asyncio cancels what is running, so that all of it is closed."""
        self.exit_code = _EXIT_CODES[signal.Signals(number).name]
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):  # Ctrl-C is ignored, as in a script's background job
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)


@contextmanager
def interruptible() -> Generator[Interruption]:
    """Let SIGTERM and SIGHUP end the ``with`` block as Ctrl-C does, unless they are ignored (nohup)."""
    interruption = Interruption()
    numbers = [getattr(signal, name) for name in _EXIT_CODES if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interruption.on_signal)
    try:
        yield interruption
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
