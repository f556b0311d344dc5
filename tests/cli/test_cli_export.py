"""What ``apimall export`` leaves on the disk, whatever ends it and whatever happens meanwhile."""

import csv
import io
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pyarrow.parquet as parquet_files
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async import ImageTask
from apimall_async.cli import _export, _part, _progress
from apimall_async.cli._app import apimall
from apimall_async.cli._part import Part, open_part
from apimall_async.testing import Fault, LocalGateway, RecordedRequest


Run = Callable[..., Result]
Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def directory(workplace: Path) -> Path:
    """Export where nothing is yet."""
    return workplace


def ids(tasks: Sequence[ImageTask]) -> list[str]:
    """List the ids."""
    return [task.task_id for task in tasks]


def read_ids(file: str | Path) -> list[str]:
    """Read the ids of an exported .jsonl."""
    return [json.loads(line)["task_id"] for line in Path(file).read_text().splitlines()]


def check(written: list[str], gateway: LocalGateway, ever: list[str]) -> None:
    """Every task that stayed, once, newest first; besides these only such as were read and then deleted."""
    assert len(set(written)) == len(written), "a task was written twice"
    now = ids(gateway.tasks)
    assert [one for one in written if one in set(now)] == now, "a task is missing, or out of order"
    places = [ever.index(one) for one in written]
    assert places == sorted(places), "a deleted task is out of order"


@contextmanager
def serving(tasks: int, **options: Any) -> Generator[LocalGateway]:
    """Run a gateway that the environment names."""
    with LocalGateway(tasks, **options).in_thread() as gateway, pytest.MonkeyPatch.context() as patch:
        patch.setenv("APIMALL_API_KEY", gateway.api_key)
        patch.setenv("APIMALL_BASE_URL", gateway.url)
        yield gateway


def break_after(gateway: LocalGateway, answers: int) -> None:
    """Let so many requests pass, and refuse the next."""
    gateway.fault(*[Fault()] * answers, Fault.error(401))


# --- what is written ------------------------------------------------------------------------------------


