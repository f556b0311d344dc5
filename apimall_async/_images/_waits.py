"""How long hosts want to be left alone: all downloads of an event loop keep to it."""

import asyncio
from http import HTTPStatus
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from apimall_async._errors import APIStatusError
from apimall_async._images._failures import make_status_error
from apimall_async._protocol import parse_retry_after


_OVERLOADED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_Host = tuple[str | None, int | None]
_Wait = tuple[float, int]  # until when on the loop's clock, and the status
_waits: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Host, _Wait]] = WeakKeyDictionary()


class TooEarlyError(Exception):
    """No request was sent, because its host sent a time to come back, which is not yet here.

    Attributes:
        seconds: until then.
        error: for a caller who does not wait.

    """

    def __init__(self, seconds: float, error: APIStatusError) -> None:
        super().__init__(seconds, error)
        self.seconds = seconds
        self.error = error


def check_wait(url: URL) -> None:
    """Raise TooEarlyError while this URL's host wants to be left alone."""
    loop = asyncio.get_running_loop()
    until, status = _waits.get(loop, {}).get(_host(url), (0.0, 0))
    seconds = until - loop.time()
    if seconds > 0:
        raise TooEarlyError(seconds, make_status_error(status, round(seconds, 3), "to another request"))


def note_wait(url: URL, response: aiohttp.ClientResponse) -> None:
    """Take note of a 429 or 503 that says when to come back."""
    seconds = parse_retry_after(response.headers)
    if response.status not in _OVERLOADED or not seconds:
        return
    loop = asyncio.get_running_loop()
    now = loop.time()
    waits = {host: wait for host, wait in _waits.get(loop, {}).items() if wait[0] > now}
    waits[_host(url)] = max((now + seconds, response.status), waits.get(_host(url), (now, 0)))
    _waits[loop] = waits


def _host(url: URL) -> _Host:
    return url.raw_host, url.port
