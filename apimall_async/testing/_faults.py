"""What can go wrong between a client and a gateway, to order."""

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Never, Self, cast

import attrs
from aiohttp import web
from multidict import CIMultiDict

from apimall_async.testing._contract import Response, error_body, json_headers


Deliver = Callable[[web.BaseRequest, Response], Awaitable[web.StreamResponse]]
"""Sends a response to the client, or fails to."""

_HTML = b"<!doctype html><html><title>Error</title><body><h1>Error</h1></body></html>\n"
_ENDLESS_CHUNK = b" " * 65_536
# Closing a socket so set resets its connection. Windows' struct has shorts, the others' ints.
_LINGER_NOT = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


async def _whole(_: web.BaseRequest, response: Response) -> web.StreamResponse:
    return web.Response(status=response.status, body=response.body, headers=response.headers)


@attrs.frozen(kw_only=True)
class Fault:
    """One response that is not what it should be. The class methods make the common ones.

    What is not given stays as the contract has it, so ``Fault()`` is a good response. Combine two
    kinds by ``attrs.evolve(Fault.html(502), latency=0.5)``.
    """

    status: int | None = None
    """Respond with this, and the contract's error body unless ``body`` is given."""
    body: bytes | None = None
    """Respond with this; the status is 200 unless ``status`` is given."""
    content_type: str = "application/json"
    """Of ``body``."""
    retry_after: str | float | tuple[str | float, ...] | None = None
    """The Retry-After header as it stands, or several of them."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    """Further headers."""
    latency: float = 0.0
    """Seconds, on top of the gateway's own."""
    max_limit: int | None = None
    """Cap the limit for this response, and echo the cap."""
    page: int | None = None
    """Serve this page, whichever was requested."""
    echo_requested: bool = False
    """With ``page``: pretend that it is the one requested."""
    deliver: Deliver = _whole
    """How the response is sent."""

    @property
    def replaces_response(self) -> bool:
        """Whether the contract has no say in status and body."""
        return self.status is not None or self.body is not None

    def response(self, request_id: str) -> Response:
        """Make the response that replaces the contract's."""
        status = self.status or HTTPStatus.OK
        if self.body is None:
            return Response(status, error_body(status, request_id), json_headers())
        return Response(status, self.body, CIMultiDict({"Content-Type": self.content_type}))

    def add_headers(self, headers: CIMultiDict[str]) -> None:
        """Add this fault's headers to those of a response."""
        headers.update(self.headers)
        waits = self.retry_after if isinstance(self.retry_after, tuple) else (self.retry_after,)
        for wait in waits:
            if wait is not None:
                headers.add("Retry-After", str(wait))

    @classmethod
    def error(cls, status: int, *, retry_after: str | float | tuple[str | float, ...] | None = None) -> Self:
        """Respond with the contract's error body."""
        return cls(status=status, retry_after=retry_after)

    @classmethod
    def html(cls, status: int = 503, *, retry_after: str | float | None = None) -> Self:
        """Respond as a proxy in front of the gateway does."""
        return cls(status=status, body=_HTML, content_type="text/html", retry_after=retry_after)

    @classmethod
    def empty(cls, status: int = 503) -> Self:
        """Respond without a body."""
        return cls(status=status, body=b"")

    @classmethod
    def half(cls) -> Self:
        """Respond with half of the JSON, in whole HTTP."""
        return cls(deliver=_half)

    @classmethod
    def truncate(cls) -> Self:
        """Send half of the body that Content-Length promises, then close the connection."""
        return cls(deliver=_truncated)

    @classmethod
    def reset(cls) -> Self:
        """Reset the connection instead of a response."""
        return cls(deliver=_reset)

    @classmethod
    def stall(cls, *, in_body: bool = False) -> Self:
        """Send nothing, or half of the body, and keep silent until the client leaves."""
        return cls(deliver=_stalled_in_body if in_body else _stalled)

    @classmethod
    def endless(cls) -> Self:
        """Begin the body and never end it."""
        return cls(deliver=_endless)

    @classmethod
    def drip(cls, interval: float) -> Self:
        """Send the body byte by byte, so many seconds apart."""
        return cls(deliver=_Drip(interval))

    @classmethod
    def slow(cls, latency: float) -> Self:
        """Respond as usual, so many seconds late."""
        return cls(latency=latency)

    @classmethod
    def cap(cls, max_limit: int) -> Self:
        """Serve and echo a smaller limit than requested."""
        return cls(max_limit=max_limit)

    @classmethod
    def stuck(cls, page: int = 1, *, echo_requested: bool = False) -> Self:
        """Serve one page, whichever is requested; echo it truthfully, or the one requested."""
        return cls(page=page, echo_requested=echo_requested)


async def _half(_: web.BaseRequest, response: Response) -> web.StreamResponse:
    return web.Response(status=response.status, body=response.first_half, headers=response.headers)


async def _truncated(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    stream = await _send_half(request, response)
    _transport(request).close()
    return stream


async def _reset(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    transport = _transport(request)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()
    return await _stalled(request, response)


async def _stalled(_: web.BaseRequest, __: Response) -> Never:
    while True:  # the client's leaving and the gateway's closing both cancel this
        await asyncio.Event().wait()


async def _stalled_in_body(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    await _send_half(request, response)
    return await _stalled(request, response)


async def _endless(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    await stream.prepare(request)
    await stream.write(response.first_half)
    while True:
        await stream.write(_ENDLESS_CHUNK)
        await asyncio.sleep(0)  # write() itself yields only when the socket is full


@attrs.frozen
class _Drip:
    interval: float

    async def __call__(self, request: web.BaseRequest, response: Response) -> web.StreamResponse:
        stream = await _start(request, response)
        for byte in response.body:
            await stream.write(bytes([byte]))
            await asyncio.sleep(self.interval)
        return stream


async def _send_half(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    stream = await _start(request, response)
    await stream.write(response.first_half)
    return stream


async def _start(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    """Send headers that promise the whole body."""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(response.body)
    await stream.prepare(request)
    return stream


def _transport(request: web.BaseRequest) -> asyncio.Transport:
    # There is one: a handler whose client has left is cancelled.
    return cast("asyncio.Transport", request.transport)
