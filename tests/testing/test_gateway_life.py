"""Starting, closing, threads, the fixture, and the gateway in the foreground."""

import asyncio
import io
import runpy
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import aiohttp
import pytest

from apimall_async import testing
from apimall_async.testing import Fault, LocalGateway


PATH = "/api/v1/images/history"


def fetch(gateway: LocalGateway) -> int:
    """Request a page without an event loop."""
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    request = urllib.request.Request(gateway.url + PATH, headers=headers)
    with urllib.request.urlopen(request) as response:
        return int(response.status)


def open_files() -> int:
    """Count this process's open files and sockets, but for the /dev/null that uvloop keeps at hand."""
    return sum(path.resolve() != Path("/dev/null") for path in Path("/dev/fd").glob("*"))


async def test_start_and_close_may_be_called_twice() -> None:
    """Both are idempotent, and closing what was never started is well."""
    gateway = LocalGateway(1)
    await gateway.close()
    await gateway.start()
    url = gateway.url
    await gateway.start()
    assert gateway.url == url
    await gateway.close()
    await gateway.close()


async def test_there_is_no_url_before_the_start() -> None:
    """A port is known once it is taken; then it stays, closed or not."""
    gateway = LocalGateway(1)
    with pytest.raises(RuntimeError, match="started"):
        _ = gateway.url
    async with gateway:
        url = gateway.url
    assert gateway.url == url
    async with gateway, gateway.client() as client:
        assert gateway.url == url
        assert len((await client.list_history()).items) == 1


async def test_a_taken_port_is_an_oserror() -> None:
    """The gateway can't start there, in a thread or not, and leaves nothing open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        files = open_files()
        gateway = LocalGateway(1, port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await gateway.start()
        with pytest.raises(OSError, match="in use"), gateway.in_thread():
            pytest.fail("started")
        assert open_files() == files


@pytest.mark.parametrize("fault", [Fault.stall(), Fault.stall(in_body=True), Fault.endless(), Fault.slow(60)])
async def test_closing_cuts_every_response_under_way(fault: Fault) -> None:
    """No response, however stuck, keeps a gateway from closing; no task and no socket is left."""
    files, tasks = open_files(), asyncio.all_tasks()
    async with aiohttp.ClientSession() as http:
        async with LocalGateway(7) as gateway:
            headers = {"Authorization": f"Bearer {gateway.api_key}"}
            arrived = asyncio.Event()

            @gateway.rule
            def stick(_: object) -> Fault:
                arrived.set()
                return fault

            async def read() -> None:
                async with http.get(gateway.url + PATH, headers=headers) as response:
                    while await response.content.readany():
                        pass

            reader = asyncio.create_task(read())
            await arrived.wait()
        with pytest.raises(aiohttp.ClientError):
            await reader
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert open_files() == files


def test_a_gateway_runs_in_a_thread() -> None:
    """Without a loop of one's own: started, read, changed, and gone without a trace."""
    files, threads = open_files(), threading.active_count()
    with LocalGateway(3).in_thread() as gateway:
        gateway.fault(Fault.slow(0.0))
        gateway.insert_new(2)
        assert fetch(gateway) == 200
        assert [request.tasks for request in gateway.requests] == [5]
    assert threading.active_count() == threads
    assert open_files() == files


def test_the_fixture_serves_a_plain_test(apimall_gateway: LocalGateway) -> None:
    """The plugin's gateway has a hundred tasks and needs no event loop."""
    assert len(apimall_gateway.tasks) == 100
    assert fetch(apimall_gateway) == 200


async def test_the_fixture_serves_an_async_test(apimall_gateway: LocalGateway) -> None:
    """The same gateway, under whichever plugin runs the event loop."""
    async with apimall_gateway.client() as client:
        assert list((await client.list_history(limit=50)).items) == apimall_gateway.tasks[:50]


@pytest.mark.parametrize(
    "rate", [["--past-end", "last"], ["--rate", "5", "--burst", "2", "--retry-after", "1"]]
)
def test_a_gateway_runs_in_the_foreground(monkeypatch: pytest.MonkeyPatch, rate: list[str]) -> None:
    """``python -m`` prints URL and key first, serves, and ends quietly when interrupted."""

    class Terminal(io.StringIO):
        def flush(self) -> None:
            signal.raise_signal(signal.SIGINT)

    terminal = Terminal()
    arguments = ["--items", "3", "--seed", "5", "--latency-ms", "1", *rate]
    monkeypatch.setattr(sys, "argv", ["testing", *arguments])
    monkeypatch.setattr(sys, "stdout", terminal)
    runpy.run_path(str(Path(testing.__file__).with_name("__main__.py")), run_name="__main__")
    url, key = terminal.getvalue().splitlines()
    assert url.startswith("http://127.0.0.1:")
    assert key.startswith("sk-")


def test_a_gateway_is_a_program() -> None:
    """``python -m apimall_async.testing`` prints where it is, serves, and ends in silence on Ctrl-C."""
    command = [sys.executable, "-m", "apimall_async.testing", "--items", "1", "--past-end", "410"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as program:
        assert program.stdout
        url, key = program.stdout.readline(), program.stdout.readline()
        headers = {"Authorization": f"Bearer {key.strip()}"}
        request = urllib.request.Request(f"{url.strip()}{PATH}?page=2", headers=headers)
        with pytest.raises(HTTPError, match="410"):
            urllib.request.urlopen(request)
        program.send_signal(signal.SIGINT)
        rest = program.stdout.read()
    assert (url[:17], key[:3], rest, program.returncode) == ("http://127.0.0.1:", "sk-", "", 0)
