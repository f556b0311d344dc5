"""What ``apimall export --resume`` makes of a run that ended early, whatever ended it."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result
from exporting import break_after, check, ids, read_ids, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from apimall_async.cli._app import apimall
from apimall_async.cli._checkpoint import open_checkpoint
from apimall_async.testing import Fault, LocalGateway, RecordedRequest, sample_history


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
        assert result.stderr.startswith("1645 tasks kept in tasks.jsonl.part: go on with --resume\n")
        new = gateway.insert_new(60)
        del gateway.requests[:]
        assert run("export", "tasks.jsonl", "--resume", "--read-ahead", "0").exit_code == 0
    assert len(gateway.requests) <= 2 + 2 + (2_000 - 1_645) // 40 + 2
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
        assert result.stderr.startswith("96 tasks kept in tasks.jsonl.part")
        monkeypatch.setenv("APIMALL_API_KEY", gateway.api_key)
        assert run("export", "tasks.jsonl", "--resume").exit_code == 0
        assert read_ids("tasks.jsonl") == ids(gateway.tasks)


@pytest.mark.parametrize("left", [150, 1, 0])
def test_more_is_deleted_than_is_looked_for(run: Run, left: int) -> None:
    """If all of the last 200 that were read are gone, the history is read anew, and nothing is forgotten."""
    with serving(400) as gateway:
        break_after(gateway, 7)
        run("export", "tasks.jsonl", "--read-ahead", "0")
        ever = ids(gateway.tasks)
        gateway.delete(*ever[left:380])
        ever = ids(gateway.insert_new(3)) + ever
        result = run("export", "tasks.jsonl", "--resume")
        if left:
            assert result.exit_code == 0
            check(read_ids("tasks.jsonl"), gateway, ever)
            assert len(read_ids("tasks.jsonl")) > 300
        else:
            assert "no task that was read before is in this history" in result.stderr


def test_a_history_that_cannot_be_caught_is_an_error(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If what was there a moment ago is gone, the run fails and keeps what it has."""
    break_after(gateway, 2)
    run("export", "tasks.jsonl", "--read-ahead", "0")
    del gateway.requests[:]
    known = ids(gateway.tasks)[:100]

    @gateway.rule
    def delete(_: RecordedRequest) -> None:
        if len(gateway.requests) == 2:
            gateway.delete(*known)

    result = run("export", "tasks.jsonl", "--resume", "--read-ahead", "0")
    assert result.exit_code == 1
    assert "the history changed too fast" in result.stderr
    assert result.stderr.startswith("96 tasks kept in tasks.jsonl.part")


def test_an_error_while_the_rest_is_read(run: Run, gateway: LocalGateway) -> None:
    """It ends the run, whether that was the first one or not, and however much was read."""
    gateway.insert_new(400)
    gateway.rule(lambda request: Fault.stuck(2) if (request.page or 0) > 5 else None)
    for options in ([], ["--resume"]):
        result = run("export", "tasks.jsonl", "--read-ahead", "0", *options)
        assert result.exit_code == 1
        assert "tasks kept in tasks.jsonl.part" in result.stderr


@pytest.mark.parametrize("moved", [slice(20, 21), slice(49, 50), slice(150, 151), slice(1), slice(5, 40)])
@pytest.mark.parametrize("created", [1, 49, 50, 120])
@pytest.mark.parametrize("kept", [3, 50, 200])
def test_moved_tasks_hide_no_new_ones(run: Run, moved: slice, created: int, kept: int) -> None:
    """If tasks that were read moved to the front, then --resume refuses, and the checkpoint stays."""
    with serving(300) as gateway:
        with open_checkpoint(Path("tasks.jsonl.part")) as checkpoint:
            checkpoint.append(gateway.tasks[:kept])
        tasks = gateway.tasks[:kept][moved] or gateway.tasks[kept - 1 : kept]
        gateway.insert_new(created)
        gateway.delete(*ids(tasks))
        gateway.insert(*tasks)
        result = run("export", "tasks.jsonl", "--resume")
        assert result.exit_code == 1
        assert "the order of the history has changed" in result.stderr
        assert result.stderr.startswith(f"{kept} tasks kept in tasks.jsonl.part")
        if len(tasks) < kept:
            gateway.delete(*ids(tasks))
            assert run("export", "tasks.jsonl", "--resume").exit_code == 0
            assert set(read_ids("tasks.jsonl")) == {*ids(gateway.tasks), *ids(tasks)}


def test_a_moved_task_that_was_not_read_is_not_passed_over(run: Run, gateway: LocalGateway) -> None:
    """It stands among the known ones, and not behind them, where the run would go on."""
    with open_checkpoint(Path("tasks.jsonl.part")) as checkpoint:
        checkpoint.append(gateway.tasks[:60])
    tasks = [gateway.tasks[20], gateway.tasks[80]]
    gateway.delete(*ids(tasks))
    gateway.insert(*tasks)
    assert "the order of the history has changed" in run("export", "tasks.jsonl", "--resume").stderr


