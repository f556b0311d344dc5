"""What ``apimall download`` saves, skips, reports and tries again."""

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import Result

from apimall_async import ImageTask
from apimall_async.cli import _download, _progress
from apimall_async.cli._app import apimall
from apimall_async.testing import Fault, LocalGateway, RecordedRequest


Run = Callable[..., Result]
Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def directory(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Download without long waits."""
    monkeypatch.setattr(_download, "_WAITS", (0.01, 0.02, 0.03))
    return workplace / "images"


def names(tasks: list[ImageTask]) -> list[str]:
    """Name the files of those that have an image, in order of the alphabet."""
    return sorted(f"{task.task_id}.svg" for task in tasks if task.image_url)


def saved(directory: Path) -> list[str]:
    """List what there is, in order of the alphabet."""
    return sorted(path.name for path in directory.iterdir())


def image_requests(gateway: LocalGateway) -> list[RecordedRequest]:
    """List the requests for images."""
    return [request for request in gateway.requests if request.path.startswith("/images/")]


def spoil(gateway: LocalGateway, task: ImageTask, *faults: Fault) -> None:
    """Respond to the first requests for a task's image so, one each."""
    left = list(faults)
    gateway.rule(lambda request: left.pop(0) if left and task.task_id in request.path else None)


def with_image(gateway: LocalGateway) -> list[ImageTask]:
    """List the tasks that have an image, newest first."""
    return [task for task in gateway.tasks if task.image_url]


def test_every_image_is_saved_once(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """A second run requests none; the images' host never gets the key."""
    result = run("download", "images")
    assert (result.exit_code, result.stdout) == (0, "")
    count = len(with_image(gateway))
    assert result.stderr == f"{count} images, 0.0 MB\n"
    assert saved(directory) == names(gateway.tasks)
    assert not any("Authorization" in request.headers for request in image_requests(gateway))
    again = run("download", "images")
    assert again.stderr == f"0 images, 0.0 MB, {count} there already\n"
    assert len(image_requests(gateway)) == count


def test_hidden_rows_and_a_refused_page_past_the_end(
    run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """A short page in the middle is not the end, and a 404 behind the last page is."""
    past_end = LocalGateway([task for task in gateway.tasks if task.image_url], past_end=404)
    past_end.hidden = {task.task_id for task in past_end.tasks[10:40]}
    with past_end.in_thread():
        result = run("download", "images", "--base-url", past_end.url)
    assert result.exit_code == 0
    shown = [task for task in past_end.tasks if task.task_id not in past_end.hidden]
    assert saved(directory) == names(shown)


def test_filters_choose(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """The same as those of history; a task without an image is none to be downloaded."""
    since = gateway.tasks[60].created_at
    arguments = ["--status", "completed", "--model", "nano-banana", "--since", since.isoformat()]
    assert run("download", "images", *arguments).exit_code == 0
    chosen = [task for task in gateway.tasks if task.model == "nano-banana" and task.created_at >= since]
    assert saved(directory) == names(chosen)
    assert run("download", "none", "--status", "failed").stderr == "0 images, 0.0 MB\n"


def test_limit_counts_images(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """The newest that have one, and no more of the history than these need."""
    assert run("download", "images", "--limit", "3").exit_code == 0
    assert saved(directory) == names(with_image(gateway)[:3])
    assert len(gateway.requests) == 4


def test_several_at_a_time(run: Run, gateway: LocalGateway) -> None:
    """No more than --concurrency."""
    under_way: list[int] = []
    gateway.latency = 0.01
    gateway.rule(lambda _: under_way.append(sum(one.status is None for one in image_requests(gateway))))
    run("download", "images", "--concurrency", "3", "--limit", "20")
    assert max(under_way) == 3


def test_one_failure_is_reported_and_the_rest_is_saved(
    run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """A line each, a total, and the code of a failure."""
    lost, large, *rest = with_image(gateway)
    spoil(gateway, lost, Fault.html(404))
    spoil(gateway, large, Fault.endless())
    result = run("download", "images", "--max-size", "1")
    assert result.exit_code == 1
    assert saved(directory) == names(rest)
    *lines, total = result.stderr.splitlines()
    assert sorted(lines) == sorted(
        [
            f"apimall: {lost.task_id}: the image's host responded with 404 Not Found (status 404)",
            f"apimall: {large.task_id}: the image has more than 1048576 bytes",
        ]
    )
    assert total.startswith(f"{len(rest)} images, ")
    assert total.endswith(", 2 failed")
    assert run("download", "images").exit_code == 0
    assert saved(directory) == names(gateway.tasks)


def test_what_may_succeed_later_is_tried_again(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """Up to three times, unless --retry-for does not allow it; what cannot succeed is not."""
    task, *_ = with_image(gateway)
    spoil(gateway, task, Fault.html(503), Fault.truncate(), Fault.html(429, retry_after=0.02))
    log = run("download", "images", "--limit", "1", "--verbose")
    assert log.exit_code == 0
    assert log.stderr.count("apimall: retry of an image in ") == 3
    (directory / names([task])[0]).unlink()
    spoil(gateway, task, *[Fault.html(503)] * 4)
    result = run("download", "images", "--limit", "1")
    assert (result.exit_code, len(image_requests(gateway))) == (1, 8)
    for fault, more in ((Fault.html(429, retry_after=8), ["--retry-for", "7"]), (Fault.html(410), [])):
        before = len(image_requests(gateway))
        spoil(gateway, task, fault)
        assert run("download", "images", "--limit", "1", *more).exit_code == 1
        assert len(image_requests(gateway)) == before + 1


def test_a_page_is_no_image(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """It is tried again; if that does not help, the image is counted as failed, and nothing is kept."""
    one, other, *rest = with_image(gateway)
    spoil(gateway, one, Fault.html(200))
    spoil(gateway, other, *[Fault.html(200)] * 4)
    result = run("download", "images")
    assert result.exit_code == 1
    assert saved(directory) == names([one, *rest])
    assert f"apimall: {other.task_id}: the image's host sent text/html, and no image" in result.stderr
    assert result.stderr.endswith(", 1 failed\n")


def test_a_link_in_the_way_is_reported_and_the_rest_is_saved(
    run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """Whoever put it there stops one image only."""
    task, *rest = with_image(gateway)
    directory.mkdir()
    mine = Path("mine")
    mine.write_text("precious")
    (directory / f"{task.task_id}.part").hardlink_to(mine)
    result = run("download", "images")
    assert result.exit_code == 1
    assert f"apimall: {task.task_id}: not written to: symbolic links, hard links" in result.stderr
    assert saved(directory) == sorted([*names(rest), f"{task.task_id}.part"])
    assert mine.read_text() == "precious"


def test_if_the_history_fails_what_is_under_way_is_finished(
    run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """The code is that of the failure, and the totals are shown all the same."""
    gateway.fault(Fault(), Fault.error(401))
    result = run("download", "images")
    assert result.exit_code == 3
    assert saved(directory) == names(gateway.tasks[:50])
    total, *words = result.stderr.splitlines()
    assert total.startswith(f"{len(names(gateway.tasks[:50]))} images, ")
    assert words[0].startswith("apimall: Unauthorized")


def test_a_disk_that_fails_ends_it(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """It would fail for each image, so no more are requested."""
    directory.mkdir()
    (directory / f"{with_image(gateway)[0].task_id}.part").mkdir()
    result = run("download", "images", "--concurrency", "1")
    assert result.exit_code == 1
    assert "apimall: Is a directory" in result.stderr
    assert image_requests(gateway) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["images", "--limit", "0"],
        ["images", "--concurrency", "17"],
        ["images", "--max-size", "0"],
        ["file"],
        [],
    ],
)
def test_wrong_usage(run: Run, gateway: LocalGateway, arguments: list[str]) -> None:
    """It is reported before any request."""
    Path("file").touch()
    assert run("download", *arguments).exit_code == 2
    assert gateway.requests == []


def test_hostile_tasks_stay_in_the_directory(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """Whatever their ids and URLs are; what is shown of them cannot steer the terminal."""
    url = with_image(gateway)[0].image_url
    model = gateway.tasks[0]
    ids = ["../../x", "CON", "a/b", "x" * 300, ".x", "\x1b[2J"]
    gateway.insert(*[attrs.evolve(model, task_id=one, image_url=url) for one in ids])
    bad = ["javascript:alert(1)", "file:///etc/passwd"]
    gateway.insert(*[attrs.evolve(model, task_id=f"\x1b[2J{one}", image_url=one) for one in bad])
    result = run("download", "images", "--limit", "8")
    assert result.exit_code == 1
    assert len(saved(directory)) == 6
    assert all(name.endswith(".svg") for name in saved(directory))
    assert "\x1b" not in result.stderr
    assert result.stderr.count("does not begin with http(s)://") == 2
    assert [path.name for path in Path().iterdir()] == ["images"]


def test_kill_9_in_mid_download_and_completed(
    spawn: Spawn, run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """What has a name is whole; the next run brings the rest, and leaves nothing else behind."""
    done = len(with_image(gateway)) // 2
    gateway.rule(lambda _: Fault.stall(in_body=True) if len(image_requests(gateway)) > done else None)
    process = spawn("download", "images")
    while len(image_requests(gateway)) < done + 4:
        time.sleep(0.001)
    process.kill()
    assert process.wait(timeout=10) == -signal.SIGKILL
    gateway._rules.clear()
    whole = {path.name: path.read_bytes() for path in directory.glob("*.svg")}
    assert 0 < len(whole) <= done
    assert run("download", "images").exit_code == 0
    assert saved(directory) == names(gateway.tasks)
    assert all((directory / name).read_bytes() == data for name, data in whole.items())
    assert all(path.read_bytes().endswith(b"</svg>\n") for path in directory.iterdir())


def test_an_interrupt_ends_quietly(spawn: Spawn, gateway: LocalGateway, directory: Path) -> None:
    """With the totals, and the code of Ctrl-C."""
    gateway.rule(lambda _: Fault.stall() if len(image_requests(gateway)) > 9 else None)
    process = spawn("download", "images", "--concurrency", "1")
    while len(image_requests(gateway)) < 10:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    words = process.communicate(timeout=10)[1]
    assert (process.returncode, words) == (130, "9 images, 0.0 MB\n")
    assert len(saved(directory)) == 9


def test_demo(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """--demo needs nothing else."""
    result = run("download", "images", "--demo", "--limit", "2")
    assert result.stderr == "2 images, 0.0 MB (demo)\n"
    assert len(saved(directory)) == 2
    assert gateway.requests == []


def test_progress_is_shown_in_bytes(
    gateway: LocalGateway, terminal: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, with what failed above the line, which comes back after it."""
    monkeypatch.setattr(_progress, "_DELAY", 0.0)
    monkeypatch.setenv("COLUMNS", "120")
    gateway.latency = 0.05
    spoil(gateway, with_image(gateway)[0], Fault.html(404))
    out, err = terminal(), terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert apimall.main(["download", "images", "--limit", "9"], standalone_mode=False) == 1
    shown = err.getvalue()
    assert "waiting for the gateway" in shown
    assert " images · 0.0 MB · 1 failed · 0.0 MB/s" in shown
    assert shown.count("\x1b[?25l") == 2
    assert shown.endswith("8 images, 0.0 MB, 1 failed\n")
    assert out.getvalue() == ""
