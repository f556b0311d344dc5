"""The file of what an export has read: one process has it, and no other program's is touched."""

import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import attrs
import pytest
from click.testing import Result
from exporting import break_after, ids, read_ids, serving

from apimall_async import ImageTask
from apimall_async.cli import _checkpoint
from apimall_async.cli._checkpoint import open_checkpoint
from apimall_async.testing import LocalGateway, sample_history


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


def test_a_checkpoint_of_other_fields_is_left_alone(workplace: Path, gateway: LocalGateway) -> None:
    """Its lines lack what this version writes: they are not mixed, whatever the version's number."""

    @attrs.frozen
    class OtherTask(ImageTask):
        width: int | None = None

    path = workplace / "tasks.csv.part"
    path.write_bytes(unfinished(gateway.tasks))
    with pytest.raises(OSError, match="another version"), open_checkpoint(path, OtherTask):
        pass  # pragma: no cover


def unfinished(tasks: Sequence[ImageTask]) -> bytes:
    """Return the file that a run which ended early leaves: some tasks read at first, some put before them."""
    path = Path("unfinished.part")
    with open_checkpoint(path) as checkpoint:
        checkpoint.append(tasks[50:])
        with checkpoint.transaction():
            checkpoint.prepend(tasks[:50], checkpoint.first)
    content = path.read_bytes()
    path.unlink()
    return content


def test_any_wrong_byte_is_noticed_or_does_no_harm(workplace: Path) -> None:
    """Wherever it is, and if the file is cut there: an error in words, or every line as it was written."""
    tasks = sample_history(200)
    content = unfinished(tasks)
    numbers = random.Random(1)
    path = workplace / "tasks.jsonl.part"
    noticed = 0
    for number in range(300):
        position = numbers.randrange(len(content) if number % 2 else 4096)  # half of them in the first page
        rest = b"" if number % 10 == 0 else content[position + 1 :]
        path.write_bytes(content[:position] + numbers.randbytes(1) + rest)
        try:
            with open_checkpoint(path) as checkpoint:
                lines = [line for lines in checkpoint.batches() for line in lines]
        except OSError:
            noticed += 1
        else:
            assert lines == [task.to_json() for task in tasks], position
        path.unlink()
    assert noticed > 100


def test_any_wrong_byte_in_the_log_loses_the_last_pages_at_most(workplace: Path) -> None:
    """What a killed run had not yet moved from the log to the file; the next run reads on from there."""
    tasks = sample_history(500)
    path, log = workplace / "tasks.jsonl.part", workplace / "tasks.jsonl.part-wal"
    with open_checkpoint(path) as checkpoint:
        for start in range(0, 500, 50):
            checkpoint.append(tasks[start : start + 50])
        files = path.read_bytes(), log.read_bytes()
    numbers = random.Random(1)
    kept = set()
    for _ in range(30):
        path.write_bytes(files[0])
        position = numbers.randrange(len(files[1]))
        log.write_bytes(files[1][:position] + b"\0" + files[1][position + 1 :])
        with open_checkpoint(path) as checkpoint:
            lines = [line for lines in checkpoint.batches() for line in lines]
        assert lines == [task.to_json() for task in tasks[: len(lines)]]
        kept.add(len(lines))
        path.unlink(missing_ok=True)
    assert {number % 50 for number in kept} == {0}
    assert len(kept) > 5


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("byte", [b"\xff", b'"', b"x"], ids=["no UTF-8", "no JSON", "another model"])
def test_a_damaged_checkpoint_is_named_as_such(run: Run, byte: bytes, suffix: str) -> None:
    """In every format; nothing is written, and once it is deleted the command begins anew."""
    path = Path(f"tasks.{suffix}.part")
    with serving(300) as gateway:
        break_after(gateway, 4)
        assert run("export", f"tasks.{suffix}").exit_code == 3
        path.write_bytes(path.read_bytes().replace(b"nano-banana", byte + b"ano-banana", 1))
        requests = len(gateway.requests)
        words = words_of(run("export", f"tasks.{suffix}", "--resume"))
        assert words == f"apimall: tasks.{suffix}.part is damaged: delete it to begin anew\n"
        assert (Path(f"tasks.{suffix}").exists(), len(gateway.requests)) == (False, requests)
        path.unlink()
        assert run("export", f"tasks.{suffix}", "--resume").exit_code == 0


def test_a_line_that_changes_during_the_run_is_noticed(run: Run) -> None:
    """Each is compared with its checksum once more when it is written out."""
    with open_checkpoint(Path("tasks.jsonl.part")) as checkpoint:
        checkpoint.append(sample_history(3))
        checkpoint._database.execute("UPDATE records SET line = x'00' WHERE position = 2")
        with pytest.raises(sqlite3.DatabaseError):
            list(checkpoint.batches())
        checkpoint.finished = True


def test_a_damaged_table_is_noticed(run: Run, gateway: LocalGateway) -> None:
    """The file is sound, and has another table than ours."""
    path = Path("tasks.jsonl.part")
    path.write_bytes(unfinished(gateway.tasks))
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE records RENAME TO others")
    assert words_of(run("export", "tasks.jsonl", "--resume")).endswith(
        "is damaged: delete it to begin anew\n"
    )


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
