"""The command is started with standard streams closed, as daemons and supervisors do."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from apimall_async.testing import LocalGateway


Spawn = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.usefixtures("workplace")

WITHOUT_STDOUT = 'exec "$@" >&-'
WITHOUT_STDERR = 'exec "$@" 2>&-'
WITHOUT_ANY = 'exec "$@" <&- >&- 2>&-'


@pytest.mark.parametrize("script", [WITHOUT_STDOUT, WITHOUT_ANY])
def test_what_writes_files_works(spawn: Spawn, gateway: LocalGateway, script: str) -> None:
    """Export and download need no stream; what they write into files is what belongs there."""
    assert spawn("export", "tasks.jsonl", script=script).wait(timeout=30) == 0
    lines = Path("tasks.jsonl").read_text().splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == [task.task_id for task in gateway.tasks]
    assert spawn("download", "images", "--limit", "3", script=script).wait(timeout=30) == 0
    assert [one.read_bytes()[:4] for one in Path("images").iterdir()] == [b"<svg"] * 3


@pytest.mark.parametrize("command", [["history"], ["gateway"], ["ui", "--demo"], ["--version"]], ids=" ".join)
def test_what_writes_rows_ends_with_a_line_and_a_code(
    spawn: Spawn, gateway: LocalGateway, command: list[str]
) -> None:
    """Where stdout is closed the rows would be lost: that is an error, and no traceback."""
    process = spawn(*command, script=WITHOUT_STDOUT)
    _, words = process.communicate(timeout=30)
    assert (process.returncode, words.splitlines()[-1]) == (1, "apimall: stdout is closed")
    assert "Traceback" not in words


def test_rows_need_no_stderr(spawn: Spawn, gateway: LocalGateway) -> None:
    """The messages are lost, the rows are not; an error has its code."""
    process = spawn("history", "-f", "jsonl", script=WITHOUT_STDERR)
    rows, _ = process.communicate(timeout=30)
    assert (process.returncode, len(rows.splitlines())) == (0, 120)
    assert spawn("history", "--nonsense", script=WITHOUT_STDERR).wait(timeout=30) == 2


def test_an_error_that_nobody_can_read_has_its_code(spawn: Spawn, gateway: LocalGateway) -> None:
    """Neither the rows nor the message can be written: the disk is full."""
    assert spawn("history", script='exec "$@" >/dev/full 2>/dev/full').wait(timeout=30) == 1
