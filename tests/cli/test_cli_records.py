"""What the command keeps of a record: unknown fields, odd values, and records of another class."""

import csv
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet as parquet_files
import pytest
from click.testing import Result

from apimall_async import Page
from apimall_async._conversion import Record
from apimall_async._extra import extra_field
from apimall_async.cli._checkpoint import Checkpoint, open_checkpoint
from apimall_async.cli._export import _Reader, _Target
from apimall_async.cli._files import KINDS
from apimall_async.testing import Fault, LocalGateway, RecordedRequest


Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("workplace")

MORE: dict[str, Any] = {
    "prompt": 'a "fox",\nand a \N{SNOWMAN}\x1b[2J',
    "seed": [1, 2**70],
    "extra": {"formula": "=1+1", "none": None},
    "=2+3": True,
    "emoji": "\ud83d",  # the half of one
}


def send(gateway: LocalGateway, *items: dict[str, Any]) -> None:
    """Let the gateway send these items, whatever they are."""

    @gateway.rule
    def send_page(request: RecordedRequest) -> Fault:
        page, limit = request.page or 1, request.limit or 20
        data = {"items": items[(page - 1) * limit : page * limit], "page": page, "limit": limit}
        return Fault(body=json.dumps({"success": True, "data": data, "request_id": "req_1"}).encode())


@pytest.fixture
def richer(gateway: LocalGateway) -> LocalGateway:
    """Let the gateway send more fields than this version knows, with every task but the first."""
    first, *others = [task.to_dict() for task in gateway.tasks]
    send(gateway, first, *[task | MORE for task in others])
    return gateway


def check_csv(text: str, gateway: LocalGateway) -> None:
    """Unknown fields are JSON in the last column, which is empty where there are none."""
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0])[-1] == "extra"
    assert [row["task_id"] for row in rows] == [task.task_id for task in gateway.tasks]
    assert rows[0]["extra"] == ""
    assert all(json.loads(row["extra"]) == MORE for row in rows[1:])


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_history_shows_unknown_fields(run: Run, richer: LocalGateway, form: str) -> None:
    """In JSON they stand under their own names, after those that are known."""
    text = run("history", "--format", form).stdout
    first, *others = json.loads(text) if form == "json" else map(json.loads, text.splitlines())
    assert first == richer.tasks[0].to_dict()
    assert others == [task.to_dict() | MORE for task in richer.tasks[1:]]
    assert list(others[0]) == [*richer.tasks[1].to_dict(), *MORE]


def test_history_shows_unknown_fields_in_csv(run: Run, richer: LocalGateway) -> None:
    """They are one column, whatever their names and values are."""
    check_csv(run("history", "--format", "csv").stdout, richer)


def test_the_table_has_no_column_for_unknown_fields(run: Run, richer: LocalGateway) -> None:
    """It shows what it showed before."""
    table = run("history").stdout
    richer._rules.clear()
    assert table == run("history").stdout


def test_exports_keep_unknown_fields(run: Run, richer: LocalGateway) -> None:
    """In .jsonl under their own names; in .csv and .parquet as JSON, in one column."""
    for suffix in KINDS:
        assert run("export", f"tasks{suffix}").exit_code == 0
    assert Path("tasks.jsonl").read_text() == run("history", "--format", "jsonl").stdout
    check_csv(Path("tasks.csv").read_text(), richer)
    first, *others = parquet_files.read_table("tasks.parquet").column("extra").to_pylist()
    assert first is None
    assert len(others) == 119
    assert all(json.loads(extra) == MORE for extra in others)


