"""One GET, once, over a session of our own or a borrowed one: the whole answer, or a typed error."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from typing import NamedTuple, cast
from weakref import WeakKeyDictionary

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from apimall_async._errors import (
    APIConnectionError,
    ApimallError,
    APIResponseValidationError,
    APITimeoutError,
    ClientClosedError,
)
from apimall_async._protocol import Headers


_MAX_BODY = 2 * 2**20  # bytes of a page, unpacked; fifty tasks take some 20 000
_MAX_ERROR_BODY = 64 * 2**10  # bytes of an error's body that are looked at
_DISTRUST = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
_DISTRUST_HINT = (
    "check base_url and this machine's clock; for an authority of your own, lend a session that trusts it"
)

_places: WeakKeyDictionary[aiohttp.BaseConnector, AbstractAsyncContextManager[object]] = WeakKeyDictionary()


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Headers
    body: bytes


class Transport:
    """Sends requests over a borrowed session, or over one of its own for each event loop in turn."""

    def __init__(
        self,
        session: aiohttp.ClientSession | None,
        headers: CIMultiDict[str],
        timeout: aiohttp.ClientTimeout,
        proxy: URL | None,
    ) -> None:
        self._borrowed = session
        self._headers = headers  # never a local variable: tools that report errors show those
        # aiohttp's own timer swallows a cancellation that strikes while it runs out: asyncio's does not.
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
        self._own: aiohttp.ClientSession | None = None
        self._lifetime: AsyncGenerator[aiohttp.ClientSession] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._closed

    async def close(self) -> None:
        """Close the own session, if there is one."""
        self._closed = True
        lifetime, self._lifetime = self._lifetime, None
        if lifetime and self._loop is asyncio.get_running_loop():
            await lifetime.aclose()

    def check_open(self) -> None:
        """Raise ClientClosedError if there is nothing to send requests over."""
        if self._closed or (self._borrowed and self._borrowed.closed):
            raise ClientClosedError("the client, or the session lent to it, is closed: make another")

    async def get(
        self, url: URL, start: Callable[[], bool], note: Callable[[int, Headers], None]
    ) -> Answer | None:
        """Send one request, once there is a connection for it, and ``start()`` says that it still may.

        ``note()`` is told status and headers before the body is read. None if the request did not start.

        Raises:
            APIConnectionError: no whole answer came back.
            APIResponseValidationError: a page that is too large to be one.
            ClientClosedError: there is no open session to send it over.

        """
        session = await self._session()
        middlewares = (*getattr(session, "_middlewares", ()), _send_once)
        try:
            async with _place(session):
                self.check_open()
                if not start():
                    return None
                async with (
                    asyncio.timeout(self._total),
                    session.get(
                        url,
                        headers=self._headers,
                        timeout=self._timeout,
                        proxy=self._proxy,
                        allow_redirects=False,
                        raise_for_status=False,
                        auto_decompress=True,
                        middlewares=middlewares,
                    ) as response,
                ):
                    note(response.status, response.headers)
                    return Answer(response.status, response.headers, await _read(response))
        except ApimallError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as one of ours
            failure = self._translated(error)
        # Raised out here, the error has no __context__: aiohttp's own errors hold the request's headers.
        raise failure

    async def _session(self) -> aiohttp.ClientSession:
        self.check_open()
        if self._borrowed:
            return self._borrowed
        loop = asyncio.get_running_loop()
        if self._own is None or self._own.closed or self._loop is not loop:
            self._loop = loop
            self._lifetime = _session_lifetime()
            self._own = await anext(self._lifetime)
        return self._own

    def _translated(self, error: Exception) -> ApimallError:
        try:
            self.check_open()
        except ClientClosedError as closed:
            return closed
        if isinstance(error, TimeoutError):
            limit = f"within {self._total} seconds" if self._total else "in time"
            return APITimeoutError(f"no whole answer {limit}")
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
            return f"the proxy answered {error.status} {error.message[:100]}"
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


def _place(session: aiohttp.ClientSession) -> AbstractAsyncContextManager[object]:
    """Return a place among the connections of the session's pool.

    aiohttp counts the time that a request waits for a connection towards its timeout. So no more requests
    are handed to it than its pool has connections.
    """
    connector = cast("aiohttp.BaseConnector", session.connector)  # None only in a closed session
    try:
        return _places[connector]
    except KeyError:
        limits = [limit for limit in (connector.limit, connector.limit_per_host) if limit]
        _places[connector] = asyncio.Semaphore(min(limits)) if limits else nullcontext()
        return _places[connector]


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
    ok = response.status == HTTPStatus.OK
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
