"""``serve``, the demonstration, and the command."""

import asyncio
import os
import signal
import sys
import time
from typing import Never

import aiohttp
import pytest
from click.testing import CliRunner

from apimall_async import AsyncClient, RetryPolicy, TaskStatus
from apimall_async.cli._ui import ui
from apimall_async.testing import Fault, LocalGateway
from apimall_async.ui import demo_gateway, serve


async def test_serve_listens_on_loopback_and_accepts_its_own_names(client: AsyncClient) -> None:
    """By address and as localhost; the client stays open."""
    async with serve(client) as url, aiohttp.ClientSession() as http:
        assert url.startswith("http://127.0.0.1:")
        port = url.rstrip("/").rpartition(":")[2]
        for host, status in [
            (f"127.0.0.1:{port}", 200),
            (f"localhost:{port}", 200),
            (f"rebound.example:{port}", 421),
        ]:
            async with http.get(url, headers={"Host": host}) as response:
                assert response.status == status
    assert not client.closed


async def test_serve_says_that_its_port_is_taken(client: AsyncClient) -> None:
    """By the error that the command reports."""
    async with serve(client) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with serve(client, port=port):
                pass  # pragma: no cover


async def test_a_reader_who_waits_does_not_keep_the_server_from_its_end(gateway: LocalGateway) -> None:
    """A request that waits for the gateway is cut."""
    gateway.rule(lambda _: Fault.stall())
    async with gateway.client(retry=RetryPolicy()) as client, aiohttp.ClientSession() as http:
        async with serve(client) as url:
            request = asyncio.create_task(http.get(f"{url}api/tasks"))
            while not gateway.requests:
                await asyncio.sleep(0.01)
            before = time.monotonic()
        assert time.monotonic() - before < 3
        with pytest.raises(aiohttp.ClientError):
            await request


async def test_the_demonstration_is_alive() -> None:
    """Tasks are created, run, and come to something; each is there once."""
    async with demo_gateway(30, pace=0.002) as gateway:
        old = {task.task_id for task in gateway.tasks}
        seen: dict[str, set[str]] = {}
        while not any(TaskStatus.FAILED in statuses for statuses in seen.values()):
            await asyncio.sleep(0.001)
            tasks = gateway.tasks
            assert len({task.task_id for task in tasks}) == len(tasks)
            for task in tasks:
                if task.task_id not in old:
                    seen.setdefault(task.task_id, set()).add(task.status)
    statuses = set().union(*seen.values())
    assert statuses == set(TaskStatus)


async def run_command(*arguments: str, key: str | None = None) -> asyncio.subprocess.Process:
    """Start ``apimall ui`` in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APIMALL_")}
    if key:
        environment["APIMALL_API_KEY"] = key
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "apimall_async",
        "ui",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def url_of(process: asyncio.subprocess.Process) -> str:
    """Read the URL that the command prints."""
    assert process.stdout
    return (await process.stdout.readline()).decode().strip()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process")
async def test_the_command_shows_the_demonstration_until_ctrl_c() -> None:
    """Without a key, and without a traceback."""
    process = await run_command("--demo")
    url = await url_of(process)
    async with aiohttp.ClientSession() as http, http.get(f"{url}api/tasks") as response:
        assert len((await response.json())["tasks"]) == 50
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in errors


async def test_the_command_shows_the_account(gateway: LocalGateway) -> None:
    """The one of the key, which it does not print."""
    process = await run_command("--base-url", gateway.url, key=gateway.api_key)
    url = await url_of(process)
    async with aiohttp.ClientSession() as http, http.get(f"{url}api/tasks") as response:
        tasks = (await response.json())["tasks"]
    assert tasks[0]["task_id"] == gateway.tasks[0].task_id
    process.terminate()
    out, errors = await process.communicate()
    assert gateway.api_key.encode() not in out + errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no API key: set APIMALL_API_KEY, or try --demo"),
        (["--demo", "--base-url", "http://127.0.0.1"], "leave out --base-url"),
    ],
)
def test_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """And serves nothing."""
    monkeypatch.delenv("APIMALL_API_KEY", raising=False)
    result = CliRunner().invoke(ui, arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("demo", [True, False])
def test_the_command_in_this_process(monkeypatch: pytest.MonkeyPatch, *, demo: bool) -> None:
    """Once it serves, it waits; here for a Ctrl-C that comes at once."""

    def interrupt(_: object) -> Never:
        raise KeyboardInterrupt

    monkeypatch.setenv("APIMALL_API_KEY", "sk-1")
    monkeypatch.setattr(asyncio.Event, "wait", interrupt)
    result = CliRunner().invoke(ui, ["--demo"] if demo else ["--base-url", "http://127.0.0.1:1"])
    assert result.stdout.startswith("http://127.0.0.1:")
