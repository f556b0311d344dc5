"""The partial file: resumed, locked, and never taken for the image."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from image_host import (
    JPEG,
    KEY,
    PNG,
    Host,
    Responder,
    breaks_off,
    files,
    hosting,
    make_task,
    response,
    sends,
    stalls,
)

from apimall_async import APIConnectionError, APIResponseValidationError, APITimeoutError, AsyncClient
from apimall_async._images import _partial
from apimall_async._images._partial import PartialFile


async def test_a_broken_download_is_resumed(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """No file has the image's name before it is complete; then only the rest is requested."""
    host.script += [breaks_off(host, 100_000)]
    with pytest.raises(APIConnectionError) as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.retryable
    kept = (tmp_path / "img_1.part").stat().st_size
    assert 0 < kept <= 100_000
    sizes: list[int] = []
    await client.download(make_task(host.url), tmp_path, on_bytes=sizes.append)
    assert host.requests[1].items() >= {"range": f"bytes={kept - 1}-", "if-range": '"v1"'}.items()
    assert sum(sizes) == len(PNG) - kept + 1
    assert files(tmp_path) == {"img_1.png": PNG}


async def test_a_changed_image_is_not_mixed_with_the_old(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The host then sends the new one from its beginning."""
    host.script += [breaks_off(host, 100_000)]
    with pytest.raises(APIConnectionError):
        await client.download(make_task(host.url), tmp_path)
    host.image, host.etag = JPEG, '"v2"'
    await client.download(make_task(host.url), tmp_path)
    assert "range" in host.requests[1]
    assert files(tmp_path) == {"img_1.jpg": JPEG}


@pytest.mark.parametrize("etag", ["", 'W/"v1"', '"v\xff"', '"' + "v" * 201 + '"', "v1"])
async def test_without_a_strong_validator_nothing_is_kept(
    client: AsyncClient, host: Host, tmp_path: Path, etag: str
) -> None:
    """Nothing could show whether the rest is of the same image."""
    host.script += [breaks_off(host, 100_000, ETag=etag)]
    with pytest.raises(APIConnectionError):
        await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {}


MODIFIED = "Thu, 12 Mar 2026 09:30:00 GMT"


async def test_a_date_continues_where_there_is_no_etag(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """If the image was sent a second after it, or later (RFC 9110, 13.1.5 and 8.8.2.2)."""
    host.etag, host.modified = "", MODIFIED
    sent = {"Last_Modified": MODIFIED, "Date": "Thu, 12 Mar 2026 09:30:01 GMT"}
    host.script += [breaks_off(host, 100_000, **sent)]
    with pytest.raises(APIConnectionError):
        await client.download(make_task(host.url), tmp_path)
    kept = (tmp_path / "img_1.part").stat().st_size
    await client.download(make_task(host.url), tmp_path)
    assert host.requests[1].items() >= {"range": f"bytes={kept - 1}-", "if-range": MODIFIED}.items()
    assert files(tmp_path) == {"img_1.png": PNG}


@pytest.mark.parametrize("modified", ["Thu, 12 Mar 2026 09:30:01 GMT", "Thu, 12 Mar 2026 09:29:59 GMT"])
async def test_another_date_is_another_image(
    client: AsyncClient, host: Host, tmp_path: Path, modified: str
) -> None:
    """Whether its host compares the dates, or sends a rest all the same."""
    (tmp_path / "img_1.part").write_bytes(PNG[:100_000])
    (tmp_path / "img_1.etag").write_text(MODIFIED)
    host.image, host.etag, host.modified = JPEG, "", modified
    headers = {"Content-Range": f"bytes 99999-{len(JPEG) - 1}/{len(JPEG)}", "Last-Modified": modified}
    host.script += [sends(response(206, JPEG[99_999:], headers))]
    await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {"img_1.jpg": JPEG}


LATER = "Thu, 12 Mar 2026 09:31:00 GMT"


@pytest.mark.parametrize(
    "headers",
    [
        {"Last_Modified": MODIFIED, "Date": MODIFIED},
        {"Last_Modified": MODIFIED},
        {"Last_Modified": MODIFIED, "Date": "yesterday"},
        {"Last_Modified": MODIFIED, "Date": LATER.replace("GMT", "-0000")},
        {"Last_Modified": MODIFIED, "Date": LATER, "ETag": 'W/"v1"'},
        {"Last_Modified": "Thursday, 12-Mar-26 09:30:00 GMT", "Date": LATER},
        {"Last_Modified": "Thu, 12 Mar 99999 09:30:00 GMT", "Date": LATER},
    ],
)
async def test_a_date_that_shows_nothing_is_not_used(
    client: AsyncClient, host: Host, tmp_path: Path, headers: dict[str, str]
) -> None:
    """The image may have changed in the same second; or has a tag, even a weak one; or it is no HTTP date."""
    host.script += [breaks_off(host, 100_000, **{"ETag": "", **headers})]
    with pytest.raises(APIConnectionError):
        await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "responder",
    [
        sends(response(416, b"", {"Content-Range": "bytes */7"})),
        sends(response(206, PNG[99_998:], {"Content-Range": f"bytes 99998-{len(PNG) - 1}/{len(PNG)}"})),
        sends(response(206, PNG[99_999:], {"Content-Range": f"bytes 99999-{len(PNG) - 1}/*"})),
        sends(response(206, PNG[99_999:-1], {"Content-Range": f"bytes 99999-{len(PNG) - 2}/{len(PNG)}"})),
        sends(response(206, PNG[99_999:])),
        sends(
            response(
                206,
                JPEG[99_999:],
                {"Content-Range": f"bytes 99999-{len(JPEG) - 1}/{len(JPEG)}", "ETag": '"v2"'},
            )
        ),
    ],
    ids=["416", "another start", "no total", "not to the end", "no range", "another image"],
)
async def test_a_range_that_does_not_fit_is_not_used(
    client: AsyncClient, host: Host, tmp_path: Path, responder: Responder
) -> None:
    """The image is then requested from its beginning."""
    (tmp_path / "img_1.part").write_bytes(PNG[:100_000])
    (tmp_path / "img_1.etag").write_text('"v1"')
    host.script += [responder]
    await client.download(make_task(host.url), tmp_path)
    assert ["range" in request for request in host.requests] == [True, False]
    assert files(tmp_path) == {"img_1.png": PNG}


async def test_a_rest_shorter_than_announced_is_not_kept(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The length of the complete image is checked, not only that of the response."""
    (tmp_path / "img_1.part").write_bytes(PNG[:100])
    (tmp_path / "img_1.etag").write_text('"v1"')
    headers = {"Content-Range": f"bytes 99-{len(PNG) - 1}/{len(PNG)}"}
    host.script += [sends(response(206, PNG[99:-1], headers))]
    with pytest.raises(APIResponseValidationError, match="not as long"):
        await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {}


@given(st.integers(0, len(PNG)), st.integers(0, 4))
@example(len(PNG), 4)
@example(1, 4)
@example(100, 3)
def test_a_kill_at_any_byte_is_no_harm(size: int, etag: int) -> None:
    """Whatever was written of the image and of its validator, the next call completes the image."""

    async def check(directory: Path) -> None:
        (directory / "img_1.part").write_bytes(PNG[:size])
        (directory / "img_1.etag").write_text('"v1"'[:etag])
        async with hosting() as host, AsyncClient(KEY, base_url="http://127.0.0.1:9") as client:
            await client.download(make_task(host.url), directory)
        assert files(directory) == {"img_1.png": PNG}
        assert ("range" in host.requests[0]) == (etag == 4 and size > 1)

    with TemporaryDirectory() as name:
        asyncio.run(check(Path(name)))


async def test_a_cancelled_download_keeps_what_was_received(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """And leaves nothing open."""
    received = asyncio.Event()
    host.script += [stalls(host, 9000)]
    download = client.download(make_task(host.url), tmp_path, on_bytes=lambda _: received.set())
    downloading = asyncio.create_task(download)
    await received.wait()
    downloading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await downloading
    assert files(tmp_path) == {"img_1.part": PNG[:9000], "img_1.etag": b'"v1"'}


async def test_the_same_image_twice_at_once_is_one_transfer(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The second waits for the first, and returns its file."""
    one, two = await asyncio.gather(*[client.download(make_task(host.url), tmp_path) for _ in range(2)])
    assert one == two
    assert (len(host.requests), files(tmp_path)) == (1, {"img_1.png": PNG})


_CLAIM = """
import sys, pathlib
from apimall_async._images._partial import PartialFile
part = PartialFile.claim(pathlib.Path(sys.argv[1]))
print("claimed", flush=True)
sys.stdin.read()
"""


async def test_the_lock_of_another_process_holds(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """As long as it lives: a killed one holds nothing."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CLAIM, str(tmp_path / "img_1"), **pipes
    )
    assert process.stdout
    await process.stdout.readline()
    with pytest.raises(APITimeoutError):
        await client.download(make_task(host.url), tmp_path, timeout=0.12)
    assert host.requests == []
    process.kill()
    await process.communicate()
    await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {"img_1.png": PNG}


def test_a_file_that_was_finished_meanwhile_is_not_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened as a partial file, and renamed before the lock was acquired."""
    stem = tmp_path / "img_1"

    def finish(_: object) -> bool:
        (tmp_path / "img_1.part").rename(tmp_path / "img_1.png")
        return True

    monkeypatch.setattr(_partial, "_lock", finish)
    assert PartialFile.claim(stem) is None


def _link(path: Path) -> None:
    path.hardlink_to(path.parent / "mine")


def _symlink(path: Path) -> None:
    path.symlink_to(path.parent / "mine")


def _socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as created:
        created.bind(str(path))


@pytest.mark.skipif(os.name == "nt", reason="has no such files")
@pytest.mark.parametrize("suffix", [".part", ".etag"])
@pytest.mark.parametrize("put", [_link, _symlink, os.mkfifo, _socket])
async def test_what_may_lead_elsewhere_is_not_written_to(
    client: AsyncClient, host: Host, tmp_path: Path, suffix: str, put: Callable[[Path], None]
) -> None:
    """The image is refused where its bytes would go; the name of its validator is put to use anew."""
    (tmp_path / "mine").write_text("precious")
    put(tmp_path / f"img_1{suffix}")
    if suffix == ".part":
        with pytest.raises(FileExistsError, match="symbolic links, hard links, pipes and devices"):
            await client.download(make_task(host.url), tmp_path)
        assert host.requests == []
    else:
        (tmp_path / "img_1.part").write_bytes(PNG[:100])
        await client.download(make_task(host.url), tmp_path)
        assert files(tmp_path).keys() == {"mine", "img_1.png"}
    assert (tmp_path / "mine").read_text() == "precious"
