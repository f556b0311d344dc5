"""One GET, once, over the caller's session or one of our own: the whole response, or a typed error."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import NamedTuple, Protocol, cast
from weakref import WeakKeyDictionary

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

from apimall_async._deadlines import Deadline, Deadlines
from apimall_async._errors import (
    APIConnectionError,
    ApimallError,
    APIResponseValidationError,
    APITimeoutError,
    ClientClosedError,
)
from apimall_async._protocol import Headers
from apimall_async._redaction import Redactor


_OK = 200
_CLOSED = "the client, or the session passed to it, is closed: make another"
_MAX_BODY = 2 * 2**20  # bytes of a page, unpacked; fifty tasks take some 20 000
_MAX_ERROR_BODY = 64 * 2**10  # bytes of an error's body that are looked at
_DISTRUST = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
_DISTRUST_HINT = (
    "check {base_url} and this machine's clock; for an authority of your own, pass a session that trusts it"
)

_slots: WeakKeyDictionary[aiohttp.BaseConnector, asyncio.Semaphore] = WeakKeyDictionary()


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


class Transport:
    """Sends requests over the caller's session, or over one of its own for each event loop in turn."""

    def __init__(
        self,
        session: aiohttp.ClientSession | None,
        headers: CIMultiDict[str],
        redactor: Redactor,
        timeout: aiohttp.ClientTimeout,
        proxy: URL | None,
    ) -> None:
        self._given = session
        self._redactor = redactor
        self._headers = headers  # never a local variable: tools that report errors show those
        # aiohttp's own timer swallows a cancellation that strikes while it runs out: ours does not.
        self._total = timeout.total or None
        self._timeout = aiohttp.ClientTimeout(
            None,
            connect=timeout.connect,
            sock_read=timeout.sock_read,
            sock_connect=timeout.sock_connect,
            ceil_threshold=timeout.ceil_threshold,
        )
        self._proxy = proxy
        self._closed = False
        self._connections: _Connections | None = None

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._closed

    async def close(self) -> None:
        """Close the own session, if there is one."""
        self._closed = True
        connections, self._connections = self._connections, None
        if connections and connections.loop is asyncio.get_running_loop():
            await connections.close()

    def check_open(self) -> None:
        """Raise ClientClosedError if there is nothing to send requests over."""
        if self._nothing_open():
            raise ClientClosedError(_CLOSED)

    def _nothing_open(self) -> bool:
        return self._closed or (self._given is not None and self._given.closed)

    async def get(self, url: URL, gate: Gate) -> Response | None:
        """Send one request, once there is a connection for it, and the gate says that it still may.

        None if the request did not start.

        Raises:
            APIConnectionError: no whole response came back.
            APIResponseValidationError: a page that is too large to be one.
            ClientClosedError: there is no open session to send it over.

        """
        connections = await self._connect()
        await connections.slots.acquire()
        try:
            self.check_open()
            started = gate.start()
            return None if started is None else await self._exchange(connections, url, gate, started)
        except ApimallError:
            raise
        except asyncio.CancelledError as cancelled:
            # Without aiohttp's frames, whose variables hold the request's headers, and with them the key.
            raise cancelled.with_traceback(None) from None
        except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as one of ours
            failure = self._translated(error)
        finally:
            connections.slots.release()
        # Raised out here, the error has no __context__: aiohttp's own errors hold the request's headers.
        raise failure

    async def _exchange(self, connections: "_Connections", url: URL, gate: Gate, started: float) -> Response:
        with connections.deadline():
            async with self._request(connections.session, url) as response:
                gate.note(started, response.status, response.headers)
                body = self._redactor.body(await _read(response))
                return Response(started, response.status, response.headers, body)

    def _request(
        self, session: aiohttp.ClientSession, url: URL
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse, None]:
        return session.get(
            url,
            headers=self._headers,
            timeout=self._timeout,
            proxy=self._proxy,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=True,
            middlewares=(*getattr(session, "_middlewares", ()), _send_once),
        )

    async def _connect(self) -> "_Connections":
        """Return what belongs to the running loop; an own session is opened."""
        self.check_open()
        connections = self._connections
        loop = asyncio.get_running_loop()
        if connections is None or connections.loop is not loop or connections.session.closed:
            lifetime = None if self._given else _session_lifetime()
            session = await anext(lifetime) if lifetime else cast("aiohttp.ClientSession", self._given)
            deadlines = Deadlines(self._total) if self._total else None
            connections = _Connections(loop, session, _slots_of(session), deadlines, lifetime)
            self._connections = connections
        return connections

    def _translated(self, error: Exception) -> ApimallError:
        if self._nothing_open():
            return ClientClosedError(_CLOSED)
        if isinstance(error, TimeoutError):
            limit = f"within {self._total} seconds" if self._total else "in time"
            return APITimeoutError(f"no whole response {limit}")
        failure = APIConnectionError(_described(error))
        failure.retryable = may_pass(error)
        if isinstance(error, _DISTRUST):
            failure.hint = _DISTRUST_HINT
        return failure