def test_jsonl_is_what_history_writes(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """Every task a line, the same as of ``apimall history``; nothing else is left behind."""
    result = run("export", "tasks.jsonl")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "tasks.jsonl: 120 tasks, 3 pages read\n"
    assert Path("tasks.jsonl").read_text() == run("history", "-f", "jsonl").stdout
    assert [path.name for path in directory.iterdir()] == ["tasks.jsonl"]


def test_csv_is_what_history_writes(run: Run, gateway: LocalGateway) -> None:
    """The same header and cells, formulas made text included."""
    gateway.update(attrs.evolve(gateway.tasks[7], model='=cmd("x",\n1)'))
    assert run("export", "TASKS.CSV").exit_code == 0
    with Path("TASKS.CSV").open(newline="") as file:
        text = file.read()
    assert text == run("history", "-f", "csv").stdout
    assert [row["task_id"] for row in csv.DictReader(io.StringIO(text))] == ids(gateway.tasks)


def test_parquet_has_types(run: Run, gateway: LocalGateway) -> None:
    """Times are UTC to the microsecond, credits integers, the rest text; what may be missing is null."""
    odd = datetime(2026, 3, 12, 9, 0, 0, 1, timezone(timedelta(hours=14)))
    gateway.update(attrs.evolve(gateway.tasks[7], created_at=odd, model="\0\N{SNOWMAN}"))
    assert run("export", "tasks.parquet").exit_code == 0
    table = parquet_files.read_table("tasks.parquet")
    assert [f"{field.name} {field.type}" for field in table.schema] == [
        "task_id string",
        "model string",
        "source string",
        "created_at timestamp[us, tz=UTC]",
        "status string",
        "credits_used int64",
        "image_url string",
        "credits_refunded int64",
        "completed_at timestamp[us, tz=UTC]",
    ]
    assert [field.name for field in table.schema if field.nullable] == [
        "image_url",
        "credits_refunded",
        "completed_at",
    ]
    assert [ImageTask(**row) for row in table.to_pylist()] == gateway.tasks


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_an_empty_history_is_a_whole_file(run: Run, gateway: LocalGateway, suffix: str) -> None:
    """It has its header or its types, and no task."""
    gateway.delete(*ids(gateway.tasks))
    result = run("export", f"tasks.{suffix}")
    assert result.stderr == f"tasks.{suffix}: 0 tasks, 0 pages read\n"
    data = Path(f"tasks.{suffix}").read_bytes()
    if suffix == "parquet":
        assert parquet_files.read_table("tasks.parquet").num_rows == 0
    else:
        assert data.count(b"\n") == (suffix == "csv")


def test_demo(run: Run, gateway: LocalGateway) -> None:
    """--demo needs nothing else."""
    assert run("export", "tasks.jsonl", "--demo").exit_code == 0
    assert len(read_ids("tasks.jsonl")) == 240
    assert gateway.requests == []


# --- what is left alone ---------------------------------------------------------------------------------


def test_a_file_is_not_overwritten_unless_told(run: Run, gateway: LocalGateway) -> None:
    """The file stays as it is, and nothing is asked; --overwrite replaces it."""
    Path("tasks.jsonl").write_text("mine")
    result = run("export", "tasks.jsonl")
    assert result.exit_code == 2
    assert "tasks.jsonl exists: --overwrite replaces it" in result.stderr
    assert (Path("tasks.jsonl").read_text(), gateway.requests) == ("mine", [])
    assert run("export", "tasks.jsonl", "--overwrite").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_overwriting_keeps_the_file_until_the_new_one_is_whole(run: Run, gateway: LocalGateway) -> None:
    """A failure leaves the old file; --resume then finishes the new one."""
    Path("tasks.jsonl").write_text("mine")
    break_after(gateway, 2)
    assert run("export", "tasks.jsonl", "--overwrite", "--read-ahead", "0").exit_code == 3
    assert Path("tasks.jsonl").read_text() == "mine"
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_a_file_that_appears_meanwhile_is_not_overwritten(run: Run, gateway: LocalGateway) -> None:
    """Neither at the start nor at the end."""

    @gateway.rule
    def appear(_: RecordedRequest) -> None:
        Path("tasks.jsonl").write_text("mine")

    result = run("export", "tasks.jsonl")
    assert result.exit_code == 1
    assert "tasks.jsonl has appeared meanwhile" in result.stderr
    assert Path("tasks.jsonl").read_text() == "mine"
    gateway._rules.clear()
    Path("tasks.jsonl").unlink()
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0


def test_an_unfinished_run_is_not_thrown_away_unless_told(run: Run, gateway: LocalGateway) -> None:
    """What it read is neither lost nor taken for the whole; --overwrite begins anew."""
    break_after(gateway, 2)
    run("export", "tasks.jsonl", "--read-ahead", "0")
    result = run("export", "tasks.jsonl")
    assert result.exit_code == 2
    assert "tasks.jsonl.part is of an unfinished run: --resume or --overwrite" in result.stderr
    asked = len(gateway.requests)
    assert run("export", "tasks.jsonl", "--overwrite").exit_code == 0
    assert len(gateway.requests) - asked >= 3
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_a_failure_before_the_first_page_leaves_nothing(
    run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """A refused key is no run to be resumed."""
    break_after(gateway, 0)
    result = run("export", "tasks.jsonl")
    assert result.exit_code == 3
    assert "kept" not in result.stderr
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tasks.json"], "FILE must end in .jsonl, .csv, .parquet"),
        (["tasks"], "FILE must end in"),
        (["."], "is a directory"),
        (["tasks.csv", "--resume", "--overwrite"], "choose one"),
        (["tasks.csv", "--read-ahead", "65"], "65 is not in the range"),
    ],
)
def test_wrong_usage(
    run: Run, gateway: LocalGateway, directory: Path, arguments: list[str], words: str
) -> None:
    """It is told before any request, and nothing is written."""
    result = run("export", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert (gateway.requests, list(directory.iterdir())) == ([], [])


def test_parquet_needs_an_extra(run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow one line says what to install, before any request; the others do without."""
    monkeypatch.setattr(_export, "find_spec", lambda _: None)
    result = run("export", "tasks.parquet")
    assert result.exit_code == 2
    assert "parquet needs an extra: pip install 'apimall-async[parquet]'" in result.stderr
    assert gateway.requests == []
    assert run("export", "tasks.csv").exit_code == 0


def test_a_name_cannot_steer_the_terminal(run: Run, gateway: LocalGateway) -> None:
    """Its control characters are not shown."""
    assert "\x1b" not in run("export", "\x1b[2J.jsonl").stderr


# --- two processes, and files of others -----------------------------------------------------------------


def words_of(result: Result) -> str:
    """Return what the command says when it fails."""
    assert result.exit_code == 1
    return result.stderr


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
def test_a_second_process_is_kept_out(run: Run, gateway: LocalGateway, directory: Path, option: str) -> None:
    """While one writes, another says so and changes nothing."""
    with open_part(directory / "tasks.jsonl.part") as part:
        part.append(gateway.tasks[:50])
        words = words_of(run("export", "tasks.jsonl", option))
        assert "tasks.jsonl.part: another process is writing it" in words
        assert len(part) == 50
    assert gateway.requests == []
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_a_stranger_s_file_is_left_alone(run: Run, gateway: LocalGateway) -> None:
    """Neither a database of another program nor any other file is touched, even if told to overwrite."""
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


def test_a_directory_that_is_not_there(run: Run, gateway: LocalGateway) -> None:
    """It is one line, and the code of a failure."""
    words = words_of(run("export", "nowhere/tasks.jsonl"))
    assert words == "apimall: nowhere/tasks.jsonl.part: unable to open database file\n"


def test_a_full_disk_keeps_what_there_was_room_for(
    gateway: LocalGateway, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page that did not fit is lost as a whole, and those before it are kept."""
    full = "PRAGMA max_page_count = 10;" + _part._CREATE
    monkeypatch.setattr(_part, "_CREATE", full)
    path = directory / "tasks.jsonl.part"
    with pytest.raises(OSError, match="full"), open_part(path) as part:
        for start in range(0, 120, 10):
            part.append(gateway.tasks[start : start + 10])
    with open_part(path) as part:
        kept = len(part)
        assert 0 < kept < 120
        assert kept % 10 == 0
        assert sum(len(lines) for lines in part.batches()) == kept


# --- going on -------------------------------------------------------------------------------------------


def test_resuming_begins_if_there_is_nothing_and_ends_if_all_is_done(run: Run, gateway: LocalGateway) -> None:
    """A script can pass --resume each time."""
    assert run("export", "tasks.csv", "--resume").exit_code == 0
    asked = len(gateway.requests)
    result = run("export", "tasks.csv", "--resume")
    assert (result.exit_code, result.stderr) == (0, "tasks.csv is whole already\n")
    assert len(gateway.requests) == asked


def test_resuming_does_not_read_again(run: Run) -> None:
    """Where nothing changed at depth, it takes what is new at the head, what is missing, and two pages."""
    with serving(2_000) as gateway:
        break_after(gateway, 40)
        result = run("export", "tasks.jsonl", "--read-ahead", "0")
        assert result.stderr.startswith("1672 tasks kept in tasks.jsonl.part: go on with --resume\n")
        born = gateway.insert_new(60)
        del gateway.requests[:]
        assert run("export", "tasks.jsonl", "--resume", "--read-ahead", "0").exit_code == 0
    assert len(gateway.requests) <= 2 + 2 + (2_000 - 1_672) // 40 + 1
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)
    assert ids(gateway.tasks)[:60] == ids(born)


@pytest.mark.parametrize("deleted", [slice(0, 90), slice(30, 140), slice(0, 140), slice(100, 200)])
@pytest.mark.parametrize("cap", [50, 20])
def test_resuming_finds_its_place_though_tasks_are_gone(run: Run, deleted: slice, cap: int) -> None:
    """Wherever they were deleted, and however few tasks a page the gateway serves."""
    with serving(300, max_limit=cap) as gateway:
        gateway.rule(lambda request: Fault.error(401) if (request.page or 0) * request.limit > 160 else None)
        assert run("export", "tasks.jsonl", "--read-ahead", "0").exit_code == 3
        gateway._rules.clear()
        ever = ids(gateway.tasks)
        gateway.delete(*ever[deleted])
        ever = ids(gateway.insert_new(3)) + ever
        assert run("export", "tasks.jsonl", "--resume").exit_code == 0
        check(read_ids("tasks.jsonl"), gateway, ever)


def test_what_a_task_was_when_it_was_read_stays(run: Run, gateway: LocalGateway) -> None:
    """A resumed run does not look again at what was written."""
    break_after(gateway, 2)
    run("export", "tasks.jsonl", "--read-ahead", "0")
    before = gateway.tasks[0]
    gateway.update(attrs.evolve(before, status="completed"))
    run("export", "tasks.jsonl", "--resume")
    assert json.loads(Path("tasks.jsonl").read_text().splitlines()[0])["status"] == before.status


def test_another_account_s_history_is_not_mixed_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If nothing of what was read is there, the run fails and the part stays as it was."""
    with serving(120, accounts={"sk-2": 120}) as gateway:
        break_after(gateway, 2)
        run("export", "tasks.jsonl", "--read-ahead", "0")
        monkeypatch.setenv("APIMALL_API_KEY", "sk-2")
        result = run("export", "tasks.jsonl", "--resume")
        assert result.exit_code == 1
        assert "no task that was read before is in this history" in result.stderr
        assert result.stderr.startswith("98 tasks kept in tasks.jsonl.part")
        monkeypatch.setenv("APIMALL_API_KEY", gateway.api_key)
        assert run("export", "tasks.jsonl", "--resume").exit_code == 0
        assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_a_history_that_cannot_be_caught_is_an_error(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If time and again no page shows what was read a moment ago, the run fails and keeps what it has."""
    break_after(gateway, 2)
    run("export", "tasks.jsonl", "--read-ahead", "0")
    with monkeypatch.context() as patch:
        patch.setattr(Part, "from_known", lambda *_: [])
        result = run("export", "tasks.jsonl", "--resume")
        assert result.exit_code == 1
        assert "the history moved on too fast" in result.stderr
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_births_at_the_very_moment_are_left_for_later(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task born after the head was read is not put behind others."""
    gateway.delete(*ids(gateway.tasks)[30:])
    break_after(gateway, 0)
    with open_part(Path("tasks.jsonl.part")) as part:
        part.append(gateway.tasks[:20])
    run("export", "tasks.jsonl", "--resume")
    before = ids(gateway.tasks)
    asked = len(gateway.requests)

    @gateway.rule
    def bear(_: RecordedRequest) -> None:
        if len(gateway.requests) == asked + 2:
            gateway.insert_new(2)

    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == before


# --- being killed ---------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(data=st.data())
def test_resuming_after_a_kill_at_any_moment(data: st.DataObject) -> None:
    """Whatever the kill left, even of a page just being written: all that stays is there once, in order.

    What a kill leaves are the files as they are at that moment: they are copied while an answer is
    awaited. A log cut at any byte is what a kill, or a power cut, in the middle of writing leaves.
    """
    killed_at = data.draw(st.integers(1, 8), "killed at request")
    with TemporaryDirectory() as name, serving(260) as gateway:
        here, kept = Path(name, "here"), Path(name, "kept")
        here.mkdir()
        gateway.rule(lambda _: _snapshot(here, kept) if len(gateway.requests) == killed_at else None)
        arguments = ["export", str(here / "tasks.jsonl"), "--read-ahead", "0"]
        ever = ids(gateway.tasks)
        for options in ([], ["--resume"]):
            assert _invoke(*arguments, *options) == 0
            shutil.rmtree(here)
            kept.rename(here) if kept.exists() else here.mkdir()
            if (log := here / "tasks.jsonl.part-wal").exists():
                with log.open("rb+") as file:
                    file.truncate(data.draw(st.integers(0, log.stat().st_size), "bytes of the log"))
            gone = data.draw(st.sets(st.sampled_from(ids(gateway.tasks)), max_size=40), "deleted")
            gateway.delete(*gone)
            ever = ids(gateway.insert_new(data.draw(st.sampled_from([0, 1, 60]), "born"))) + ever
            del gateway.requests[:]
        gateway._rules.clear()
        assert _invoke(*arguments, "--resume") == 0
        check(read_ids(here / "tasks.jsonl"), gateway, ever)


def _snapshot(here: Path, kept: Path) -> None:
    shutil.copytree(here, kept)


def _invoke(*arguments: str) -> int:
    return CliRunner().invoke(apimall, arguments).exit_code


def test_kill_9_in_mid_export_twice(spawn: Spawn, run: Run, gateway: LocalGateway) -> None:
    """With births and deletions after each kill, --resume ends with every task once, checked id by id."""
    gateway.insert_new(400)
    gateway.latency = 0.01
    ever = ids(gateway.tasks)
    for options, requests in (([], 6), (["--resume"], 9)):
        del gateway.requests[:]
        process = spawn("export", "tasks.jsonl", "--read-ahead", "2", *options)
        while len(gateway.requests) < requests:
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.001)
        process.kill()
        assert process.wait(timeout=10) == -signal.SIGKILL
        assert not Path("tasks.jsonl").exists()
        assert Path("tasks.jsonl.part").exists()
        gateway.delete(*ids(gateway.tasks)[5:300:7], ids(gateway.tasks)[-1])
        ever = ids(gateway.insert_new(70)) + ever
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    check(read_ids("tasks.jsonl"), gateway, ever)
    assert sorted(path.name for path in Path().iterdir()) == ["tasks.jsonl"]


def test_kill_9_while_the_file_is_written(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    """A half-written draft is not the file; the next run makes it anew of the part."""
    with open_part(directory / "tasks.jsonl.part") as part:
        part.append(gateway.tasks)
    Path("tasks.jsonl.part.tmp").write_text('{"task_id": "img_')
    gateway.insert_new(1)
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)
    assert [path.name for path in directory.iterdir()] == ["tasks.jsonl"]


def test_an_interrupt_says_how_to_go_on(spawn: Spawn, gateway: LocalGateway) -> None:
    """Ctrl-C ends with 130 and one line; --resume asks for what is missing."""
    gateway.fault(Fault(), Fault.stall())
    process = spawn("export", "tasks.jsonl", "--read-ahead", "0")
    while len(gateway.requests) < 2:
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    words = process.communicate(timeout=10)[1]
    assert (process.returncode, words) == (130, "50 tasks kept in tasks.jsonl.part: go on with --resume\n")
    del gateway.requests[:]
    assert spawn("export", "tasks.jsonl", "--resume", "--read-ahead", "0").wait(timeout=10) == 0
    assert len(gateway.requests) == 4
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


# --- what it costs --------------------------------------------------------------------------------------


_MEASURE = """
import re, sys
from pathlib import Path
from apimall_async.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
def test_memory_is_flat() -> None:
    """An export of 50 000 tasks needs no more than one of 20 000: caches are full by then."""

    def measure(tasks: int) -> int:
        with serving(tasks):
            command = [sys.executable, "-c", _MEASURE, "export", f"{tasks}.csv", "--read-ahead", "4"]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return int(out)

    assert measure(50_000) - measure(20_000) < 1_500  # kB; 50 bytes a task would show


def test_progress_is_shown_on_a_terminal(
    gateway: LocalGateway, terminal: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages, tasks and rate while it reads, why it waits, and what it does at the end."""
    monkeypatch.setattr(_progress, "_DELAY", 0.0)
    monkeypatch.setenv("COLUMNS", "120")
    gateway.latency = 0.15
    gateway.fault(Fault(), Fault.error(500))
    out, err = terminal(), terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    apimall.main(["export", "tasks.jsonl", "--read-ahead", "0"], standalone_mode=False)
    shown = err.getvalue()
    for words in ("waiting for the gateway", "1 page · 50 tasks · ", " tasks/s", "trying again in 0."):
        assert words in shown
    assert shown.count("\x1b[?25l") == 1  # one line, from begin to end
    assert shown.endswith("tasks.jsonl: 120 tasks, 3 pages read\n")
    assert out.getvalue() == ""
