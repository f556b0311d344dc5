"""Names of hosts: looked up in a few threads of their own."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from image_host import Host, make_task

from apimall_async import APIConnectionError, APITimeoutError, AsyncClient
from apimall_async._images import _resolver


LookUp = Callable[..., Any]


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let names that end in .test take until the end of the test; list them."""
    over = threading.Event()
    names: list[str] = []
    look_up = socket.getaddrinfo

    def wait(name: str, *arguments: Any, **options: Any) -> Any:
        if name.endswith(".test"):
            names.append(name)
            over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "slow")
        return look_up(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield names
    over.set()
    for thread in threading.enumerate():
        if thread.name == _resolver.THREAD_NAME:
            thread.join()


async def test_slow_names_take_none_of_the_applications_threads(
    client: AsyncClient, tmp_path: Path, slow_names: list[str]
) -> None:
    """And not many of their own. A download that waits for a name times out like any other."""
    tasks = [make_task(f"http://{number}.test/", f"img_{number}") for number in range(12)]
    downloads = [asyncio.create_task(client.download(task, tmp_path)) for task in tasks]
    while len(slow_names) < _resolver._MAX_THREADS:
        await asyncio.sleep(0.001)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: threading.current_thread().name), 30)
    with pytest.raises(APITimeoutError):
        await client.download(make_task("http://17.test/"), tmp_path, timeout=0.05)
    for download in downloads:
        download.cancel()
    await asyncio.wait(downloads)
    with pytest.raises(APITimeoutError):
        await client.download(make_task("http://18.test/"), tmp_path, timeout=0.05)
    assert len(slow_names) == _resolver._MAX_THREADS  # they keep their slots: nobody can stop them


async def test_a_name_is_resolved(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """As the system does it."""
    await client.download(make_task(host.url.replace("127.0.0.1", "localhost")), tmp_path)
    assert len(host.requests) == 1


async def test_an_unknown_name(client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a connection error, and may pass."""

    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(APIConnectionError, match="unknown") as caught:
        await client.download(make_task("http://host.test/"), tmp_path)
    assert caught.value.retryable


def test_a_name_that_outlives_its_loop_is_no_harm(slow_names: list[str]) -> None:
    """Its thread ends without a word."""

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_resolver.Resolver().resolve("host.test"), 0.05)

    asyncio.run(give_up())
    assert slow_names == ["host.test"]
