"""The line at the foot of the terminal."""

import io
import json
import sys
from collections.abc import Callable

import pytest
from click.testing import Result

from apimall_async.cli import _progress
from apimall_async.cli._app import apimall
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
    """What the library logs is shown, on one printable line."""
    message = "\x1b[2J" + "long " * 90
    body = json.dumps({"success": False, "error": {"code": "x", "message": message}})
    gateway.fault(Fault(status=500, body=body.encode()))
    _, err = watch("--limit", "1", "--verbose")
    assert "⠋" not in err  # the log has the terminal
    gateway.fault(Fault(status=500, body=body.encode()))
    _, err = watch("--limit", "1")
    line = err[err.index("trying again in ") : err.index("…")]
    assert "long long" in line
    assert len(line) <= 118
    assert "\x1b[2J" not in err


def test_no_line_where_no_terminal_is(run: Run, gateway: LocalGateway) -> None:
    """In a pipe or a file, stderr has the totals and nothing else."""
    gateway.latency = 0.02
    assert len(run("history", "--limit", "60").stderr.splitlines()) == 1
