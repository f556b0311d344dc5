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

from apimall_async.testing._contract import Answer, error_body, json_headers


Deliver = Callable[[web.BaseRequest, Answer], Awaitable[web.StreamResponse]]
"""Brings an answer to the client, or fails to."""

_HTML = b"<!doctype html><html><title>Error</title><body><h1>Error</h1></body></html>\n"
_ENDLESS_CHUNK = b" " * 65_536
# Closing a socket so set resets its connection. Windows' struct has shorts, the others' ints.
_LINGER_NOT = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


async def _whole(_: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


@attrs.frozen(kw_only=True)
class Fault:
    """One answer that is not what it should be. The class methods name the common ones.

    What is not given stays as the contract has it, so ``Fault()`` is a good answer. Combine two
    kinds by ``attrs.evolve(Fault.html(502), latency=0.5)``.
    """

    status: int | None = None
    """Answer this, with the contract's error body unless ``body`` is given."""
    body: bytes | None = None
    """Answer this body; with 200 unless ``status`` is given."""
    content_type: str = "application/json"
    """Of ``body``."""
    retry_after: str | float | tuple[str | float, ...] | None = None
    """The Retry-After header as it stands, or several of them."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    """Further headers."""
    latency: float = 0.0
    """Seconds, on top of the gateway's own."""
    max_limit: int | None = None
    """Cap the limit for this answer, and echo the cap."""
    page: int | None = None
    """Serve this page, whichever was asked for."""
    echo_asked: bool = False
    """With ``page``: pretend that it is the one asked for."""
    deliver: Deliver = _whole
    """How the answer travels."""

    @property
    def replaces_answer(self) -> bool:
        """Whether the contract has no say in status and body."""
        return self.status is not None or self.body is not None

    def answer(self, request_id: str) -> Answer:
        """Make the answer that replaces the contract's."""
        status = self.status or HTTPStatus.OK
        if self.body is None:
            return Answer(status, error_body(status, request_id), json_headers())
        return Answer(status, self.body, CIMultiDict({"Content-Type": self.content_type}))

    def add_headers(self, headers: CIMultiDict[str]) -> None:
        """Add what this fault says to an answer's headers."""
        headers.update(self.headers)
        waits = self.retry_after if isinstance(self.retry_after, tuple) else (self.retry_after,)
        for wait in waits:
            if wait is not None:
                headers.add("Retry-After", str(wait))

    @classmethod
    def error(cls, status: int, *, retry_after: str | float | tuple[str | float, ...] | None = None) -> Self:
        """Answer with the contract's error body."""
        return cls(status=status, retry_after=retry_after)

    @classmethod
    def html(cls, status: int = 503, *, retry_after: str | float | None = None) -> Self:
        """Answer as a proxy in front of the gateway does."""
        return cls(status=status, body=_HTML, content_type="text/html", retry_after=retry_after)

    @classmethod
    def empty(cls, status: int = 503) -> Self:
        """Answer without a body."""
        return cls(status=status, body=b"")

    @classmethod
    def half(cls) -> Self:
        """Answer with half of the JSON, in whole HTTP."""
        return cls(deliver=_half)

    @classmethod
    def truncate(cls) -> Self:
        """Send half of the body that Content-Length promises, then close the connection."""
        return cls(deliver=_truncated)

    @classmethod
    def reset(cls) -> Self:
        """Reset the connection instead of an answer."""
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
        """Answer as usual, so many seconds late."""
        return cls(latency=latency)

    @classmethod
    def cap(cls, max_limit: int) -> Self:
        """Serve and echo a smaller limit than asked for."""
        return cls(max_limit=max_limit)

    @classmethod
    def stuck(cls, page: int = 1, *, echo_asked: bool = False) -> Self:
        """Serve one page, whichever is asked for; echo it truthfully, or the one asked for."""
        return cls(page=page, echo_asked=echo_asked)


async def _half(_: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    return web.Response(status=answer.status, body=answer.first_half, headers=answer.headers)


async def _truncated(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = await _send_half(request, answer)
    _transport(request).close()
    return response


async def _reset(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    transport = _transport(request)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()
    return await _stalled(request, answer)


async def _stalled(_: web.BaseRequest, __: Answer) -> Never:
    while True:  # the client's leaving and the gateway's closing both cancel this
        await asyncio.Event().wait()


async def _stalled_in_body(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    await _send_half(request, answer)
    return await _stalled(request, answer)


async def _endless(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    await response.write(answer.first_half)
    while True:
        await response.write(_ENDLESS_CHUNK)
        await asyncio.sleep(0)  # write() itself yields only when the socket is full


@attrs.frozen
class _Drip:
    interval: float

    async def __call__(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = await _start(request, answer)
        for byte in answer.body:
            await response.write(bytes([byte]))
            await asyncio.sleep(self.interval)
        return response


async def _send_half(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    response = await _start(request, answer)
    await response.write(answer.first_half)
    return response


async def _start(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send headers that promise the whole body."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


def _transport(request: web.BaseRequest) -> asyncio.Transport:
    # There is one: a handler whose client has left is cancelled.
    return cast("asyncio.Transport", request.transport)
