"""The image of a task, as a file: streamed, whole or not there, continued after a break.

What the gateway sends is data here. It names no path, and no host in our own network unless the gateway
is on this machine itself. An image's host is told nothing of the account: it is asked over connections of
their own, without the API's headers.
"""

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager, closing
from hashlib import sha256
from http import HTTPStatus
from http.client import responses
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
import attrs
from yarl import URL

from apimall_async._errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    InternalServerError,
    RateLimitError,
)
from apimall_async._models import ImageTask
from apimall_async._protocol import parse_retry_after
from apimall_async._transport import may_pass
from apimall_async._version import __version__


if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl


Failure = TypeVar("Failure", bound=APIError)

_SILENCE = 30.0  # seconds without a byte, before the host is given up
_AT_ONCE = 16  # images under way; further ones wait for their turn
_HOPS = 5  # redirects that are followed
_CHUNK = 2**16  # bytes
_HEAD = 2**10  # bytes that tell the type
_LOOK_AGAIN = 0.05  # seconds, while another download has the file
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ABOUT_RANGES = frozenset({HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})


@attrs.frozen
class Limits:
    """What one download may take; ValueError names the value that cannot be a limit."""

    max_bytes: int = attrs.field(validator=attrs.validators.ge(1))
    timeout: float = attrs.field(validator=attrs.validators.gt(0))


async def download(
    task: ImageTask,
    directory: Path,
    limits: Limits,
    on_bytes: Callable[[int], object] | None,
    *,
    anywhere: bool,
) -> Path:
    """Download a task's image, unless it is there. Addresses that are not public need ``anywhere``.

    Raises:
        ValueError: the task has no image_url.
        APIError: the image cannot be had, by the subclass that says how.
        OSError: the file cannot be written.

    """
    if not task.image_url:
        raise ValueError(f"the task {task.task_id!r} has no image_url, its status is {task.status!r}")
    stem = directory / file_stem(task.task_id)
    if whole := _find_whole(stem):
        return whole
    url = _checked(task.image_url)
    async with _pool(anywhere=anywhere) as session:
        fetching = _Download(session, url, stem, limits.max_bytes, on_bytes)
        try:
            async with asyncio.timeout(limits.timeout):
                return await fetching.run()
        except TimeoutError:
            words = f"no whole image within {limits.timeout:g} seconds, or silence for {_SILENCE:g}"
            failure = _hinted(APITimeoutError(words), "allow more time, or try again")
    raise failure  # out here it has no __context__, which would hold the request


# --- names and types -------------------------------------------------------------------------------

_PLAIN = re.compile(r"[a-z]{1,16}_[0-9A-Z]{1,40}")  # such as img_ and a ULID
_TYPES = {
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    ".jpg": re.compile(rb"\xff\xd8\xff"),
    ".gif": re.compile(rb"GIF8[79]a"),
    ".webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    ".avif": re.compile(rb".{4}ftyp(?:.{4}){0,15}?avi[fs]", re.DOTALL),
    # What may stand before the root is taken for good, so that no text makes this search long.
    ".svg": re.compile(
        rb"(?:\xef\xbb\xbf)?\s*+(?:(?><\?xml.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>)\s*+)*+<svg[\s/>]", re.DOTALL
    ),
    ".bin": re.compile(b""),
}
"""Suffixes, and how the files begin; the last fits all."""


def file_stem(task_id: str) -> str:
    """Name a file, but for its suffix, by a task's id: no two ids alike, whatever they hold.

    A usual id is the name. Two of these differ even where the file system takes A for a: what stands
    before the underscore is in small letters, and what stands behind it in none. Of any other id the name
    has what can be read, and a digest.
    """
    if _PLAIN.fullmatch(task_id):
        return task_id
    readable = re.sub("[^a-z0-9]+", "_", task_id.lower())[:40].strip("_")
    digest = sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{readable or 'task'}-{digest}"


def file_suffix(head: bytes) -> str:
    """Tell the type by how a file begins. What a URL or a header says of it counts for nothing."""
    return next(suffix for suffix, beginning in _TYPES.items() if beginning.match(head))


def _find_whole(stem: Path) -> Path | None:
    paths = (stem.with_suffix(suffix) for suffix in _TYPES)
    return next((path for path in paths if path.is_file()), None)


# --- where to go, and where not --------------------------------------------------------------------

_GLOBAL = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 addresses, as a network without IPv4 has them


class _NotPublicError(OSError):
    pass


def _checked(text: str, base: URL | None = None) -> URL:
    """Take a URL that may be asked, or where ``base`` redirects to; the host is checked on connecting."""
    try:
        url = base.join(URL(text)) if base else URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise _refused("the image's URL does not begin with http(s):// and a host")
    if url.user is not None or url.password is not None:  # they would be sent as Authorization
        raise _refused("the image's URL holds a user or a password")
    if base and (base.scheme, url.scheme) == ("https", "http"):
        raise _refused("the image's host redirects from https to http")
    return url