def test_half_of_a_surrogate_pair_is_written(run: Run, gateway: LocalGateway) -> None:
    """No format fails; JSON keeps it, escaped, and where text must be UTF-8 it is replaced."""
    task = gateway.tasks[0].to_dict() | {"model": "fox \ud83d"}
    send(gateway, task)
    for suffix in KINDS:
        assert run("export", f"task{suffix}").exit_code == 0
    assert json.loads(Path("task.jsonl").read_text()) == task
    assert "fox \N{REPLACEMENT CHARACTER}," in Path("task.csv").read_text()
    (row,) = parquet_files.read_table("task.parquet").to_pylist()
    assert row["model"] == "fox \N{REPLACEMENT CHARACTER}"
    assert "fox \N{REPLACEMENT CHARACTER}" in run("history").stdout


@attrs.frozen
class AudioTask(Record):
    """An item of another list: of a task of today it has the id and the time, and other fields."""

    task_id: str
    created_at: datetime
    seconds: float
    loop: bool
    voice: str | None = None
    extra: Mapping[str, Any] = extra_field()


def make_audio(number: int, **more: Any) -> AudioTask:
    """Make a task, the older the higher its number."""
    created_at = datetime(2026, 3, 12, tzinfo=UTC) - timedelta(minutes=number)
    return AudioTask(f"aud_{number}", created_at, number / 8, loop=number % 2 == 0, **more)


AUDIO = [
    make_audio(0, extra={"mood": "=calm"}),
    *map(make_audio, range(1, 119)),
    make_audio(119, voice="+Ada"),
]


async def iterate_audio(*, start_page: int = 1, **_: Any) -> AsyncGenerator[Page[AudioTask]]:
    """Stand for a client's pages of this list."""
    for page in range(start_page, 4):
        yield Page(tuple(AUDIO[(page - 1) * 50 : page * 50]), page, 50, "req_1")


async def export_audio(checkpoint: Checkpoint, suffix: str) -> Path:
    """Export as the command does."""
    target = _Target(Path(f"audio{suffix}"), KINDS[suffix], AudioTask, replace=False)
    await _Reader(iterate_audio, checkpoint, read_ahead=0, on_page=lambda _: None).complete()
    await target.write(checkpoint)
    return target.file


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("kept", [0, 60])
async def test_another_class_of_records_is_exported(suffix: str, kept: int) -> None:
    """By its own fields, in one run or in two; nothing is written twice for a second list."""
    with open_checkpoint(Path("audio.part"), AudioTask) as checkpoint:
        checkpoint.append(AUDIO[:kept])
        file = await export_audio(checkpoint, suffix)
    if suffix == ".jsonl":
        assert [AudioTask.from_json(line) for line in file.read_text().splitlines()] == AUDIO
    elif suffix == ".csv":
        header, first, *_, last = file.read_text().splitlines()
        assert header == "task_id,created_at,seconds,loop,voice,extra"
        assert first == 'aud_0,2026-03-12T00:00:00.000Z,0.0,True,,"{""mood"":""=calm""}"'
        assert last == "aud_119,2026-03-11T22:01:00.000Z,14.875,False,'+Ada,"
    else:
        table = parquet_files.read_table(file)
        assert [str(field.type) for field in table.schema] == [
            *("string", "timestamp[us, tz=UTC]", "double", "bool", "string", "string")
        ]
        assert [field.name for field in table.schema if field.nullable] == ["voice", "extra"]
        rows = [row | {"extra": json.loads(row["extra"] or "{}")} for row in table.to_pylist()]
        assert [AudioTask(**row) for row in rows] == AUDIO


@pytest.mark.parametrize("suffix", KINDS)
def test_times_that_no_other_zone_has_are_exported(run: Run, gateway: LocalGateway, suffix: str) -> None:
    """The first and the last hours of the calendar end no export."""
    first, second, *_ = [task.to_dict() for task in gateway.tasks]
    first["completed_at"] = "0001-01-01T00:00:00.000+14:00"
    second["completed_at"] = "9999-12-31T23:59:59.000-14:00"
    send(gateway, first, second)
    assert run("export", f"tasks{suffix}", "--retry-for", "0").exit_code == 0
    if suffix == ".jsonl":
        assert [json.loads(line) for line in Path("tasks.jsonl").read_text().splitlines()] == [first, second]
