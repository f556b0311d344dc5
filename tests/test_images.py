"""``client.download``: what is written, what is asked of whom, and what hostile gateways cannot do."""

import asyncio
import os
import pickle
import re
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from apimall_async import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    ClientClosedError,
    ImageTask,
    InternalServerError,
    RateLimitError,
    _images,
)
from apimall_async._images import file_stem, file_suffix, is_public
from apimall_async.testing import LocalGateway


KEY = "sk-0123456789"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 800
OTHER = b"\xff\xd8\xff" + PNG[:-9]
NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)

Head = dict[str, str]
Reply = Callable[[Head, asyncio.StreamWriter], Awaitable[None]]


class Host:
    """An image host that does as the contract of HTTP says, or as the next reply of its script does."""

    def __init__(self) -> None:
        self.image = PNG
        self.etag = '"v1"'
        self.heads: list[Head] = []
        self.script: deque[Reply] = deque()
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.url = ""
        self.serving: list[asyncio.Task[Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        if connection := asyncio.current_task():
            self.serving.append(connection)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    head = parse_head((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                    self.heads.append(head)
                    await self.reply(head, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def reply(self, head: Head, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await (self.script.popleft() if self.script else self.obey)(head, writer)
        await writer.drain()
        self.open -= 1

    async def obey(self, head: Head, writer: asyncio.StreamWriter) -> None:
        """Send the image, or the rest of it if that is asked for and it is still the same."""
        wanted = re.fullmatch(r"bytes=(\d+)-", head.get("range", ""))
        headers = {"ETag": self.etag, "Content-Type": "text/plain"}
        if not wanted or head.get("if-range", self.etag) != self.etag:
            writer.write(answer(200, self.image, headers))
            return
        start, size = int(wanted[1]), len(self.image)
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        writer.write(answer(206, self.image[start:], headers))


def parse_head(text: str) -> Head:
    """Read names, in small letters, and values; the first line is named ''."""
    first, *lines = text.rstrip().split("\r\n")
    return {"": first} | {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def answer(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """Spell an answer, with its length unless ``headers`` has another."""
    fields = {"Content-Length": str(len(body))} | (headers or {})
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items() if value])
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1") + body


def sends(data: bytes, *, close: bool = True) -> Reply:
    """Send these bytes, whatever is asked, and close the connection."""

    async def reply(_: Head, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()

    return reply


def breaks_off(host: Host, size: int, **headers: str) -> Reply:
    """Announce the image, and send so many bytes of it."""
    announced = {"Content-Length": str(len(host.image)), "ETag": host.etag} | headers
    return sends(answer(200, host.image[:size], announced))


async def stays_silent(_: Head, __: asyncio.StreamWriter) -> None:
    """Answer nothing."""
    await asyncio.Event().wait()


@asynccontextmanager
async def hosting(address: str = "127.0.0.1") -> AsyncGenerator[Host]:
    """Run an image host on this machine."""
    host = Host()
    server = await asyncio.start_server(host.serve, address, 0)
    host.url = f"http://{address}:{server.sockets[0].getsockname()[1]}"
    try:
        yield host
    finally:
        server.close()
        for connection in host.serving:
            connection.cancel()
        await asyncio.gather(*host.serving, return_exceptions=True)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """Run an image host on this machine."""
    async with hosting() as host:
        yield host


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """Make a client of a gateway on this machine, which no test here asks anything."""
    async with AsyncClient(KEY, base_url="http://127.0.0.1:9") as client:
        yield client
    assert not any(_images._pools.values())  # nothing stays open


@pytest.fixture
async def far_client() -> AsyncIterator[AsyncClient]:
    """Make a client of a gateway elsewhere."""
    async with AsyncClient(KEY, base_url="https://gateway.test") as client:
        yield client


def make_task(url: str | None, task_id: str = "img_1") -> ImageTask:
    """Make a task with this image."""
    return ImageTask(task_id, "nano-banana", "gempix2", NOW, "completed", 8, image_url=url)


def files(directory: Path) -> dict[str, bytes]:
    """Read all that a directory holds; of a directory in it, nothing."""
    return {path.name: b"" if path.is_dir() else path.read_bytes() for path in directory.iterdir()}


# --- names ----------------------------------------------------------------------------------------------

HOSTILE = ["../../x", "..", ".hidden", "a/b", "a\\b", "C:x", "CON", "con", "nul.txt", "COM1", "a\0b", "", " "]
IDS = st.one_of(
    st.text(), st.from_regex(r"(img|IMG|img_)_?[0-9A-Za-z]{0,3}", fullmatch=True), st.sampled_from(HOSTILE)
)


@given(IDS, IDS)
@example("img_1A", "img_1a")
@example("img_1", "img_1 ")
@example("x" * 300, "x" * 301)
@example("\ud800", "\ud801")
@example("img_1\n", "img_1")
def test_names_are_harmless_and_never_meet(one: str, other: str) -> None:
    """Letters, digits, - and _; short; not hidden, no device of Windows; alike only for the same id."""
    stem = file_stem(one)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,110}", stem)
    assert not re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", stem)
    assert (stem.casefold() == file_stem(other).casefold()) == (one == other)


def test_a_usual_id_is_the_name() -> None:
    """It can be recognized, and what can be read of another, too."""
    assert file_stem("img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M") == "img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M"
    assert file_stem("../../Etc/passwd").startswith("etc_passwd-")
    assert file_stem("../..").startswith("task-")


@pytest.mark.parametrize("task_id", [*HOSTILE, "x" * 300, "/etc/passwd", "\N{SNOWMAN}\u202e"])
async def test_no_id_leads_out_of_the_directory(
    client: AsyncClient, host: Host, tmp_path: Path, task_id: str
) -> None:
    """The file is in the directory, and nothing is anywhere else."""
    inner = tmp_path / "in" / "ner"
    path = await client.download(make_task(host.url, task_id), inner)
    assert path.parent == inner
    assert list(files(inner)) == [path.name]
    assert list(files(tmp_path / "in")) == ["ner"]


# --- types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "head"),
    [
        (".png", PNG),
        (".jpg", OTHER),
        (".gif", b"GIF89a"),
        (".gif", b"GIF87a"),
        (".webp", b"RIFF\x10\n\0\0WEBPVP8 "),
        (".avif", b"\0\0\0\x20ftypavif\0\0\0\0"),
        (".avif", b"\0\0\0\x20ftypmif1\0\0\0\0miafavif"),
        (".svg", b"<svg>"),
        (".svg", b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a -->\n<!DOCTYPE svg>\n<svg xmlns="">'),
        (".bin", b"\0\0\0\x20ftypheic\0\0\0\0mif1heic"),
        (".bin", b"\0\0\0\x20ftypisom\0\0avif"),
        (".bin", b"<html><svg>"),
        (".bin", b"<!---->" * 145),
        (".bin", b"#!/bin/sh"),
        (".bin", b"MZ"),
    ],
)
def test_the_suffix_tells_what_a_file_holds(suffix: str, head: bytes) -> None:
    """By its first bytes; what is no image is named so that nothing opens it."""
    assert file_suffix(head) == suffix


async def test_neither_url_nor_header_has_a_say(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """The host says text, the URL says something else, and the file is what it is."""
    path = await client.download(make_task(host.url + "/evil.exe?x=.html"), tmp_path)
    assert files(tmp_path) == {"img_1.png": PNG}
    assert path == tmp_path / "img_1.png"


# --- one download ---------------------------------------------------------------------------------------


async def test_an_image_comes_once(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """It is told how many bytes come; a second time nothing is asked, and nothing comes."""
    sizes: list[int] = []
    for _ in range(2):
        assert await client.download(make_task(host.url), str(tmp_path), on_bytes=sizes.append)
    assert sum(sizes) == len(PNG)
    assert len(sizes) > 1  # it is streamed
    assert len(host.heads) == 1


async def test_the_host_is_told_nothing(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """No Authorization, no cookie, no key; not even after the host has set a cookie."""
    host.script += [sends(answer(302, b"", {"Location": "/2", "Set-Cookie": "a=b"}), close=False)]
    await client.download(make_task(host.url + "/1"), tmp_path)
    assert [head[""] for head in host.heads] == ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]
    for head in host.heads:
        assert head.keys() == {"", "host", "accept", "accept-encoding", "user-agent"}
        assert KEY not in str(head)


async def test_chunks_are_a_whole_image_if_their_end_is_marked(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """No length is needed then."""
    chunked = {"Content-Length": "", "Transfer-Encoding": "chunked"}
    host.script += [sends(answer(200, b"", chunked) + b"3\r\nGIF\r\n3\r\n89a\r\n0\r\n\r\n")]
    await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {"img_1.gif": b"GIF89a"}


async def test_many_share_connections_and_wait_for_their_turn(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """However many are asked for at once."""
    tasks = [make_task(host.url, f"img_{number}") for number in range(60)]
    paths = await asyncio.gather(*[client.download(task, tmp_path) for task in tasks])
    assert len(set(paths)) == 60
    assert host.most_open <= 16
    assert host.connections < 60


async def test_the_same_image_twice_at_once_is_one_transfer(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The second waits for the first, and returns its file."""
    one, two = await asyncio.gather(*[client.download(make_task(host.url), tmp_path) for _ in range(2)])
    assert one == two
    assert (len(host.heads), files(tmp_path)) == (1, {"img_1.png": PNG})


_HOLD = """
import sys, pathlib
from apimall_async._images import _Part
part = _Part.claim(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


async def test_another_process_is_waited_for(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """As long as it lives: a killed one holds nothing."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, str(tmp_path / "img_1"), **pipes
    )
    assert process.stdout
    await process.stdout.readline()
    with pytest.raises(APITimeoutError):
        await client.download(make_task(host.url), tmp_path, timeout=0.12)
    assert host.heads == []
    process.kill()
    await process.communicate()
    await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {"img_1.png": PNG}


def test_a_file_that_was_finished_meanwhile_is_not_taken_for_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened as a part, and renamed before the lock was had."""
    stem = tmp_path / "img_1"

    def finish(_: object) -> bool:
        (tmp_path / "img_1.part").rename(tmp_path / "img_1.png")
        return True

    monkeypatch.setattr(_images, "_lock", finish)
    assert _images._Part.claim(stem) is None


# --- going on -------------------------------------------------------------------------------------------


async def test_what_broke_off_is_continued(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """Nothing has the image's name before it is whole; then only the rest is asked for."""
    host.script += [breaks_off(host, 100_000)]
    with pytest.raises(APIConnectionError) as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.retryable
    kept = (tmp_path / "img_1.part").stat().st_size
    assert 0 < kept <= 100_000
    sizes: list[int] = []
    await client.download(make_task(host.url), tmp_path, on_bytes=sizes.append)
    assert host.heads[1].items() >= {"range": f"bytes={kept - 1}-", "if-range": '"v1"'}.items()
    assert sum(sizes) == len(PNG) - kept + 1
    assert files(tmp_path) == {"img_1.png": PNG}


async def test_a_changed_image_is_not_mixed_with_the_old(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The host then sends the new one from its beginning."""
    host.script += [breaks_off(host, 100_000)]
    with pytest.raises(APIConnectionError):
        await client.download(make_task(host.url), tmp_path)
    host.image, host.etag = OTHER, '"v2"'
    await client.download(make_task(host.url), tmp_path)
    assert "range" in host.heads[1]
    assert files(tmp_path) == {"img_1.jpg": OTHER}


@pytest.mark.parametrize("etag", ["", 'W/"v1"', '"v\xff"', '"' + "v" * 201 + '"', "v1"])
async def test_without_a_strong_validator_nothing_is_kept(
    client: AsyncClient, host: Host, tmp_path: Path, etag: str
) -> None:
    """Nothing could tell whether the rest is of the same image."""
    host.script += [breaks_off(host, 100_000, ETag=etag)]
    with pytest.raises(APIConnectionError):
        await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "reply",
    [
        sends(answer(416, b"", {"Content-Range": "bytes */7"})),
        sends(answer(206, PNG[99_998:], {"Content-Range": f"bytes 99998-{len(PNG) - 1}/{len(PNG)}"})),
        sends(answer(206, PNG[99_999:], {"Content-Range": f"bytes 99999-{len(PNG) - 1}/*"})),
        sends(answer(206, PNG[99_999:-1], {"Content-Range": f"bytes 99999-{len(PNG) - 2}/{len(PNG)}"})),
        sends(answer(206, PNG[99_999:])),
        sends(
            answer(
                206,
                OTHER[99_999:],
                {"Content-Range": f"bytes 99999-{len(OTHER) - 1}/{len(OTHER)}", "ETag": '"v2"'},
            )
        ),
    ],
    ids=["416", "another start", "no total", "not to the end", "no range", "another image"],
)
async def test_a_rest_that_does_not_fit_is_not_taken(
    client: AsyncClient, host: Host, tmp_path: Path, reply: Reply
) -> None:
    """The image is then asked for from its beginning."""
    (tmp_path / "img_1.part").write_bytes(PNG[:100_000])
    (tmp_path / "img_1.etag").write_text('"v1"')
    host.script += [reply]
    await client.download(make_task(host.url), tmp_path)
    assert ["range" in head for head in host.heads] == [True, False]
    assert files(tmp_path) == {"img_1.png": PNG}


@given(st.integers(0, len(PNG)), st.integers(0, 4))
@example(len(PNG), 4)
@example(1, 4)
@example(100, 3)
def test_a_kill_at_any_byte_is_no_harm(size: int, etag: int) -> None:
    """Whatever has come of the image and of its validator, the next call makes a whole one of it."""

    async def check(directory: Path) -> None:
        (directory / "img_1.part").write_bytes(PNG[:size])
        (directory / "img_1.etag").write_text('"v1"'[:etag])
        async with hosting() as host, AsyncClient(KEY, base_url="http://127.0.0.1:9") as client:
            await client.download(make_task(host.url), directory)
        assert files(directory) == {"img_1.png": PNG}
        assert ("range" in host.heads[0]) == (etag == 4 and size > 1)

    with TemporaryDirectory() as name:
        asyncio.run(check(Path(name)))


async def test_a_cancelled_download_keeps_what_has_come(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """And leaves nothing open."""
    came = asyncio.Event()

    async def stall(_: Head, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, PNG[:9000], {"Content-Length": str(len(PNG)), "ETag": '"v1"'}))
        await asyncio.Event().wait()

    host.script += [stall]
    download = client.download(make_task(host.url), tmp_path, on_bytes=lambda _: came.set())
    downloading = asyncio.create_task(download)
    await came.wait()
    downloading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await downloading
    assert files(tmp_path) == {"img_1.part": PNG[:9000], "img_1.etag": b'"v1"'}


# --- what a host may do wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (answer(200), "empty"),
        (answer(200, PNG, {"Content-Length": ""}), "no length"),
        (answer(200, PNG, {"Content-Encoding": "gzip"}), "compressed"),
        (answer(200, b"", {"Content-Length": "200001"}), "more than 200000 bytes"),
        (
            answer(200, b"", {"Content-Length": "", "Transfer-Encoding": "chunked"})
            + b"30d41\r\n"
            + b"x" * 200_001
            + b"\r\n0\r\n\r\n",
            "more than 200000 bytes",
        ),
    ],
)
async def test_what_is_no_whole_image_is_not_kept(
    client: AsyncClient, host: Host, tmp_path: Path, data: bytes, words: str
) -> None:
    """It is an error of its own kind, and is not tried again."""
    host.script += [sends(data)]
    with pytest.raises(APIResponseValidationError, match=words) as caught:
        await client.download(make_task(host.url), tmp_path, max_bytes=200_000)
    assert not caught.value.retryable
    assert files(tmp_path) == {}


async def test_a_rest_shorter_than_announced_is_not_kept(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The length of the whole is checked, not only that of the answer."""
    (tmp_path / "img_1.part").write_bytes(PNG[:100])
    (tmp_path / "img_1.etag").write_text('"v1"')
    headers = {"Content-Range": f"bytes 99-{len(PNG) - 1}/{len(PNG)}"}
    host.script += [sends(answer(206, PNG[99:-1], headers))]
    with pytest.raises(APIResponseValidationError, match="not as long"):
        await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, APIStatusError),
        (404, APIStatusError),
        (206, APIStatusError),
        (416, APIStatusError),
        (304, APIStatusError),
        (302, APIStatusError),
        (429, RateLimitError),
        (503, InternalServerError),
        (599, InternalServerError),
    ],
)
async def test_each_status_is_an_error_that_blames_no_key(
    client: AsyncClient, host: Host, tmp_path: Path, status: int, kind: type[APIStatusError]
) -> None:
    """401 is not about the API's key, 404 not about its URL; nothing is left behind."""
    host.script += [sends(answer(status, b"", {"Retry-After": "7"}))]
    with pytest.raises(APIStatusError) as caught:
        await client.download(make_task(host.url), tmp_path)
    error = caught.value
    assert (type(error), error.status, error.retryable) == (kind, status, kind.retryable)
    assert error.retry_after == (7 if kind.retryable else None)
    assert "key" not in str(error)
    assert files(tmp_path) == {}
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.hint) == (str(error), error.hint)


async def test_a_silent_host_is_given_up(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the time for the image is over."""
    monkeypatch.setattr(_images, "_SILENCE", 0.05)
    host.script += [stays_silent]
    with pytest.raises(APITimeoutError) as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.__context__ is None


async def test_a_silent_host_is_given_up_in_mid_image(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has come is kept."""
    monkeypatch.setattr(_images, "_SILENCE", 0.05)

    async def stall(_: Head, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, PNG[:9000], {"Content-Length": str(len(PNG)), "ETag": '"v1"'}))
        await asyncio.Event().wait()

    host.script += [stall]
    with pytest.raises(APITimeoutError):
        await client.download(make_task(host.url), tmp_path)
    assert (tmp_path / "img_1.part").read_bytes() == PNG[:9000]


async def test_a_host_that_dawdles_is_given_up(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """A byte now and then does not buy it time."""

    async def drip(_: Head, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, b"", {"Content-Length": "1000"}))
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    host.script += [drip]
    with pytest.raises(APITimeoutError, match=r"within 0\.1 seconds"):
        await client.download(make_task(host.url), tmp_path, timeout=0.1)


@pytest.mark.parametrize("data", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n"])
async def test_what_is_no_http_is_a_broken_connection(
    client: AsyncClient, host: Host, tmp_path: Path, data: bytes
) -> None:
    """Nothing of aiohttp's comes through."""
    host.script += [sends(data)] * 2
    with pytest.raises(APIConnectionError, match="no whole image") as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.__context__ is None
    assert files(tmp_path) == {}


async def test_no_error_tells_the_key(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the gateway puts it into the name of a host."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"unknown: {KEY}")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(APIConnectionError, match=r"\[API key\]") as caught:
        await client.download(make_task(f"http://{KEY}.test/{KEY}?{KEY}"), tmp_path)
    assert KEY not in repr(caught.value) + str(caught.value)


# --- where no request goes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "ftp://host.test/x.png",
        "//host.test/x.png",
        "/x.png",
        "http://",
        "http://[::1",
        "http://host.test:99999/",
        "http://user@host.test/",
        "http://:password@host.test/",
    ],
)
async def test_a_url_that_is_not_plain_http_is_refused(
    client: AsyncClient, host: Host, tmp_path: Path, url: str
) -> None:
    """Neither as an image_url, nor as what a host redirects to; no error repeats it."""
    with pytest.raises(APIResponseValidationError) as caught:
        await client.download(make_task(url), tmp_path)
    assert url not in str(caught.value)
    if url in {"/x.png", "//host.test/x.png", "http://"}:
        return  # there, it is relative to the host's own
    host.script += [sends(answer(302, b"", {"Location": url}))]
    with pytest.raises(APIResponseValidationError):
        await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {}


async def test_redirects_end(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """Five are followed."""
    host.script += [sends(answer(307, b"", {"Location": "/again"}))] * 6
    with pytest.raises(APIResponseValidationError, match="more than 5 times"):
        await client.download(make_task(host.url), tmp_path)
    assert len(host.heads) == 6


def test_no_redirect_takes_the_encryption_off() -> None:
    """From https to http is refused, from http to https is not."""
    with pytest.raises(APIResponseValidationError, match="from https to http"):
        _images._checked("http://host.test/", URL("https://host.test/"))
    assert _images._checked("https://host.test/", URL("http://host.test/")).scheme == "https"


PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001:db8::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "ff02::1",
    "2130706433",
    "0x7f000001",
    "127.1",
    "017700000001",
    "localhost",
    "",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    """This machine, private networks, metadata services, groups; however they are spelled or wrapped."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700::1", "64:ff9b::101:101", "::ffff:1.1.1.1", "2002:101:101::1"],
)
def test_addresses_that_are_public(address: str) -> None:
    """A socket is made for them."""
    assert is_public(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(_images._public_socket((family, socket.SOCK_STREAM, 0, "", (address, 80)))) as made:
        assert made.family == family


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "localhost", "2130706433", "0", "[::ffff:127.0.0.1]", "cdn.test"]
)
async def test_a_far_gateway_cannot_make_us_ask_this_machine(
    far_client: AsyncClient, host: Host, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever name, also one that means something else at the second look-up: no connection is made."""
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def lie(name: str, *arguments: Any, **options: Any) -> Any:
        return await look_up("127.0.0.1" if name == "cdn.test" else name, *arguments, **options)

    monkeypatch.setattr(loop, "getaddrinfo", lie)
    port = host.url.rpartition(":")[2]
    with pytest.raises(APIError) as caught:
        await far_client.download(make_task(f"http://{name}:{port}/"), tmp_path)
    assert not caught.value.retryable
    assert host.connections == 0
    assert files(tmp_path) == {}
    if name not in {"2130706433", "0"}:  # newer aiohttp refuses these by itself
        assert "not public" in str(caught.value)


async def test_a_redirect_to_this_machine_is_refused(
    far_client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hop is looked at: here, one address of this machine plays the internet."""
    monkeypatch.setattr(_images, "is_public", lambda address: address == "127.0.0.2")
    async with hosting("127.0.0.2") as public:
        public.script += [sends(answer(302, b"", {"Location": host.url}))]
        with pytest.raises(APIResponseValidationError, match="not public"):
            await far_client.download(make_task(public.url), tmp_path)
    assert (public.connections, host.connections) == (1, 0)


async def test_no_proxy_is_asked(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look the host up by itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await client.download(make_task(host.url), tmp_path)


# --- arguments, and the disk ----------------------------------------------------------------------------


@pytest.mark.parametrize("url", [None, ""])
async def test_a_task_without_an_image_is_a_wrong_argument(
    client: AsyncClient, tmp_path: Path, url: str | None
) -> None:
    """A ValueError, as for any other; nothing is made."""
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
    """It says so."""
    client = AsyncClient(KEY)
    await client.close()
    with pytest.raises(ClientClosedError):
        await client.download(make_task("http://host.test"), tmp_path)


async def test_what_the_disk_says_comes_through(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """An OSError, before anything is asked."""
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        await client.download(make_task(host.url), tmp_path / "file" / "inner")
    assert host.heads == []


async def test_a_full_disk_is_the_disk_s(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not mistaken for a broken connection, and what came before is kept."""
    write = _images._Part.write

    def fill(part: Any, chunk: bytes) -> None:
        if part.size > 65_536:
            raise OSError(28, os.strerror(28))
        write(part, chunk)

    monkeypatch.setattr(_images._Part, "write", fill)
    with pytest.raises(OSError, match="No space left"):
        await client.download(make_task(host.url), tmp_path)
    assert PNG.startswith((tmp_path / "img_1.part").read_bytes())


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
