"""The command as a process: pipes, signals, terminals."""

import asyncio
import io
import json
import os
import pty
import re
import runpy
import signal
import sys
import termios
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import attrs
import pytest

import apimall_async
from apimall_async.cli import main
from apimall_async.cli._gateway import _serve
from apimall_async.testing import Fault, LocalGateway


MODULE = Path(apimall_async.__file__).with_name("__main__.py")


def read_terminal(descriptor: int) -> str:
    """Read what comes on a terminal until its last process is gone."""
    text = b""
    while True:
        try:
            chunk = os.read(descriptor, 65_536)
        except OSError:  # Linux' way to say so
            chunk = b""
        if not chunk:
            return text.decode()
        text += chunk


@pytest.mark.parametrize("form", ["jsonl", "table"])
def test_pages_are_flushed_and_an_interrupt_keeps_them(
    spawn: Callable[..., Any], gateway: LocalGateway, form: str
) -> None:
    """The first page is out while the second is waited for; Ctrl-C then ends quietly with 130."""
    gateway.fault(Fault(), Fault.stall())
    process = spawn("history", "--format", form)
    lines = [process.stdout.readline() for _ in range(50)]
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert (process.wait(timeout=10), process.stderr.read()) == (130, "")
    ids = [task.task_id for task in gateway.tasks[:50]]
    assert re.findall('img_[0-9A-Z]+(?=[ "])', "".join(lines) + rest) == ids


def test_closed_pipe_ends_quietly(spawn: Callable[..., Any], gateway: LocalGateway) -> None:
    """Like ``apimall history | head -1``: no word, and the code of SIGPIPE."""
    gateway.latency = 0.1
    process = spawn("history", "--format", "jsonl")
    json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=10) == 141
    assert len(gateway.requests) < 4


def test_errors_are_no_tracebacks(spawn: Callable[..., Any], gateway: LocalGateway) -> None:
    """A refused key ends with its code and two lines."""
    gateway.fault(Fault.error(401))
    out, words = spawn("history").communicate(timeout=30)
    assert (out, len(words.splitlines())) == ("", 2)


@pytest.mark.parametrize("columns", [80, 140])
def test_on_a_terminal(spawn: Callable[..., Any], columns: int) -> None:
    """Rows fit into the terminal's width, statuses have colors, --demo needs nothing else."""
    main, other = pty.openpty()
    termios.tcsetwinsize(other, (24, columns))
    process = spawn("history", "--demo", "--limit", "60", stdout=other, stderr=other, stdin=other)
    os.close(other)
    title, *rows = read_terminal(main).split("\r\n")
    os.close(main)
    assert process.wait(timeout=10) == 0
    assert ("image" in title) == (columns == 140)
    assert sum("\x1b[32mcompleted" in row for row in rows) > 30
    assert rows[60].startswith("60 tasks, 2 pages, ")


def test_gateway_in_the_foreground(spawn: Callable[..., Any]) -> None:
    """It prints two lines to paste, serves, and ends quietly on Ctrl-C."""
    process = spawn("gateway", "--items", "7", "--rate", "1000", "--burst", "2", "--past-end", "410")
    lines = [process.stdout.readline().removeprefix("export ").rstrip() for _ in range(2)]
    names = dict(line.split("=", 1) for line in lines)
    request = urllib.request.Request(
        names["APIMALL_BASE_URL"] + "/api/v1/images/history",
        headers={"Authorization": f"Bearer {names['APIMALL_API_KEY']}"},
    )
    with urllib.request.urlopen(request) as response:
        assert len(json.load(response)["data"]["items"]) == 7
    request.full_url += "?page=2"
    with pytest.raises(HTTPError, match="410"):
        urllib.request.urlopen(request)
    process.send_signal(signal.SIGINT)
    out, words = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert words.startswith(f"A gateway of 7 tasks at {names['APIMALL_BASE_URL']}")


async def test_gateway_closes_when_it_is_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    """It is cancelled, as asyncio does on Ctrl-C, and listens no more."""
    stand_in = LocalGateway(1)
    serving = asyncio.create_task(_serve(stand_in))
    while not (out := capsys.readouterr().out):
        await asyncio.sleep(0.001)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert out == (f"export APIMALL_BASE_URL={stand_in.url}\nexport APIMALL_API_KEY={stand_in.api_key}\n")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(stand_in.url.rpartition(":")[2]))


def test_module_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m apimall_async`` runs it, importing it does not."""
    monkeypatch.setattr(sys, "argv", ["__main__.py", "--version"])
    runpy.run_path(str(MODULE))
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(MODULE), run_name="__main__")
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("apimall ")


def test_output_that_cannot_show_a_character_shows_its_number(
    monkeypatch: pytest.MonkeyPatch, gateway: LocalGateway
) -> None:
    """An ASCII terminal is no reason for a traceback."""
    gateway.update(attrs.evolve(gateway.tasks[0], model="\N{SNOWMAN}"))
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "argv", ["apimall", "history", "--limit", "1"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    stdout.seek(0)
    assert "\\u2603" in stdout.read()