def _public_socket(info: Any) -> socket.socket:
    """Make a socket for an address that is public.

    The address looked at is the one that is connected to: no second look-up, and so no name that means
    something else by then, lies between.
    """
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise _NotPublicError("the image's host is at an address that is not public")
    return socket.socket(family, kind, protocol)


def is_public(text: str) -> bool:
    """Whether this is an address on the internet: of one machine, and not of this or a private network."""
    try:
        address = ip_address(text)
    except ValueError:  # such as 2130706433, which a system takes for 127.0.0.1
        return False
    if isinstance(address, IPv6Address):
        inner = IPv4Address(int(address) % 2**32) if address in _NAT64 else None
        inner = inner or address.ipv4_mapped or address.sixtofour
        if not inner:
            return address.is_global and address in _GLOBAL
        address = inner
    return address.is_global and not address.is_multicast


@attrs.define
class _Pool:
    session: aiohttp.ClientSession
    turns: asyncio.Semaphore
    users: int = 0


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, _Pool]] = WeakKeyDictionary()


@asynccontextmanager
async def _pool(*, anywhere: bool) -> AsyncGenerator[aiohttp.ClientSession]:
    """Wait for a turn, and share connections with all downloads of this loop that are under way.

    They are closed with the last of them, so nobody has to.
    """
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    pool = pools.get(anywhere)
    if not pool:
        pool = pools[anywhere] = _Pool(_open_session(anywhere=anywhere), asyncio.Semaphore(_AT_ONCE))
    pool.users += 1
    try:
        async with pool.turns:
            yield pool.session
    finally:
        pool.users -= 1
        if not pool.users:
            del pools[anywhere]
            await pool.session.close()


def _open_session(*, anywhere: bool) -> aiohttp.ClientSession:
    # A proxy would look the host up by itself, so none is used.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(socket_factory=None if anywhere else _public_socket),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Accept": "image/*",
            "Accept-Encoding": "identity",  # a range is of what is sent, and so is a length
            "User-Agent": f"apimall-async/{__version__}",
        },
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE),
    )


# --- the file --------------------------------------------------------------------------------------

_STRONG = re.compile(r'"[!#-~]{0,200}"')  # RFC 9110, 8.8.3: no W/ in front; these bytes, or no match


class _Part:
    """An image on its way, and the validator of what has come. Whoever has the lock may write it.

    The system drops the lock when a process ends, however it ends.
    """

    def __init__(self, stem: Path, file: BinaryIO) -> None:
        self._stem = stem
        self._file = file
        self._path, self._tag = _part_paths(stem)
        self._done = False

    @classmethod
    def claim(cls, stem: Path) -> Self | None:
        """Open the part, or begin one; None while another has it."""
        path, _ = _part_paths(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            file = stack.enter_context(open(path, "a+b", opener=_open_no_link))
            if not (_lock(file) and _is_at(file, path)):
                return None
            stack.pop_all()
        return cls(stem, file)

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self._file.seek(0, os.SEEK_END)

    @property
    def validator(self) -> str | None:
        """What tells whether the rest is of the same image; None if nothing does."""
        try:
            text = self._tag.read_text("ascii", errors="replace")
        except FileNotFoundError:
            return None
        return text if _STRONG.fullmatch(text) else None

    def begin(self, validator: str = "") -> None:
        """Forget what has come. At no moment is there a byte with another image's validator."""
        self._tag.unlink(missing_ok=True)
        self._file.truncate(0)
        if _STRONG.fullmatch(validator):
            with self._tag.open("x", encoding="ascii") as tag:
                tag.write(validator)

    def cut(self, size: int) -> None:
        """Keep so many bytes."""
        self._file.truncate(size)

    def write(self, chunk: bytes) -> None:
        """Add some bytes."""
        self._file.write(chunk)

    async def finish(self) -> Path:
        """Give the whole image its name, once it is on the disk."""
        self._file.seek(0)
        path = self._stem.with_suffix(file_suffix(self._file.read(_HEAD)))
        self._file.flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())
        self._tag.unlink(missing_ok=True)
        if sys.platform == "win32":  # pragma: no cover - there, what is open cannot be renamed
            self._file.close()
        self._path.replace(path)
        self._done = True
        return path

    def close(self) -> None:
        """Let go of the file; keep it if it can be continued."""
        useless = not self._done and not (self.size and self.validator)
        if sys.platform == "win32":  # pragma: no cover - nor removed
            self._file.close()
        if useless:
            self._tag.unlink(missing_ok=True)
            self._path.unlink()
        self._file.close()


def _part_paths(stem: Path) -> tuple[Path, Path]:
    return stem.with_suffix(".part"), stem.with_suffix(".etag")


