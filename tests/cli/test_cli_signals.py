"""The command is told to end: by a supervisor, or by a terminal that is closed."""

import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from apimall_async.cli._process import interruptible
from apimall_async.testing import Fault, LocalGateway


Spawn = Callable[..., subprocess.Popen[str]]

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


@pytest.fixture
def stalling(gateway: LocalGateway) -> LocalGateway:
    """Respond to two requests, and to no other."""
    gateway.fault(Fault(), Fault())
    gateway.rule(lambda _: None if gateway._script else Fault.stall())
    return gateway


def read_until(descriptor: int, text: str) -> str:
    """Read a terminal until this is there; to its end if it never is."""
    seen = ""
    while text not in seen:
        try:
            seen += os.read(descriptor, 65_536).decode(errors="replace")
        except OSError:  # Linux' way to say that the last process is gone
            break
    return seen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_an_export_as_ctrl_c_does(
    spawn: Spawn, stalling: LocalGateway, workplace: Path, number: int, code: int
) -> None:
    """What was read is kept, one line says so, and the exit code is 128 and the signal's number."""
    process = spawn("export", "tasks.jsonl", "--read-ahead", "0")
    while len(stalling.requests) < 3:
        time.sleep(0.01)
    process.send_signal(number)
    _, words = process.communicate(timeout=30)
    assert (process.returncode, words) == (code, "96 tasks kept in tasks.jsonl.part: go on with --resume\n")
    assert [path.name for path in workplace.iterdir()] == ["tasks.jsonl.part"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_terminal_as_it_was(
    spawn: Spawn, stalling: LocalGateway, number: int, code: int
) -> None:
    """The cursor is there again, and the line of progress is gone."""
    main, other = pty.openpty()
    process = spawn("history", "--format", "csv", stdout=other, stderr=other, stdin=other)
    os.close(other)
    assert HIDE_CURSOR in read_until(main, HIDE_CURSOR)
    process.send_signal(number)
    rest = read_until(main, "nothing")
    os.close(main)
    assert process.wait(timeout=30) == code
    assert rest.rpartition(SHOW_CURSOR)[2] == "\r\x1b[1A\x1b[2K"


@pytest.mark.parametrize("command", [["export", "tasks.csv"], ["download", "images"]])
def test_a_terminal_that_is_closed(
    spawn: Spawn, stalling: LocalGateway, workplace: Path, command: list[str]
) -> None:
    """The system sends SIGHUP, and nothing can be written there any more: the exit code is that of SIGHUP."""
    main, other = pty.openpty()
    name = os.ttyname(other)  # the first terminal that a session opens is its own
    process = spawn(*command, script=f'exec "$@" <>{name} >&0 2>&0', start_new_session=True)
    assert HIDE_CURSOR in read_until(main, HIDE_CURSOR)
    os.close(other)
    os.close(main)
    assert process.wait(timeout=30) == 129


@pytest.mark.parametrize("ignored", ["HUP", "INT"])
def test_signals_that_are_ignored(spawn: Spawn, gateway: LocalGateway, ignored: str) -> None:
    """After nohup SIGHUP stays ignored; where Ctrl-C is ignored, as in a background job, SIGTERM is not."""
    process = spawn("gateway", script=f'trap "" {ignored}; exec "$@"')
    assert process.stdout
    assert process.stdout.readline()
    process.send_signal(getattr(signal, f"SIG{ignored}"))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_handlers_of_others_stay() -> None:
    """Only the defaults are replaced, and they are put back."""
    theirs = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGHUP) is signal.default_int_handler
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, theirs)
