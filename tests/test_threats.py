"""What docs/threat-model.md promises and no other test shows, from the attacker's side."""

import asyncio
import json
import logging
import os
import runpy
import stat
import sys
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import click
import pytest
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner
from yarl import URL

from apimall_async import (
    APIConnectionError,
    APIError,
    ApimallError,
    AsyncClient,
    PaginationError,
    RetryPolicy,
)
from apimall_async.cli._app import apimall
from apimall_async.testing import Fault, LocalGateway
from apimall_async.ui import serve


Reply = Callable[[asyncio.StreamWriter], AsyncGenerator[bytes]]

EVIL = "no\x1b[2J\x1b]0;pwned\x07\r\n2026-03-12 INFO forged\u202e\u2028"
MIB = 2**20


@asynccontextmanager
async def responding(*parts: bytes, again: bytes = b"") -> AsyncGenerator[str]:
    """Run a server that sends ``parts`` to each client, then ``again`` without end; give its URL."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"".join(parts))
            while again:
                writer.write(again)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


# The gateway: what it says.


def escaped(text: str) -> str:
    """Spell a text in JSON's longest way."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


def error_body(text: str) -> bytes:
    """Spell an error of the contract that has ``text``, with JSON's escapes, wherever it can."""
    spelled = escaped(text)
    body = (
        f'{{"success":false,"error":{{"code":"{spelled}","message":"{spelled}"}},"request_id":"{spelled}"}}'
    )
    return body.encode()


