"""What ``apimall export`` writes, what it leaves alone, and what it costs."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import attrs
import pyarrow.parquet as parquet_files
import pytest
from click.testing import Result
from exporting import break_after, ids, read_ids, serving

from apimall_async import ImageTask
from apimall_async.cli import _export, _progress
from apimall_async.cli._app import apimall
from apimall_async.testing import Fault, LocalGateway, RecordedRequest


Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("workplace")


def test_jsonl_is_what_history_writes(run: Run, gateway: LocalGateway, workplace: Path) -> None:
    """Every task a line, the same as of ``apimall history``; nothing else is left behind."""
    result = run("export", "tasks.jsonl")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "tasks.jsonl: 120 tasks, 3 pages read\n"
    assert Path("tasks.jsonl").read_text() == run("history", "-f", "jsonl").stdout
    assert [path.name for path in workplace.iterdir()] == ["tasks.jsonl"]


def test_csv_is_what_history_writes(run: Run, gateway: LocalGateway) -> None:
    """The same header and cells, formulas made text included."""
    gateway.update(attrs.evolve(gateway.tasks[7], model='=cmd("x",\n1)'))
    assert run("export", "TASKS.CSV").exit_code == 0
    with Path("TASKS.CSV").open(newline="") as file:
        text = file.read()
    assert text == run("history", "-f", "csv").stdout
    assert [row["task_id"] for row in csv.DictReader(io.StringIO(text))] == ids(gateway.tasks)


def test_parquet_has_types(run: Run, gateway: LocalGateway) -> None:
    """Times are UTC to the microsecond, credits integers, the rest text; what can be missing is null."""
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
        "extra string",
    ]
    assert [field.name for field in table.schema if field.nullable] == [
        "image_url",
        "credits_refunded",
        "completed_at",
        "extra",
    ]
    rows = table.to_pylist()
    assert {row.pop("extra") for row in rows} == {None}
    assert [ImageTask(**row) for row in rows] == gateway.tasks


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


def test_a_file_is_not_overwritten_by_default(run: Run, gateway: LocalGateway) -> None:
    """The file stays as it is, and nothing is requested; --overwrite replaces it."""
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


def test_an_unfinished_run_is_not_thrown_away_by_default(run: Run, gateway: LocalGateway) -> None:
    """What it read is neither lost nor taken for the whole; --overwrite begins anew."""
    break_after(gateway, 2)
    run("export", "tasks.jsonl", "--read-ahead", "0")
    result = run("export", "tasks.jsonl")
    assert result.exit_code == 2
    assert "tasks.jsonl.part is of an unfinished run: --resume or --overwrite" in result.stderr
    before = len(gateway.requests)
    assert run("export", "tasks.jsonl", "--overwrite").exit_code == 0
    assert len(gateway.requests) - before >= 3
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_a_failure_before_the_first_page_leaves_nothing(
    run: Run, gateway: LocalGateway, workplace: Path
) -> None:
    """A refused key is no run to be resumed."""
    break_after(gateway, 0)
    result = run("export", "tasks.jsonl")
    assert result.exit_code == 3
    assert "kept" not in result.stderr
    assert list(workplace.iterdir()) == []


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
    run: Run, gateway: LocalGateway, workplace: Path, arguments: list[str], words: str
) -> None:
    """It is reported before any request, and nothing is written."""
    result = run("export", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert (gateway.requests, list(workplace.iterdir())) == ([], [])


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


_MEASURE = """
import re, sys
from pathlib import Path
from apimall_async.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux counts it")
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
    for words in ("waiting for the gateway", "1 page · 50 tasks · ", " tasks/s", "retry 2 of 8 in 1 s: "):
        assert words in shown
    assert shown.count("\x1b[?25l") == 1  # one line, from begin to end
    assert shown.endswith("tasks.jsonl: 120 tasks, 3 pages read\n")
    assert out.getvalue() == ""
