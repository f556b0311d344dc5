"""What ``apimall export --resume`` makes of a run that ended early, whatever ended it."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest
from click.testing import CliRunner, Result
from exporting import break_after, check, ids, read_ids, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async.cli._app import apimall
from apimall_async.cli._checkpoint import Checkpoint, open_checkpoint
from apimall_async.testing import Fault, LocalGateway, RecordedRequest


Run = Callable[..., Result]
Spawn = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.usefixtures("workplace")


def test_resuming_begins_if_there_is_nothing_and_ends_if_all_is_done(run: Run, gateway: LocalGateway) -> None:
    """A script can pass --resume each time."""
    assert run("export", "tasks.csv", "--resume").exit_code == 0
    before = len(gateway.requests)
    result = run("export", "tasks.csv", "--resume")
    assert (result.exit_code, result.stderr) == (0, "tasks.csv is whole already\n")
    assert len(gateway.requests) == before


def test_resuming_does_not_read_again(run: Run) -> None:
    """Where nothing changed at depth, it takes what is new, what is missing, and two pages."""
    with serving(2_000) as gateway:
        break_after(gateway, 40)
        result = run("export", "tasks.jsonl", "--read-ahead", "0")
        assert result.stderr.startswith("1672 tasks kept in tasks.jsonl.part: go on with --resume\n")
        new = gateway.insert_new(60)
        del gateway.requests[:]
        assert run("export", "tasks.jsonl", "--resume", "--read-ahead", "0").exit_code == 0
    assert len(gateway.requests) <= 2 + 2 + (2_000 - 1_672) // 40 + 1
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)
    assert ids(gateway.tasks)[:60] == ids(new)


@pytest.mark.parametrize("deleted", [slice(0, 90), slice(30, 140), slice(0, 140), slice(100, 200)])
@pytest.mark.parametrize("cap", [50, 20])
def test_resuming_finds_its_position_though_tasks_are_gone(run: Run, deleted: slice, cap: int) -> None:
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
    """If nothing of what was read is there, the run fails and the checkpoint stays as it was."""
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
        patch.setattr(Checkpoint, "from_known", lambda *_: [])
        result = run("export", "tasks.jsonl", "--resume")
        assert result.exit_code == 1
        assert "the history changed too fast" in result.stderr
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)


def test_new_tasks_of_the_very_moment_are_left_for_later(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task created after the newest were read is not put behind others."""
    gateway.delete(*ids(gateway.tasks)[30:])
    break_after(gateway, 0)
    with open_checkpoint(Path("tasks.jsonl.part")) as checkpoint:
        checkpoint.append(gateway.tasks[:20])
    run("export", "tasks.jsonl", "--resume")
    expected = ids(gateway.tasks)
    before = len(gateway.requests)

    @gateway.rule
    def create(_: RecordedRequest) -> None:
        if len(gateway.requests) == before + 2:
            gateway.insert_new(2)

    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == expected


@settings(max_examples=30)
@given(data=st.data())
def test_resuming_after_a_kill_at_any_moment(data: st.DataObject) -> None:
    """Whatever the kill left, even of a page just being written: all that stays is there once, in order.

    What a kill leaves are the files as they are at that moment: they are copied while a response is
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
            ever = ids(gateway.insert_new(data.draw(st.sampled_from([0, 1, 60]), "created"))) + ever
            del gateway.requests[:]
        gateway._rules.clear()
        assert _invoke(*arguments, "--resume") == 0
        check(read_ids(here / "tasks.jsonl"), gateway, ever)


def _snapshot(here: Path, kept: Path) -> None:
    shutil.copytree(here, kept)


def _invoke(*arguments: str) -> int:
    return CliRunner().invoke(apimall, arguments).exit_code


def test_kill_9_in_mid_export_twice(spawn: Spawn, run: Run, gateway: LocalGateway) -> None:
    """With new and deleted tasks after each kill, --resume ends with every task once, checked id by id."""
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
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    """A half-written draft is not the file; the next run makes it anew of the checkpoint."""
    with open_checkpoint(workplace / "tasks.jsonl.part") as checkpoint:
        checkpoint.append(gateway.tasks)
    Path("tasks.jsonl.part.tmp").write_text('{"task_id": "img_')
    gateway.insert_new(1)
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)
    assert [path.name for path in workplace.iterdir()] == ["tasks.jsonl"]


def test_an_interrupt_says_how_to_go_on(spawn: Spawn, gateway: LocalGateway) -> None:
    """Ctrl-C ends with 130 and one line; --resume requests what is missing."""
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
