"""How far a long read has come, on a terminal; and the library's log."""

import asyncio
import logging
import math
import re
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, Self

import attrs
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from apimall_async import ImageTask
from apimall_async._untrusted import printable_line
from apimall_async.cli._text import count


_DELAY = 0.7  # seconds of waiting before there is anything to see


class Stats(Protocol):
    """Counts what is being done."""

    def so_far(self, seconds: float) -> list[str]:
        """List, in a few words each, what was done in so many seconds; nothing if that is nothing."""
        ...


@attrs.define
class ReadStats:
    """What was read."""

    pages: int = 0
    read: int = 0
    shown: int = 0
    credits_used: int = 0
    credits_refunded: int = 0

    def add(self, read: int, shown: list[ImageTask]) -> None:
        """Count a page of which ``shown`` are wanted."""
        self.pages += 1
        self.read += read
        self.shown += len(shown)
        self.credits_used += sum(task.credits_used for task in shown)
        self.credits_refunded += sum(task.credits_refunded or 0 for task in shown)

    def so_far(self, seconds: float) -> list[str]:
        """Pages, tasks, and the rate of these."""
        if not self.pages:
            return []
        return [count(self.pages, "page"), count(self.read, "task"), f"{self.read / seconds:.0f} tasks/s"]

    def __str__(self) -> str:
        if not self.read:
            return "no tasks"
        tasks = count(self.shown, "task")
        if self.shown < self.read:
            tasks += f" of {self.read} read"
        facts = [tasks, count(self.pages, "page"), f"{count(self.credits_used, 'credit')} used"]
        if self.credits_refunded:
            facts.append(f"{self.credits_refunded} refunded")
        return ", ".join(facts)


class Progress(logging.Handler):
    """A line at the foot of the terminal while there is something to wait for; none elsewhere.

    As a handler of the library's log, it also shows the reason: a retry, a rate limit, and for how long yet.
    """

    def __init__(self, stats: Stats, *, visible: bool) -> None:
        super().__init__()
        self._stats = stats
        self._visible = visible
        self._note = _Note()
        self._started = time.monotonic()
        self._spinner = Spinner("dots")
        self._console = Console(stderr=True)
        self._live = Live(
            get_renderable=self._describe,
            console=self._console,
            transient=True,
            refresh_per_second=10,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._shares_terminal = sys.stdout.isatty()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._show_soon()
        return self

    def __exit__(self, *_: object) -> None:
        self._hide()

    @contextmanager
    def paused(self, *, for_stderr: bool = False) -> Generator[None]:
        """Leave the terminal to the rows of a page, or to a message on stderr."""
        hide = for_stderr or self._shares_terminal
        if hide:
            self._hide()
        yield
        self.update()
        if hide:
            self._show_soon()

    def update(self) -> None:
        """Show what was done by now, and no longer what was logged before."""
        self._note = _Note()

    def emit(self, record: logging.LogRecord) -> None:
        """Show what is logged, until the next page is read."""
        wait: float = getattr(record, "wait", math.inf)
        self._note = _Note(printable_line(record.getMessage()), time.monotonic() + wait)

    def _show_soon(self) -> None:
        if self._visible:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._live.start)

    def _hide(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._live.stop()

    def _describe(self) -> Spinner:
        """Make the line, ten times a second: the note, and before it as much as there is room for."""
        seconds = max(time.monotonic() - self._started, 0.001)
        width = self._console.width - len("x ")
        done, note = self._stats.so_far(seconds), self._note.text()
        while note and done and len(_joined(*done, note)) > width:
            done.pop()
        text = Text(_joined(*done, note) or "waiting for the gateway")
        text.truncate(width, overflow="ellipsis")  # one line
        self._spinner.update(text=text)
        return self._spinner


@attrs.frozen
class _Note:
    """What was logged last."""

    logged: str = ""
    until: float = math.inf
    """When what it says is over, on ``time.monotonic``'s clock."""

    def text(self) -> str:
        """Say it, with the seconds that are left; nothing when it is over."""
        left = self.until - time.monotonic()
        if left == math.inf:
            return self.logged
        return re.sub(r"\bin [\d.]+ s\b", f"in {math.ceil(left)} s", self.logged, count=1) if left > 0 else ""


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


class LogLines(logging.StreamHandler):  # type: ignore[type-arg]
    """The library's log on stderr."""

    def format(self, record: logging.LogRecord) -> str:
        """Make one printable line of it, with the whole error that is a reason to try again."""
        error = getattr(record, "error", None)
        text = super().format(record)
        return f"apimall: {printable_line(f'{text} ({error})' if error else text)}"


@contextmanager
def log_to(handler: logging.Handler, level: int) -> Generator[None]:
    """Give the library's log to ``handler``, for a while."""
    logger = logging.getLogger("apimall_async")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def show_progress(stats: Stats, *, verbose: bool) -> Generator[Progress]:
    """Show progress on stderr: as a line on a terminal or, ``verbose``, as the library's log."""
    progress = Progress(stats, visible=sys.stderr.isatty() and not verbose)
    log = log_to(LogLines(), logging.DEBUG) if verbose else log_to(progress, logging.INFO)
    with log, progress:
        yield progress
