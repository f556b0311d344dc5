"""The line at the foot of the terminal."""

import io
import json
import logging
import sys
import time
from collections.abc import Callable

import attrs
import pytest
from click.testing import Result

from apimall_async._log import log_pause
from apimall_async.cli import _progress
from apimall_async.cli._app import apimall
from apimall_async.cli._progress import ReadStats
from apimall_async.testing import Fault, LocalGateway


Run = Callable[..., Result]


@pytest.fixture
def watch(
    terminal: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[str, str]]:
    """Run the command with stderr, and perhaps stdout, on a terminal; return both."""
    monkeypatch.setattr(_progress, "_DELAY", 0.01)
    monkeypatch.setenv("COLUMNS", "120")

    def watch(*arguments: str, out: io.StringIO | None = None) -> tuple[str, str]:
        out, err = out or terminal(), terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            assert apimall.main(["history", *arguments], standalone_mode=False) in {None, 1}
        return out.getvalue(), err.getvalue()

    return watch


def test_waiting_shows_what_was_read_so_far(
    watch: Callable[..., tuple[str, str]], gateway: LocalGateway
) -> None:
    """Pages, tasks and rate; the line is gone before the rows of a page come, and at the end."""
    gateway.latency = 0.15
    out, err = watch("--limit", "60")
    assert "\x1b[?25" not in out  # the cursor is hidden while the line moves
    assert "waiting for the gateway" in err
    assert "1 page · 50 tasks · " in err
    assert err.count("\x1b[?25h") == err.count("\x1b[?25l") >= 2
    assert err.endswith((" refunded\n", " used\n"))


def test_rows_that_go_elsewhere_do_not_hide_the_line(
    watch: Callable[..., tuple[str, str]], gateway: LocalGateway
) -> None:
    """With stdout in a file, the line stays from page to page."""
    gateway.latency = 0.15
    _, err = watch(out=io.StringIO())
    assert err.count("\x1b[?25l") == 1
    assert "2 pages · 100 tasks" in err


def test_a_retry_is_shown_while_it_waits(
    watch: Callable[..., tuple[str, str]], gateway: LocalGateway
) -> None:
    """Its reason on the line; the whole error in the log, on one printable line."""
    message = "\x1b[2J" + "long " * 90
    body = json.dumps({"success": False, "error": {"code": "x", "message": message}})
    gateway.fault(Fault(status=500, body=body.encode()))
    _, err = watch("--limit", "1", "--verbose")
    assert "⠋" not in err  # the log has the terminal
    (line,) = (line for line in err.splitlines() if "retry 2 of 8 in " in line)
    assert "long long" in line
    assert "\x1b[2J" not in line
    gateway.fault(Fault(status=500, body=body.encode()))
    _, err = watch("--limit", "1")
    assert "retry 2 of 8 in 1 s: internal server error (500)" in err
    assert "long long" not in err


@attrs.define
class Clock:
    """What ``time.monotonic`` says."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """Say it."""
        return self.now


def test_a_pause_is_counted_down_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second by second; what was done before it stands as far as there is room. After it, nothing is said."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setenv("COLUMNS", "80")
    progress = _progress.Progress(ReadStats(pages=12_345, read=617_250), visible=False)

    def line() -> str:
        clock.now += 1
        return str(progress._describe().text)

    assert line() == "12345 pages · 617250 tasks · 617250 tasks/s"
    with _progress.log_to(progress, logging.INFO):
        log_pause(429, 58.2)
        assert line() == "12345 pages · 617250 tasks · rate limited (429), next request in 58 s"
        assert line() == "12345 pages · 617250 tasks · rate limited (429), next request in 57 s"
        clock.now += 55
        assert line() == "12345 pages · 617250 tasks · rate limited (429), next request in 1 s"
        assert "next request" not in line()
        logging.getLogger("apimall_async.cli").info("writing %s", "x" * 100)
        assert line().endswith("xxx…")
    progress.update()
    assert line().endswith(" tasks/s")


def test_no_line_where_no_terminal_is(run: Run, gateway: LocalGateway) -> None:
    """In a pipe or a file, stderr has the totals and nothing else."""
    gateway.latency = 0.02
    assert len(run("history", "--limit", "60").stderr.splitlines()) == 1
