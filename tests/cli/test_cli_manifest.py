"""The manifest of ``apimall download``: what is in it, and what a second run verifies by it."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from apimall_async import ImageTask
from apimall_async.cli import _download
from apimall_async.testing import Fault, LocalGateway


Run = Callable[..., Result]
Spawn = Callable[..., subprocess.Popen[str]]

DOWNLOAD = ("download", "images", "--manifest", "images.jsonl")


@pytest.fixture(autouse=True)
def directory(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Download without long waits."""
    monkeypatch.setattr(_download, "_WAITS", ())
    return workplace / "images"


def listed() -> list[dict[str, Any]]:
    """Read the manifest; there is only one entry for each task."""
    entries = [json.loads(line) for line in Path("images.jsonl").read_text().splitlines()]
    assert len({entry["task_id"] for entry in entries}) == len(entries)
    return entries


def with_image(gateway: LocalGateway) -> list[ImageTask]:
    """List the tasks that have an image, newest first."""
    return [task for task in gateway.tasks if task.image_url]


def image_requests(gateway: LocalGateway) -> int:
    """Count the requests for images."""
    return sum(request.path.startswith("/images/") for request in gateway.requests)


def test_each_image_has_an_entry(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """By it, others find the file, and can verify it."""
    started = datetime.now(UTC).replace(microsecond=0)
    assert run(*DOWNLOAD).exit_code == 0
    entries = listed()
    assert {entry["task_id"] for entry in entries} == {task.task_id for task in with_image(gateway)}
    for entry in entries:
        data = (directory / entry["file"]).read_bytes()
        when = datetime.fromisoformat(entry.pop("when"))
        assert started <= when <= datetime.now(UTC)
        assert entry == {
            "task_id": entry["task_id"],
            "file": f"{entry['task_id']}.svg",
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "type": "image/svg+xml",
        }


def test_what_is_missing_or_changed_is_downloaded_again(
    run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """And nothing else; whether the size has changed, or only a byte."""
    run(*DOWNLOAD)
    before, count = listed(), len(with_image(gateway))
    whole = {path.name: path.read_bytes() for path in directory.iterdir()}
    missing, cut, changed, *_ = sorted(whole)
    (directory / missing).unlink()
    (directory / cut).write_bytes(whole[cut][:-1])
    (directory / changed).write_bytes(whole[changed][:-1] + b"?")
    result = run(*DOWNLOAD)
    assert result.exit_code == 0
    assert result.stderr.count(": the file has changed since it was downloaded: downloading it again") == 2
    assert result.stderr.endswith(f"3 images, 0.0 MB, {count - 3} there already, 2 had changed\n")
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == whole
    assert image_requests(gateway) == count + 3
    assert {entry["sha256"] for entry in listed()} == {entry["sha256"] for entry in before}
    assert run(*DOWNLOAD).stderr == f"0 images, 0.0 MB, {count} there already\n"


def test_a_changed_file_stays_until_it_can_be_replaced(
    run: Run, gateway: LocalGateway, directory: Path
) -> None:
    """If its URL has expired, it is all that there is; each run says so."""
    run(*DOWNLOAD)
    task = with_image(gateway)[0]
    (directory / f"{task.task_id}.svg").write_text("changed")
    gateway.rule(lambda request: Fault.html(403) if task.task_id in request.path else None)
    for _ in range(2):
        result = run(*DOWNLOAD)
        assert result.exit_code == 1
        assert result.stderr.endswith(", 1 had changed, 1 failed\n")
        assert (directory / f"{task.task_id}.svg").read_text() == "changed"


def test_images_from_before_are_listed(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """They are not downloaded again; one that was converted since is listed under its new name."""
    run("download", "images")
    count = image_requests(gateway)
    assert run(*DOWNLOAD).exit_code == 0
    assert len(listed()) == count
    entry = listed()[0]
    name = entry["file"].replace(".svg", ".bin")
    (directory / entry["file"]).rename(directory / name)
    assert run(*DOWNLOAD).exit_code == 0
    assert listed()[0] == entry | {"file": name, "type": "application/octet-stream"}
    assert image_requests(gateway) == count


def test_entries_of_other_tasks_stay(run: Run, gateway: LocalGateway) -> None:
    """A run that reads a part of the history changes nothing else, and keeps fields of later versions."""
    run(*DOWNLOAD)
    first = Path("images.jsonl").read_text().replace(',"size":', ',"color":"red","size":')
    assert '"red"' in first
    Path("images.jsonl").write_text(first)
    run(*DOWNLOAD, "--limit", "3")
    assert Path("images.jsonl").read_text() == first


def test_a_kill_at_any_byte_is_no_harm(run: Run, gateway: LocalGateway) -> None:
    """A line that is not whole is written anew."""
    run(*DOWNLOAD, "--limit", "2")
    first, second = Path("images.jsonl").read_bytes().splitlines(keepends=True)
    for size in (1, len('{"task_id":"img_'), len(second) - 1):
        Path("images.jsonl").write_bytes(first + second[:size])
        assert run(*DOWNLOAD, "--limit", "2").exit_code == 0
        assert Path("images.jsonl").read_bytes() == first + second


def test_kill_9_in_mid_download(spawn: Spawn, run: Run, gateway: LocalGateway) -> None:
    """What was downloaded is listed; the next run lists the rest."""
    gateway.rule(lambda _: Fault.stall() if image_requests(gateway) > 20 else None)
    process = spawn(*DOWNLOAD)
    while image_requests(gateway) < 24:
        time.sleep(0.001)
    process.kill()
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert len(listed()) >= 10
    gateway._rules.clear()
    assert run(*DOWNLOAD).exit_code == 0
    assert len(listed()) == len(with_image(gateway))


@pytest.mark.parametrize(
    "content",
    [
        "hello",
        "hello\n",
        '{"task_id": "img_1", "status": "completed"}\n',
        "\n",
        '{"task_id": "img_1"}',
    ],
)
def test_another_file_is_not_taken_for_a_manifest(run: Run, gateway: LocalGateway, content: str) -> None:
    """Nor is it touched; no request is sent."""
    Path("images.jsonl").write_text(content)
    result = run(*DOWNLOAD)
    assert result.exit_code == 2
    assert "images.jsonl is no manifest: line 1" in result.stderr
    assert Path("images.jsonl").read_text() == content
    assert gateway.requests == []


def test_where_a_manifest_may_be(run: Run, gateway: LocalGateway, directory: Path) -> None:
    """Among the images, whose directory is created; not at a device."""
    assert run("download", "images", "--manifest", "images/manifest.jsonl", "--limit", "1").exit_code == 0
    assert len(list(directory.iterdir())) == 2
    assert run("download", "images", "--manifest", os.devnull).exit_code == 2
