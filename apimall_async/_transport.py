"""One GET, once, over the caller's session or one of our own: the whole response, or a typed error."""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, suppress
from typing import NamedTuple, Protocol

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from apimall_async._connections import Connections
from apimall_async._errors import (
    APIConnectionError,
    ApimallError,
    APIResponseValidationError,
    ClientClosedError,
    ConfigurationError,
)
from apimall_async._frames import cut_frames, find_callers_error
from apimall_async._loops import PerLoop
from apimall_async._network_errors import (
    DISTRUST,
    DISTRUST_HINT,
    describe,
    has_connected,
    is_unreadable,
    may_pass,
)
from apimall_async._protocol import Headers
from apimall_async._redaction import Redactor
from apimall_async._settings import Proxy
from apimall_async._timeouts import Limits, timeout_error
from apimall_async._waits import Waits


_OK = 200
_CLOSED = "the client, or the session passed to it, is closed: make another"
_MAX_BODY = 2 * 2**20  # bytes of a page, unpacked; fifty tasks take some 20 000
_MAX_ERROR_BODY = 64 * 2**10  # bytes of an error's body that are looked at
_MAX_MESSAGE = 500  # characters
_SHORTEST = 4  # characters of a password that is cut out of messages


class Response(NamedTuple):
    """What came back."""

    started: float
    """When the request did, on ``time.monotonic``'s clock."""
    status: int
    headers: Headers
    body: bytes


class Gate(Protocol):
    """What a request passes on its way: the client's rate-limit guard."""

    def start(self) -> float | None:
        """Let a request start, and return the moment; or None if it must wait."""
        ...

    def note(self, started: float, status: int, headers: Headers) -> None:
        """Take note of a response, before its body is read."""
        ...

    def end(self, started: float) -> None:
        """Take note that a request has ended, with a response or without."""
        ...