async def test_an_error_steers_no_terminal_and_forges_no_line(
    gateway: LocalGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Printed as a traceback, or in a log, the gateway's texts are one line without controls."""
    caplog.set_level(logging.INFO)
    page = b'{"success":true,"data":{"items":[],"page":7,"limit":50},"request_id":"\\u001b[2J\\n"}'
    gateway.fault(Fault(status=500, body=error_body(EVIL)), Fault(status=401, body=error_body(EVIL)))
    gateway.fault(Fault(body=page))
    async with gateway.client(retry=RetryPolicy(max_tries=2, wait_initial=0.0)) as client:
        for kind in (APIError, PaginationError):
            with pytest.raises(kind) as caught:
                [task async for task in client.iter_history()]
            (line,) = traceback.format_exception_only(caught.value)
            assert line.rstrip("\n").isprintable()
    (record,) = caplog.records
    assert "pwned" in vars(record)["error"]
    assert "".join(map(str, vars(record).values())).isprintable()


async def test_a_key_spelled_with_escapes_is_cut_out(gateway: LocalGateway) -> None:
    """JSON has many spellings for it; an error has none of it in any attribute."""
    gateway.fault(Fault(status=401, body=error_body(f"bad {gateway.api_key}")))
    async with gateway.client() as client:
        with pytest.raises(APIError, match=r"bad \[API key\]") as caught:
            await client.list_history()
    assert gateway.api_key not in str(caught.value) + repr(vars(caught.value)) + repr(caught.value.args)


@pytest.mark.parametrize("around", ["", "\\", "\\\\", '"', "\n"])
async def test_a_page_that_has_the_key_spelled_with_escapes_is_read_without(
    gateway: LocalGateway, around: str
) -> None:
    """The key is cut out of a task's texts; what stands around it stays."""
    task = {
        "task_id": "1",
        "model": f"{around}KEY{around}",
        "source": "",
        "created_at": "2026-03-12",
        "status": "",
        "credits_used": 1,
    }
    page = {"success": True, "data": {"items": [task], "page": 1, "limit": 20}, "request_id": ""}
    body = json.dumps(page).replace("KEY", escaped(gateway.api_key))
    gateway.fault(Fault(body=body.encode()))
    async with gateway.client() as client:
        page = await client.list_history()
    assert page.items[0].model == f"{around}[API key]{around}"


PACKER = zlib.compressobj(9, wbits=-15)
BOMB = PACKER.compress(b" " * MIB) + PACKER.flush(zlib.Z_FULL_FLUSH)  # a kilobyte; unpacks to a MiB each time

OK = b"HTTP/1.1 200 X\r\n"
ENDLESS = {  # how a response begins, and how it goes on for ever
    "headers": ([OK], b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(50))),
    "one header": ([OK, b"X: "], b"a" * 65536),
    "reason": ([b"HTTP/1.1 200 "], b"a" * 65536),
    "early hints": ([], b"HTTP/1.1 103 X\r\nLink: a\r\n\r\n" * 50),
    "trailers": (
        [OK, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"],
        b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(50)),
    ),
    "chunk extension": ([OK, b"Transfer-Encoding: chunked\r\n\r\n2;a="], b"a" * 65536),
    "body": ([OK, b"\r\n"], b"a" * 65536),
    "compressed body": ([OK, b"Content-Encoding: deflate\r\n\r\n"], BOMB * 50),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_a_response_without_end_takes_little_memory(kind: str) -> None:
    """Wherever it does not end, it is an error, in time, and takes a few MiB."""
    begin, again = ENDLESS[kind]
    async with (
        responding(*begin, again=again) as url,
        AsyncClient("sk-x", base_url=url, retry=None, timeout=0.5) as client,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(APIError):
                await client.list_history()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    reads_much_at_once = type(asyncio.get_running_loop()).__module__ == "uvloop"
    assert peak < (120 if reads_much_at_once else 12) * MIB


async def test_a_zstd_bomb(gateway: LocalGateway) -> None:
    """Where Python knows zstd, aiohttp accepts it by itself: 2 kB that unpack to 64 MiB take a few MiB."""
    zstd = pytest.importorskip("compression.zstd", reason="Python 3.14 or newer has it")
    gateway.fault(Fault(body=zstd.compress(b" " * (64 * MIB)), headers={"Content-Encoding": "zstd"}))
    async with gateway.client(retry=None) as client:
        tracemalloc.start()
        try:
            with pytest.raises(APIError, match="a page of more than 2097152 bytes"):
                await client.list_history()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "zstd" in gateway.requests[0].headers["Accept-Encoding"]
    assert peak < 12 * MIB


async def test_nothing_but_get_is_sent(gateway: LocalGateway, tmp_path: Path) -> None:
    """The key may be able to do more; this library reads the history, and nothing else, with it."""
    async with gateway.client() as client:
        tasks = [task async for task in client.iter_history(read_ahead=2)]
        await client.list_history()
        await client.download(next(task for task in tasks if task.image_url), tmp_path)
        async with (
            serve(client) as url,
            aiohttp.ClientSession(url) as http,
            http.get("api/tasks") as response,
        ):
            assert response.status == 200
    sent = {
        (one.method, one.path.partition("/img_")[0], "Authorization" in one.headers)
        for one in gateway.requests
    }
    assert sent == {("GET", "/api/v1/images/history", True), ("GET", "/images", False)}


# The network.


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 407 hunter2 is wrong, bWU6aHVudGVyMg==\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_a_proxy_s_password_is_in_no_error(reply: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the proxy responds: aiohttp's own messages have its URL."""
    caplog.set_level(logging.DEBUG)
    async with responding(reply) as url:
        proxy = url.replace("//", "//me:hunter2@")
        retry = RetryPolicy(max_tries=2, wait_initial=0.0)
        async with AsyncClient("sk-x", base_url="https://gateway.test", proxy=proxy, retry=retry) as client:
            with pytest.raises(APIConnectionError) as caught:
                await client.list_history()
            shown = repr(client) + str(caught.value) + repr(vars(caught.value)) + repr(caught.value.args)
    assert "hunter2" not in shown + caplog.text
    assert "bWU6aHVudGVyMg" not in shown + caplog.text
    assert caught.value.__context__ is None


# The same machine.


def commands(command: click.Command) -> Iterator[click.Command]:
    """List a command and all below it."""
    yield command
    for inner in getattr(command, "commands", {}).values():
        yield from commands(inner)


def test_no_option_takes_the_key() -> None:
    """Whoever lists the processes sees options."""
    options = {option for command in commands(apimall) for one in command.params for option in one.opts}
    assert "--base-url" in options
    assert not [option for option in options if "key" in option or "token" in option]


async def test_another_site_costs_no_request(gateway: LocalGateway) -> None:
    """What another site has the browser request of the history page never reaches the gateway."""
    async with gateway.client() as client, serve(client) as url, aiohttp.ClientSession(url) as http:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
            async with http.get("api/tasks", headers=headers) as response:
                assert response.status in {403, 421}
    assert not gateway.requests


async def test_the_programs_without_a_login_respond_to_their_own_names(gateway: LocalGateway) -> None:
    """Those in the documentation, which are copied: a name that was rebound to this machine gets nothing."""
    pytest.importorskip("fastapi", reason="needs fastapi")
    examples = Path(__file__).parent.parent / "docs" / "examples"
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    fastapi = runpy.run_path(str(examples / "history_in_fastapi.py"))["app"]
    request = {"type": "http", "method": "GET", "path": "/history.jsonl", "query_string": b""}
    await fastapi(request | {"headers": [(b"host", b"evil.example")]}, None, send)
    assert sent[0]["status"] == 400
    make_service = runpy.run_path(str(examples / "history_in_aiohttp.py"))["make_service"]
    async with TestClient(TestServer(make_service(gateway.client(), {"localhost:8080"}))) as http:
        for host, status in {"localhost:8080": 200, "evil.example:8080": 421}.items():
            async with http.get("/history/api/tasks", headers={"Host": host}) as response:
                assert response.status == status
    assert len(gateway.requests) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine on Linux")
async def test_nothing_listens_beyond_loopback(gateway: LocalGateway) -> None:
    """Another address of this machine, here one more of loopback's, leads to neither page nor gateway."""
    async with gateway.client() as client, serve(client) as page:
        for url in (page, gateway.url):
            port = URL(url).port
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.2", port)


@pytest.fixture
def _private() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def run(apimall_gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command with ``apimall_gateway``, and give its exit code."""
    monkeypatch.setenv("APIMALL_API_KEY", apimall_gateway.api_key)
    monkeypatch.setenv("APIMALL_BASE_URL", apimall_gateway.url)
    return lambda *arguments: CliRunner().invoke(apimall, [str(one) for one in arguments]).exit_code


@pytest.mark.skipif(os.name == "nt", reason="has no such modes")
@pytest.mark.usefixtures("_private")
def test_files_are_as_private_as_the_umask_says(
    run: Callable[..., int], apimall_gateway: LocalGateway, tmp_path: Path
) -> None:
    """With 077 no other user reads the history: neither the files, nor those on the way to them."""
    seen: dict[str, int] = {}

    @apimall_gateway.rule
    def look(_: object) -> None:
        seen.update({path.suffix: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*.*")})

    for suffix in (".jsonl", ".csv", ".parquet"):
        assert run("export", tmp_path / f"tasks{suffix}") == 0
    assert run("download", tmp_path / "images", "--limit", "3", "--concurrency", "1") == 0
    look(None)
    assert seen.keys() >= {".part", ".part-wal", ".jsonl", ".csv", ".parquet", ".svg"}
    assert set(seen.values()) == {0o600}


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="has no such flag")
@pytest.mark.parametrize("suffix", [".part", ".etag", ".svg"])
async def test_a_link_where_an_image_goes_is_not_followed(
    gateway: LocalGateway, tmp_path: Path, suffix: str
) -> None:
    """Somebody else's link, in a directory that he can write to, does not have a file of ours overwritten."""
    mine = tmp_path / "mine"
    mine.write_text("precious")
    task = next(task for task in gateway.tasks if task.image_url)
    link = tmp_path / f"{task.task_id}{suffix}"
    link.symlink_to(mine if suffix != ".svg" else tmp_path / "missing")
    async with gateway.client() as client:
        if suffix == ".part":
            with pytest.raises(OSError, match="symbolic links"):
                await client.download(task, tmp_path)
        else:
            path = await client.download(task, tmp_path)
            assert not path.is_symlink()
    assert mine.read_text() == "precious"
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("beside", ["", ".part", ".part.tmp"])
@pytest.mark.parametrize("content", ["", "precious"])
def test_a_link_where_an_export_goes_is_not_followed(
    run: Callable[..., int], tmp_path: Path, suffix: str, beside: str, content: str
) -> None:
    """Nor here: it is replaced, or the export ends."""
    mine = tmp_path / "mine"
    mine.write_text(content)
    file = tmp_path / f"tasks{suffix}"
    file.with_name(file.name + beside).symlink_to(mine)
    assert run("export", file, "--overwrite") == (1 if beside == ".part" else 0)
    assert mine.read_text() == content
    assert not file.is_symlink()


# Completeness.


@pytest.mark.parametrize("size", [None, 0, 1, 200, -2, -1])
async def test_a_cut_connection_is_no_end_of_the_history(size: int | None) -> None:
    """Whoever cuts it, at any byte of a page without Content-Length: an error, not a shorter history."""
    async with LocalGateway(20) as gateway, aiohttp.ClientSession() as http:
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        async with http.get(f"{gateway.url}/api/v1/images/history?limit=50", headers=headers) as response:
            body = await response.read()
    async with (
        responding(OK, b"Connection: close\r\n\r\n", body[:size]) as url,
        AsyncClient("sk-x", base_url=url, retry=None) as client,
    ):
        if size is None:
            assert len([task async for task in client.iter_history()]) == 20
            return
        with pytest.raises(ApimallError):
            await anext(client.iter_history())
