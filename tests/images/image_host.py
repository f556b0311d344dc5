"""An image host on a real socket, the responses that a test can script, and a few small helpers."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apimall_async import ImageTask


KEY = "sk-0123456789"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 800
JPEG = b"\xff\xd8\xff" + PNG[:-9]
NOW = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)

Request = dict[str, str]  # headers by their names in small letters; the request line is named ''
Responder = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class Host:
    """An image host that follows HTTP's contract, or for the next requests its script."""

    def __init__(self) -> None:
        self.image = PNG
        self.etag = '"v1"'
        self.modified = ""
        self.requests: list[Request] = []
        self.script: deque[Responder] = deque()
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.url = ""
        self.serving: list[asyncio.Task[Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to the requests of one connection."""
        self.connections += 1
        if connection := asyncio.current_task():
            self.serving.append(connection)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    request = _parse((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                    self.requests.append(request)
                    await self.respond(request, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def respond(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Respond to one request."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await (self.script.popleft() if self.script else self.send_image)(request, writer)
        await writer.drain()
        self.open -= 1

    async def send_image(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Send the image, or the rest of it if that is requested and the image is still the same."""
        wanted = re.fullmatch(r"bytes=(\d+)-", request.get("range", ""))
        validator = self.etag or self.modified
        headers = {"ETag": self.etag, "Last-Modified": self.modified, "Content-Type": "text/plain"}
        if not wanted or request.get("if-range", validator) != validator:
            writer.write(response(200, self.image, headers))
            return
        start, size = int(wanted[1]), len(self.image)
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        writer.write(response(206, self.image[start:], headers))


def _parse(text: str) -> Request:
    first, *lines = text.rstrip().split("\r\n")
    return {"": first} | {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def response(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """Write a response, with its length unless ``headers`` has another."""
    fields = {"Content-Length": str(len(body))} | (headers or {})
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields.items() if value])
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode("latin-1") + body


def sends(data: bytes, *, close: bool = True) -> Responder:
    """Send these bytes, whatever is requested, and close the connection."""

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()

    return respond


def breaks_off(host: Host, size: int, **headers: str) -> Responder:
    """Announce the image, and send only its first ``size`` bytes."""
    announced = {"Content-Length": str(len(host.image)), "ETag": host.etag}
    announced |= {name.replace("_", "-"): value for name, value in headers.items()}
    return sends(response(200, host.image[:size], announced))


def stalls(host: Host, size: int) -> Responder:
    """Announce the image, send its first ``size`` bytes, and then nothing."""

    async def respond(_: Request, writer: asyncio.StreamWriter) -> None:
        announced = {"Content-Length": str(len(host.image)), "ETag": host.etag}
        writer.write(response(200, host.image[:size], announced))
        await asyncio.Event().wait()

    return respond


async def stays_silent(_: Request, __: asyncio.StreamWriter) -> None:
    """Send nothing."""
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


def make_task(url: str | None, task_id: str = "img_1") -> ImageTask:
    """Make a task with this image."""
    return ImageTask(task_id, "nano-banana", "gempix2", NOW, "completed", 8, image_url=url)


def files(directory: Path) -> dict[str, bytes]:
    """Read all files of a directory; a directory in it counts as empty."""
    return {path.name: b"" if path.is_dir() else path.read_bytes() for path in directory.iterdir()}
