"""A gateway, the environment that names it, and the command in this process or in one of its own."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from apimall_async.cli import _app
from apimall_async.cli._app import apimall
from apimall_async.testing import LocalGateway


Run = Callable[..., Result]
Spawn = Callable[..., subprocess.Popen[str]]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def terminal() -> Callable[[], Terminal]:
    """Make streams that say they are terminals."""
    return Terminal


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing depend on who runs the tests."""
    for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalGateway]:
    """Run a gateway of 120 tasks: two full pages and a short one. The environment names it."""
    with LocalGateway(120).in_thread() as gateway:
        monkeypatch.setenv("APIMALL_API_KEY", gateway.api_key)
        monkeypatch.setenv("APIMALL_BASE_URL", gateway.url)
        yield gateway


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, and keep the streams of this process: it goes on after a failure."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_app, "_discard_output", lambda: None)
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run the command in this process."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(apimall, arguments, prog_name="apimall")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def _heeded_signals() -> Iterator[None]:
    """Let processes heed the signals that the tests may have been started to ignore: by nohup, say."""
    ignored = [number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]
    heeded = [number for number in ignored if number in {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}]
    for number in heeded:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in heeded:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def spawn(_heeded_signals: None) -> Iterator[Spawn]:
    """Start the command in a process of its own, where every warning is an error."""
    started: list[subprocess.Popen[str]] = []

    def spawn(*arguments: str, script: str = 'exec "$@"', **options: object) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process: subprocess.Popen[str] = subprocess.Popen(  # type: ignore[call-overload]
            ["sh", "-c", script, "sh", sys.executable, "-W", "error", "-m", "apimall_async", *arguments],
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
            **streams,
        )
        started.append(process)
        return process

    yield spawn
    for process in started:
        with process:
            process.kill()