def _open_no_link(path: str, flags: int) -> int:
    """Open a file, but no link that somebody has put in its place, to have another file overwritten."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _lock(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":  # pragma: no cover
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one of this name: the one before may have just finished it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


# --- the transfer ----------------------------------------------------------------------------------


@attrs.frozen
class _Download:
    session: aiohttp.ClientSession
    url: URL
    stem: Path
    max_bytes: int
    on_bytes: Callable[[int], object] | None

    async def run(self) -> Path:
        """Bring the image here, or find that another download of it just did."""
        while not (part := _Part.claim(self.stem)):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(_LOOK_AGAIN)
        with closing(part):
            if whole := _find_whole(self.stem):
                return whole
            if not await self._receive(part):
                part.begin()
                await self._receive(part)
            return await part.finish()

    async def _receive(self, part: _Part) -> bool:
        """Receive the image, or the rest of it; False if the rest cannot be had by itself.

        The last byte that has come is asked for again: so a rest is never empty, even if all has come.
        """
        validator, start = part.validator, part.size - 1
        ask_rest = {"Range": f"bytes={start}-", "If-Range": validator} if validator and start > 0 else {}
        with closing(await self._ask(ask_rest)) as response:
            if response.status == HTTPStatus.OK:
                total = response.content_length
                part.begin(response.headers.get("ETag", ""))
            elif ask_rest and response.status in _ABOUT_RANGES:
                total = _total(response, start, validator)
                if not total:
                    return False
                part.cut(start)
            else:
                raise _status_error(response)
            try:
                await self._store(response, part, total)
            except APIResponseValidationError:
                part.begin()  # more of this would be no better
                raise
        return True

    async def _store(self, response: aiohttp.ClientResponse, part: _Part, total: int | None) -> None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise _refused("the image's host sent it compressed, unasked")
        if total is None and "chunked" not in response.headers.get("Transfer-Encoding", ""):
            raise _refused("the image's host tells no length, so none can tell whether the image is whole")
        if (total or 0) > self.max_bytes:
            raise self._too_large()
        async with aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                if part.size + len(chunk) > self.max_bytes:
                    raise self._too_large()
                part.write(chunk)
                if self.on_bytes:
                    self.on_bytes(len(chunk))
        if part.size != (total or part.size) or not part.size:
            raise _refused("the image is empty, or not as long as its host announced")

    def _too_large(self) -> APIError:
        return _refused(f"the image has more than {self.max_bytes} bytes")

    async def _ask(self, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Send a request, and those that redirects lead to."""
        url = self.url
        for _ in range(_HOPS + 1):
            response = await _get(self.session, url, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                return response
            response.close()
            url = _checked(location, url)
        raise _refused(f"the image's host redirects more than {_HOPS} times")


async def _get(session: aiohttp.ClientSession, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
    try:
        return await session.get(url, headers=headers, allow_redirects=False)
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as one of ours
        failure = _translated(error)
    raise failure


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            yield chunk
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - idem; what the consumer raises does not come by here
        failure = _translated(error)
    else:
        return
    raise failure


def _total(response: aiohttp.ClientResponse, start: int, validator: str | None) -> int:
    """Tell the image's length, of an answer with its rest; 0 if it is not the rest of this image."""
    found = re.fullmatch(
        r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", response.headers.get("Content-Range", "")
    )
    if not found or response.headers.get("ETag", validator) != validator:
        return 0
    first, last, total = map(int, found.groups())
    return total if (first, last + 1) == (start, total) else 0


# --- what went wrong -------------------------------------------------------------------------------
# No message has the URL: whoever knows a signed one may have the image.


def _status_error(response: aiohttp.ClientResponse) -> APIStatusError:
    status = response.status
    words = f"the image's host answered {status} {responses.get(status, '')}".rstrip()
    wait = parse_retry_after(response.headers)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _hinted(RateLimitError(words, status=status, retry_after=wait), "try again later")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _hinted(InternalServerError(words, status=status, retry_after=wait), "try again later")
    # A 404 here says nothing of the gateway, nor does a 401 of the key: no subclasses of these names.
    return _hinted(APIStatusError(words, status=status), "the URL may have expired: read the history again")


def _translated(error: Exception) -> APIError:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, _NotPublicError):
        return _refused(str(cause))
    words = str(error) if isinstance(error, aiohttp.ClientConnectorError) else type(error).__name__
    failure = APIConnectionError(f"no whole image: {words}")
    failure.retryable = may_pass(error)
    return _hinted(failure, "check the network, or try again")


def _refused(words: str) -> APIResponseValidationError:
    return _hinted(APIResponseValidationError(words), "")


def _hinted(error: Failure, hint: str) -> Failure:
    """Say what to do in place of the class's hint, which is about the gateway."""
    error.hint = hint
    return error