class Transport:
    """Sends requests over the caller's session, or over one of its own for each event loop."""

    def __init__(
        self,
        session: aiohttp.ClientSession | None,
        headers: CIMultiDict[str],
        redactor: Redactor,
        proxy: Proxy,
    ) -> None:
        self._given = session
        self._redactor = redactor
        self._headers = headers
        self._proxy = proxy
        self._closed = False
        self._connections: PerLoop[Connections] = PerLoop()
        self.waits = Waits()
        """What the requests wait for outside of here; closing ends it."""

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._closed

    async def close(self) -> None:
        """End what is under way or waits, and close the own sessions.

        Those of other threads are closed as soon as their loops come to it.
        """
        self._closed = True
        self.waits.end_all()
        here = asyncio.get_running_loop()
        for loop, connections in self._connections.pop_all().items():
            if loop is here:
                await connections.close()
            elif loop.is_running():
                with suppress(RuntimeError):  # the loop is closed by now, and its session with it
                    loop.call_soon_threadsafe(connections.close_soon)

    def check_open(self) -> None:
        """Raise ClientClosedError if there is nothing to send requests over."""
        if self._nothing_open():
            raise ClientClosedError(_CLOSED)

    def _nothing_open(self) -> bool:
        return self._closed or (self._given is not None and self._given.closed)

    def is_ready(self) -> bool:
        """Whether a request need not wait for a connection."""
        connections = self._connections.find()
        return connections is not None and not connections.slots.locked()

    def tasks_under_way(self) -> set[asyncio.Task[object]]:
        """Return the tasks of this loop whose request is sent, and lacks only its response."""
        connections = self._connections.find()
        return connections.tasks() if connections else set()

    async def get(self, url: URL, gate: Gate, limits: Limits) -> Response | None:
        """Send one request, once there is a connection for it, and the gate says that it still may.

        None if the request did not start.

        Raises:
            APIConnectionError: no whole response came back.
            APIResponseValidationError: a page that is too large to be one, or that cannot be unpacked.
            ClientClosedError: there is no open session to send it over.

        """
        connections = await self._connect()
        await connections.slots.acquire()
        failure: BaseException
        try:
            self.check_open()
            if (started := gate.start()) is None:
                return None
            try:
                return await self._exchange(connections, url, gate, limits, started)
            finally:
                gate.end(started)
        except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as one of ours, or the caller's
            failure = self._translated(error, limits)
        except BaseException as error:  # noqa: BLE001 - a cancellation, or Ctrl-C
            failure = error
        finally:
            connections.slots.release()
        # Raised out here, an error of ours has no __context__: aiohttp's own hold what must not be shown.
        cut_frames(failure, sys.exception())
        try:
            raise failure
        finally:
            del failure  # or it would hold itself, by its traceback

    async def _exchange(
        self, connections: Connections, url: URL, gate: Gate, limits: Limits, started: float
    ) -> Response:
        with connections.deadline(limits.seconds):
            try:
                async with self._request(connections.session, url, limits.phases) as response:
                    _refuse_cached(response)
                    gate.note(started, response.status, response.headers)
                    body = self._redactor.body(await _read(response))
                    return Response(started, response.status, response.headers, body)
            except aiohttp.ClientHttpProxyError as refusal:
                gate.note(started, refusal.status, CIMultiDict(refusal.headers or ()))
                raise

    def _request(
        self, session: aiohttp.ClientSession, url: URL, timeout: aiohttp.ClientTimeout
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse, None]:
        return session.get(
            url,
            headers=self._headers,
            timeout=timeout,
            proxy=self._proxy.url,
            proxy_headers=self._proxy.headers,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=True,
            middlewares=(*getattr(session, "_middlewares", ()), _send_once),
        )

    async def _connect(self) -> Connections:
        """Return what belongs to the running loop; an own session is opened."""
        self.check_open()
        connections = self._connections.find()
        if connections is None or connections.session.closed:
            connections = self._connections.put(await Connections.open(self._given))
        return connections

    def _translated(self, error: Exception, limits: Limits) -> BaseException:
        if isinstance(error, ApimallError):
            return error
        if self._nothing_open():
            return ClientClosedError(_CLOSED)
        if callers := find_callers_error(error):
            return callers
        if is_unreadable(error):
            return APIResponseValidationError(f"the response cannot be read, {self._describe(error)}")
        failure = timeout_error(error, limits) or APIConnectionError(self._describe(error))
        failure.connected = has_connected(error)
        failure.retryable = may_pass(error)
        if isinstance(error, DISTRUST):
            failure.hint = DISTRUST_HINT
        return failure

    def _describe(self, error: Exception) -> str:
        message = self._redactor.text(describe(error))
        for secret in self._proxy.secrets:
            message = message.replace(secret, "[password]") if len(secret) >= _SHORTEST else message
        return message[:_MAX_MESSAGE]


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request again by itself when the connection breaks.

    It does so for errors of two kinds, and once more for each of our tries, which would not be counted.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from None


def _refuse_cached(response: aiohttp.ClientResponse) -> None:
    # aiohttp's own class comes first because it is fast, and knows no cache.
    if type(response) is not aiohttp.ClientResponse and getattr(response, "from_cache", False):
        raise ConfigurationError(
            "the session passed to the client responded from a cache, with a page that may be old, "
            "or another account's: pass a session without a cache"
        )


async def _read(response: aiohttp.ClientResponse) -> bytes:
    ok = response.status == _OK
    bound = _MAX_BODY if ok else _MAX_ERROR_BODY
    chunks: list[bytes] = []
    size = 0
    try:
        stream = response.content
        if stream.at_eof():  # a middleware or a tracer has read it, or it is empty
            chunks.append(await response.read())
            size = len(chunks[0])
        while size <= bound and (chunk := await stream.read(bound + 1 - size)):
            chunks.append(chunk)
            size += len(chunk)
    except (aiohttp.ClientError, OSError):  # a cut error page is an error page all the same
        if ok:
            raise
    body = b"".join(chunks)
    if size <= bound:
        return body
    response.close()
    if ok:
        raise APIResponseValidationError(f"a page of more than {bound} bytes")
    return body[:bound]
