"""One ``client.download``: its arguments, its limits, and what the disk refuses."""

import asyncio
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from image_host import (
    JPEG,
    KEY,
    PNG,
    Host,
    Request,
    breaks_off,
    files,
    make_task,
    response,
    sends,
    stalls,
    stays_silent,
)

from apimall_async import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    ClientClosedError,
)
from apimall_async._images import _sessions
from apimall_async._images._partial import PartialFile
from apimall_async.testing import LocalGateway


async def test_an_image_is_downloaded_once(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """on_bytes gets the number of bytes; a second call sends no request."""
    sizes: list[int] = []
    for _ in range(2):
        assert await client.download(make_task(host.url), str(tmp_path), on_bytes=sizes.append)
    assert sum(sizes) == len(PNG)
    assert len(sizes) > 1  # it is streamed
    assert len(host.requests) == 1


async def test_overwrite_downloads_again(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """The old file stays until the new one is whole; then it is gone, also if that is of another type."""
    (tmp_path / "img_1.png").write_bytes(b"old")
    (tmp_path / "img_1.gif").write_bytes(b"older")
    host.script += [breaks_off(host, 1000)]
    with pytest.raises(APIConnectionError):
        await client.download(make_task(host.url), tmp_path, overwrite=True)
    assert (tmp_path / "img_1.png").read_bytes() == b"old"
    host.image, host.etag = JPEG, '"v2"'
    assert await client.download(make_task(host.url), tmp_path, overwrite=True) == tmp_path / "img_1.jpg"
    assert files(tmp_path) == {"img_1.jpg": JPEG}


async def test_a_chunked_response_needs_no_length(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """The last chunk shows that the image is complete."""
    chunked = {"Content-Length": "", "Transfer-Encoding": "chunked"}
    host.script += [sends(response(200, b"", chunked) + b"3\r\nGIF\r\n3\r\n89a\r\n0\r\n\r\n")]
    await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {"img_1.gif": b"GIF89a"}


async def test_the_images_of_a_local_gateway(gateway: LocalGateway, tmp_path: Path) -> None:
    """They are drawings, named by their tasks."""
    tasks = [task for task in gateway.tasks if task.image_url][:5]
    async with gateway.client() as client:
        paths = [await client.download(task, tmp_path) for task in tasks]
    assert [path.name for path in paths] == [f"{task.task_id}.svg" for task in tasks]
    with pytest.raises(APIStatusError):
        async with gateway.client() as client:
            await client.download(
                attrs.evolve(tasks[0], task_id="img_2", image_url=gateway.url + "/images/no.svg"), tmp_path
            )


@pytest.mark.parametrize("url", [None, ""])
async def test_a_task_without_an_image_is_a_wrong_argument(
    client: AsyncClient, tmp_path: Path, url: str | None
) -> None:
    """A ValueError, as for any other; no file or directory is created."""
    with pytest.raises(ValueError, match="'img_1' has no image_url, its status is 'completed'"):
        await client.download(make_task(url), tmp_path / "new")
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "limits", [{"max_bytes": 0}, {"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}]
)
async def test_limits_must_be_positive(client: AsyncClient, tmp_path: Path, limits: dict[str, Any]) -> None:
    """A ValueError names the argument."""
    with pytest.raises(ValueError, match=next(iter(limits))):
        await client.download(make_task("http://host.test"), tmp_path, **limits)


async def test_a_closed_client_downloads_nothing(tmp_path: Path) -> None:
    """The error is the same as for any other call."""
    client = AsyncClient(KEY)
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.download(make_task("http://host.test"), tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (response(200), "empty"),
        (response(200, PNG, {"Content-Length": ""}), "no length"),
        (response(200, PNG, {"Content-Encoding": "gzip"}), "compressed"),
        (response(200, b"", {"Content-Length": "200001"}), "more than 200000 bytes"),
        (
            response(200, b"", {"Content-Length": "", "Transfer-Encoding": "chunked"})
            + b"30d41\r\n"
            + b"x" * 200_001
            + b"\r\n0\r\n\r\n",
            "more than 200000 bytes",
        ),
    ],
)
async def test_an_image_that_is_not_acceptable_is_not_kept(
    client: AsyncClient, host: Host, tmp_path: Path, data: bytes, message: str
) -> None:
    """The error has a class of its own, and is not retryable."""
    host.script += [sends(data)]
    with pytest.raises(APIResponseValidationError, match=message) as caught:
        await client.download(make_task(host.url), tmp_path, max_bytes=200_000)
    assert not caught.value.retryable
    assert files(tmp_path) == {}


async def test_a_silent_host_times_out(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the timeout for the image."""
    monkeypatch.setattr(_sessions, "IDLE_TIMEOUT", 0.05)
    host.script += [stays_silent]
    with pytest.raises(APITimeoutError) as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.__context__ is None


async def test_a_host_that_falls_silent_times_out(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was received is kept."""
    monkeypatch.setattr(_sessions, "IDLE_TIMEOUT", 0.05)
    host.script += [stalls(host, 9000)]
    with pytest.raises(APITimeoutError):
        await client.download(make_task(host.url), tmp_path)
    assert (tmp_path / "img_1.part").read_bytes() == PNG[:9000]


async def test_a_slow_host_times_out(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """A byte now and then does not extend the timeout for the image."""

    async def drip(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, b"", {"Content-Length": "1000"}))
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    host.script += [drip]
    with pytest.raises(APITimeoutError, match=r"within 0\.1 seconds"):
        await client.download(make_task(host.url), tmp_path, timeout=0.1)


async def test_an_error_of_the_disk_passes_through(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """An OSError, before any request."""
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        await client.download(make_task(host.url), tmp_path / "file" / "inner")
    assert host.requests == []


async def test_a_full_disk_is_an_error_of_the_disk(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not mistaken for a broken connection, and what was written before is kept."""
    write = PartialFile.write

    def fill(part: PartialFile, chunk: bytes) -> None:
        if part.size > 65_536:
            raise OSError(28, os.strerror(28))
        write(part, chunk)

    monkeypatch.setattr(PartialFile, "write", fill)
    with pytest.raises(OSError, match="No space left"):
        await client.download(make_task(host.url), tmp_path)
    assert PNG.startswith((tmp_path / "img_1.part").read_bytes())