def _described(error: Exception) -> str:
    """Say what went wrong, better than aiohttp where that says nothing, or too much."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            return f"the certificate of {error.host}:{error.port} is not trusted: {reason}"
        case aiohttp.ServerFingerprintMismatch():
            return f"the certificate of {error.host}:{error.port} has another fingerprint"
        case aiohttp.ClientConnectorError():
            whom = "the proxy " if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
            reason = str(error.os_error) or type(error.os_error).__name__
            return f"cannot connect to {whom}{error.host}:{error.port}: {reason}"
        case aiohttp.ClientHttpProxyError():  # its own text has the proxy's URL, with user and password
            return f"the proxy responded {error.status} {error.message[:100]}"
        case aiohttp.ClientResponseError():  # no HTTP; its own text has the URL, too
            return f"{type(error).__name__}: {error.status}, {error.message[:500]}"
        case _:
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        status = error.status
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, aiohttp.ClientError | OSError) and not isinstance(
        error, (*_DISTRUST, aiohttp.InvalidURL)
    )


@attrs.define(eq=False, repr=False)
class _Connections:
    """What the requests of one event loop share."""

    loop: asyncio.AbstractEventLoop
    session: aiohttp.ClientSession
    slots: asyncio.Semaphore
    deadlines: Deadlines | None
    lifetime: AsyncGenerator[aiohttp.ClientSession] | None
    """Of a session of our own."""

    def deadline(self) -> AbstractContextManager[object, None]:
        """Limit the time of one request."""
        return Deadline(self.deadlines) if self.deadlines else nullcontext()

    async def close(self) -> None:
        """Close an own session."""
        if self.deadlines:
            self.deadlines.close()
        if self.lifetime:
            await self.lifetime.aclose()


def _slots_of(session: aiohttp.ClientSession) -> asyncio.Semaphore:
    """Return the slots of the session's pool of connections, one for each request at a time.

    aiohttp counts the time that a request waits for a connection towards its timeout. So no more requests
    are handed to it than its pool has connections.
    """
    connector = cast("aiohttp.BaseConnector", session.connector)  # None only in a closed session
    if connector not in _slots:
        limits = [limit for limit in (connector.limit, connector.limit_per_host) if limit]
        _slots[connector] = asyncio.Semaphore(min(limits, default=sys.maxsize))
    return _slots[connector]


async def _session_lifetime() -> AsyncGenerator[aiohttp.ClientSession]:
    """Hold a session as long as its event loop runs.

    ``asyncio.run`` finishes the loop's async generators before it closes the loop, so a client that
    nobody closed, or that goes on to another loop, leaves no socket behind.
    """
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


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


async def _read(response: aiohttp.ClientResponse) -> bytes:
    ok = response.status == _OK
    bound = _MAX_BODY if ok else _MAX_ERROR_BODY
    chunks: list[bytes] = []
    size = 0
    try:
        while size <= bound and (chunk := await response.content.readany()):
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