def test_a_moved_task_of_which_all_others_are_gone(run: Run, gateway: LocalGateway) -> None:
    """New tasks stand behind the only one that is known."""
    with open_checkpoint(Path("tasks.jsonl.part")) as checkpoint:
        checkpoint.append(gateway.tasks[:20])
    known = gateway.tasks[:20]
    gateway.insert_new(1)
    gateway.delete(*ids(known))
    gateway.insert(known[10])
    assert "the order of the history has changed" in run("export", "tasks.jsonl", "--resume").stderr


def test_a_moved_task_alone_does_no_harm(run: Run, gateway: LocalGateway) -> None:
    """Nothing new stands behind it, so it stays where it was first."""
    expected = ids(gateway.tasks)
    break_after(gateway, 2)
    run("export", "tasks.jsonl", "--read-ahead", "0")
    task = gateway.tasks[20]
    gateway.delete(task.task_id)
    gateway.insert(task)
    assert run("export", "tasks.jsonl", "--resume").exit_code == 0
    assert read_ids("tasks.jsonl") == expected


@pytest.mark.parametrize("kept", [1, 4, 60])
def test_new_tasks_of_the_time_of_a_known_one(run: Run, kept: int) -> None:
    """They may stand behind it at each request, and are taken all the same."""
    time = sample_history(1)[0].created_at
    batch = [attrs.evolve(task, created_at=time) for task in sample_history(8, seed=1)]
    history = batch + sample_history(100)
    with serving(history, ties="any") as gateway:
        gateway.delete(*ids(batch[4:]))
        with open_checkpoint(Path("tasks.jsonl.part")) as checkpoint:
            checkpoint.append(gateway.tasks[:kept])
        gateway.insert(*batch[4:])
        assert run("export", "tasks.jsonl", "--resume").exit_code == 0
        assert sorted(read_ids("tasks.jsonl")) == sorted(ids(gateway.tasks))


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["create", "batch", "delete", "move"]),
        st.integers(1, 60),
        st.integers(0, 150),
        st.integers(1, 3),
    ),
    max_size=6,
)


@settings(max_examples=80)
@given(
    tasks=st.integers(1, 220),
    ties=st.sampled_from(["stable", "any"]),
    past_end=st.sampled_from(["empty", 404, "last", "last-as-requested"]),
    hidden=st.sets(st.integers(0, 219), max_size=20),
    pages=st.integers(1, 5),
    changes=_CHANGES,
    read_ahead=st.sampled_from("08"),
)
def test_whatever_happens_between_two_runs(
    tasks: int, pages: int, changes: list[tuple[str, int, int, int]], read_ahead: str, **paging: Any
) -> None:
    """On every kind of back end, a file that is written lacks nothing; if something moved, there may be none.

    Tasks are created, in batches of one time or one by one, deleted, and move to the front; but not where
    the list is in the order of time alone.
    """
    if paging["ties"] == "any":
        changes = [change for change in changes if change[0] != "move"]
    history = sample_history(tasks, max_batch=8)
    paging["hidden"] = {task.task_id for number, task in enumerate(history) if number in paging["hidden"]}
    with TemporaryDirectory() as name, serving(history, **paging) as gateway:
        break_after(gateway, pages)
        if _invoke("export", f"{name}/tasks.jsonl", "--read-ahead", "0") == 0:
            return
        with open_checkpoint(Path(name, "tasks.jsonl.part")) as checkpoint:
            known = ids(checkpoint.last(tasks))
        for change in changes:
            _change(gateway, *change)
        there = {one for one in ids(gateway.tasks) if one not in paging["hidden"]}
        if _invoke("export", f"{name}/tasks.jsonl", "--resume", "--read-ahead", read_ahead) != 0:
            one_time = len({task.created_at for task in gateway.tasks}) == 1
            assert one_time or any(kind == "move" for kind, *_ in changes) or there.isdisjoint(known)
            with open_checkpoint(Path(name, "tasks.jsonl.part")) as checkpoint:
                assert known == [one for one in ids(checkpoint.last(1_000)) if one in set(known)]
            return
        written = read_ids(f"{name}/tasks.jsonl")
        assert len(set(written)) == len(written)
        assert there <= set(written)


def _change(gateway: LocalGateway, kind: str, n: int, start: int, step: int) -> None:
    chosen = gateway.tasks[start : start + n : step]
    if kind in {"create", "batch"}:
        new = gateway.insert_new(n)
        gateway.delete(*ids(new))
        newest = max([task.created_at for task in gateway.tasks], default=new[0].created_at)
        times = [newest + timedelta(seconds=number) for number in range(n, 0, -1)]
        if kind == "batch":
            new, times = new[:6], [newest] * 6
        gateway.insert(*[attrs.evolve(task, created_at=time) for task, time in zip(new, times, strict=False)])
    elif kind == "delete":
        gateway.delete(*ids(chosen))
    elif kind == "move":
        moved = chosen[:8]  # six times eight are fewer than 50 in a row
        gateway.delete(*ids(moved))
        gateway.insert(*moved)


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
    assert len(gateway.requests) == 6
    assert read_ids("tasks.jsonl") == ids(gateway.tasks)
