"""The file of what an export has read: one process has it, and no other program's is touched."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from exporting import ids, read_ids

from apimall_async.cli import _checkpoint
from apimall_async.cli._checkpoint import open_checkpoint
from apimall_async.testing import LocalGateway


Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("workplace")


def words_of(result: Result) -> str:
    """Return what the command says when it fails."""
    assert result.exit_code == 1
    return result.stderr


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
def test_a_second_process_is_kept_out(run: Run, gateway: LocalGateway, workplace: Path, option: str) -> None:
    """While one writes, another says so and changes nothing."""
    with open_checkpoint(workplace / "tasks.jsonl.part") as checkpoint:
        checkpoint.append(gateway.tasks[:50])
        words = words_of(run("export", "tasks.jsonl", option))
        assert "tasks.jsonl.part: another process is writing it" in words
        assert len(checkpoint) == 50
    assert gateway.requests == []
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_the_file_of_another_program_is_left_alone(run: Run, gateway: LocalGateway) -> None:
    """Neither a database of another program nor any other file is touched, not even by --overwrite."""
    path = Path("tasks.jsonl.part")
    path.write_text("mine, and no database" * 100)
    words = words_of(run("export", "tasks.jsonl", "--overwrite"))
    assert "tasks.jsonl.part: file is not a database" in words
    assert path.read_text().startswith("mine")
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE tasks (mine)")
    database.close()
    before = path.read_bytes()
    words = words_of(run("export", "tasks.jsonl", "--overwrite"))
    assert "tasks.jsonl.part is another program's database" in words
    assert path.read_bytes() == before


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
def test_the_checkpoint_of_another_version_is_left_alone(
    run: Run, gateway: LocalGateway, option: str
) -> None:
    """That of version 0.1 lacks the unknown fields: it is refused, with what to do."""
    path = Path("tasks.jsonl.part")
    database = sqlite3.connect(path)
    database.executescript(
        "CREATE TABLE tasks (place INTEGER PRIMARY KEY, task_id TEXT NOT NULL UNIQUE, line TEXT NOT NULL);"
        f"PRAGMA application_id = {_checkpoint._OURS};"
    )
    database.close()
    before = path.read_bytes()
    words = words_of(run("export", "tasks.jsonl", option))
    assert "tasks.jsonl.part is of another version of this command: delete it to begin anew" in words
    assert (path.read_bytes(), gateway.requests) == (before, [])
    path.unlink()
    assert run("export", "tasks.jsonl", option).exit_code == 0


def test_a_directory_that_is_not_there(run: Run, gateway: LocalGateway) -> None:
    """It is one line, and the code of a failure."""
    words = words_of(run("export", "nowhere/tasks.jsonl"))
    assert words == "apimall: nowhere/tasks.jsonl.part: unable to open database file\n"


def test_a_full_disk_keeps_what_there_was_room_for(
    gateway: LocalGateway, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page that did not fit is lost as a whole, and those before it are kept."""
    full = "PRAGMA max_page_count = 10;" + _checkpoint._CREATE
    monkeypatch.setattr(_checkpoint, "_CREATE", full)
    path = workplace / "tasks.jsonl.part"
    with pytest.raises(OSError, match="full"), open_checkpoint(path) as checkpoint:
        for start in range(0, 120, 10):
            checkpoint.append(gateway.tasks[start : start + 10])
    with open_checkpoint(path) as checkpoint:
        kept = len(checkpoint)
        assert 0 < kept < 120
        assert kept % 10 == 0
        assert sum(len(lines) for lines in checkpoint.batches()) == kept
