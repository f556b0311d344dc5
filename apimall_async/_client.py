"""AsyncClient: owns or borrows a session, sends requests, exposes the walks."""

import logging
import re
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from os import PathLike
from pathlib import Path
from typing import Any, Never, Self, TypeVar, cast

import aiohttp
import attrs
import backoff
from multidict import CIMultiDict
from yarl import URL

from apimall_async._errors import APIError, ClientClosedError
from apimall_async._guard import Guard, RetryPolicy
from apimall_async._images import Limits, download
from apimall_async._models import HistoryPage, ImageTask
from apimall_async._protocol import MAX_LIMIT, Headers, read_page
from apimall_async._settings import (
    find_api_key,
    find_history_url,
    find_proxy,
    is_loopback,
    make_timeout,
)
from apimall_async._transport import Answer, Transport
from apimall_async._version import __version__
from apimall_async._walk import Fetch, Tally, Walk, check_whole, walk_pages, walk_tasks


_DEFAULT_RETRY = RetryPolicy()
_USER_AGENT = (
    f"apimall-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"
    f" aiohttp/{'.'.join(aiohttp.__version__.split('.')[:2])}"
)

_HIDDEN = b"[API key]"
_ESCAPE = re.compile(rb"\\(?:u00(?!22|5[cC])([2-7][0-9a-fA-F])|.)", re.DOTALL)  # JSON's, of printable ASCII

_T = TypeVar("_T")

_logger = logging.getLogger("apimall_async")


@attrs.frozen
class _Call:
    """One request of the caller's, through all its tries."""

    tally: Tally
    deadline: float


class AsyncClient:
    """Read the image history of one API Mall account.

    Make one, outside or inside of a running loop, and keep it: all that it sends shares one pool of
    connections and one rate-limit guard. Close it with ``async with`` or ``close()``.

    Args:
        api_key: the account's key, else the environment's ``APIMALL_API_KEY``.
        base_url: the gateway's origin, else ``APIMALL_BASE_URL``, else ``https://gateway.apimall.ai``.
            Plain http is taken only to this machine.
        session: an ``aiohttp.ClientSession`` of the caller's; it is used, never closed, never changed.
        timeout: seconds for one attempt, from connecting to the body's last byte, without waiting for
            a free connection; or an ``aiohttp.ClientTimeout``, or None for no limit.
        retry: how often and how long one request is tried, or None for one try.
        proxy: URL of an http(s) proxy. Without it, and without ``session``, the environment's count
            (``HTTPS_PROXY``, ``NO_PROXY``).

    Raises:
        ConfigurationError: a key, URL or timeout that cannot be used.

    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | URL | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: float | aiohttp.ClientTimeout | None = 30.0,
        retry: RetryPolicy | None = _DEFAULT_RETRY,
        proxy: str | None = None,
    ) -> None:
        self._key = find_api_key(api_key)
        self._url = find_history_url(base_url)
        self._transport = Transport(
            session,
            CIMultiDict(
                {
                    "Authorization": f"Bearer {self._key}",
                    "Accept": "application/json",
                    "User-Agent": _USER_AGENT,
                }
            ),
            make_timeout(timeout),
            find_proxy(self._url, proxy, from_environment=session is None),
        )
        self._guard = Guard(retry or _DEFAULT_RETRY)
        # Not a bound method: in a cycle with itself the client would linger when it is dropped.
        self._try = AsyncClient._attempt
        if retry:
            self._try = backoff.on_exception(
                self._guard.waits,
                APIError,
                max_tries=retry.max_tries,
                jitter=None,  # the waits have their own; backoff's would wait less than told
                giveup=_is_final,
                on_backoff=_note_retry,
                logger=None,  # backoff's would log at its own mind
            )(self._try)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self._url.origin()} {state}>"

    def __reduce__(self) -> Never:
        raise TypeError("an AsyncClient cannot be pickled or copied, it holds the API key: make another")

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._transport.closed

    async def close(self) -> None:
        """Close the client and its own session, not a borrowed one. Idempotent.

        Requests under way fail with ClientClosedError: at once where they wait for an answer, and when
        their wait is over where the guard or a retry holds them back.
        """
        await self._transport.close()

    async def list_history(self, page: int = 1, limit: int = 20) -> HistoryPage:
        """Return one page of the history.

        Args:
            page: the page's number, from 1.
            limit: tasks a page, 1 to 50.

        Raises:
            ValueError: ``page`` or ``limit`` out of range; no request was sent.
            APIError: the request failed, by the subclass that says how.
            ClientClosedError: the client, or the session lent to it, has been closed.

        """
        check_whole("page", page, 1)
        check_whole("limit", limit, 1, MAX_LIMIT)
        return await self._try(self, page, limit, _Call(Tally(), self._guard.deadline()))

    def iter_history(
        self,
        *,
        limit: int = 50,
        start_page: int = 1,
        max_items: int | None = None,
        read_ahead: int = 0,
        exact: bool = False,
    ) -> AsyncGenerator[ImageTask]:
        """Iterate over the tasks of the history, none twice, while it goes on growing.

        Args:
            limit: tasks a page, 1 to 50. More is faster.
            start_page: the page, of ``limit`` tasks, to start with, from 1.
            max_items: tasks to yield at most; None for all. No more than needed are asked for.
            read_ahead: pages to request ahead of the reader; implies ``exact``.
            exact: prove that no task was skipped, also where tasks are deleted meanwhile. Costs up to
                1.22 times the requests at ``limit=50``, more below; a small limit may be exceeded a little.

        Raises:
            ValueError: an argument out of range, at once.
            PaginationError: the pages cannot be walked to an end, or (exact) a gap cannot be ruled out.
            APIError: a request failed; every task before it was yielded.
            ClientClosedError: the client, or the session lent to it, has been closed.

        """
        return self._iterate(walk_tasks, Walk(limit, start_page, max_items, read_ahead, exact))

    def iter_history_pages(
        self,
        *,
        limit: int = 50,
        start_page: int = 1,
        max_items: int | None = None,
        read_ahead: int = 0,
        exact: bool = False,
    ) -> AsyncGenerator[HistoryPage]:
        """Iterate as ``iter_history`` does, page by page.

        A page holds the tasks that were not yielded before; one without any is not yielded.
        """
        return self._iterate(walk_pages, Walk(limit, start_page, max_items, read_ahead, exact))

    async def download(
        self,
        task: ImageTask,
        directory: str | PathLike[str],
        *,
        max_bytes: int = 64 * 2**20,
        timeout: float = 300.0,  # noqa: ASYNC109 - as everywhere in this class
        on_bytes: Callable[[int], object] | None = None,
    ) -> Path:
        """Download a task's image into ``directory``, and return its path; at once if it is there.

        The file is named by the task's id and, for the suffix, by what it holds. It has its name only
        once it is whole. An image that broke off is continued by the next call where its host allows it.
        Up to 16 of them are under way at a time. Its host is never told the key, and has to be on the
        internet, unless the gateway is on this machine.

        Args:
            task: one with an ``image_url``.
            directory: made if it is not there.
            max_bytes: of the image; a larger one is refused.
            timeout: seconds for the image.
            on_bytes: called with the number of bytes each time that some have come.

        Raises:
            ValueError: the task has no ``image_url``, or a limit is none.
            APIStatusError: the image's host answered with an error status.
            APIConnectionError: it could not be reached, or broke off. Nothing is tried again.
            APIResponseValidationError: the URL, the address, or what came is not acceptable.
            ClientClosedError: the client has been closed.
            OSError: the file cannot be written.

        """
        if self.closed:
            raise ClientClosedError("the client is closed: make another")
        limits = Limits(max_bytes, timeout)
        try:
            return await download(
                task, Path(directory), limits, on_bytes, allow_private=is_loopback(self._url)
            )
        except APIError as error:
            self._cut_key(error)
            raise

    def _iterate(
        self, walk: Callable[[Fetch, Walk, Tally], AsyncGenerator[_T]], what: Walk
    ) -> AsyncGenerator[_T]:
        tally = Tally()

        def fetch(page: int, limit: int) -> Coroutine[Any, Any, HistoryPage]:
            return self._try(self, page, limit, _Call(tally, self._guard.deadline()))

        return walk(fetch, what, tally)

    async def _attempt(self, page: int, limit: int, call: _Call) -> HistoryPage:
        """Send one request, once, when the guard lets it."""
        url = URL(f"{self._url}?page={page}&limit={limit}", encoded=True)
        try:
            return read_page(*await self._send(url, call))
        except APIError as error:
            self._cut_key(error)
            raise

    async def _send(self, url: URL, call: _Call) -> Answer:
        guard = self._guard
        asked = time.monotonic()
        started: float | None = None

        def start() -> bool:
            nonlocal started
            started = guard.start()
            return started is not None

        def note(status: int, headers: Headers) -> None:
            guard.note(cast("float", started), status, headers)

        while True:
            self._transport.check_open()
            await guard.admit(call.deadline)
            if answer := await self._transport.get(url, start, note):
                call.tally.waited += cast("float", started) - asked
                return answer._replace(body=_without(self._key.encode(), answer.body))

    def _cut_key(self, error: APIError) -> None:
        """Cut the key out of what aiohttp quotes of an answer."""
        error.message = error.message.replace(self._key, _HIDDEN.decode())
        error.args = (error.message,)


def _without(key: bytes, body: bytes) -> bytes:
    """Cut the key out of an answer: a proxy, or a hostile gateway, may echo it, also spelled with escapes."""
    body = body.replace(key, _HIDDEN)
    if b"\\" in body and b"\\u00" in body:  # the first is found, or not, in a thirtieth of the time
        plain = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()) if match[1] else match[0], body)
        if key in plain:
            return plain.replace(key, _HIDDEN)
    return body


def _is_final(error: Exception) -> bool:
    return not (isinstance(error, APIError) and error.retryable)


def _note_retry(details: Any) -> None:
    tally = cast("_Call", details["args"][-1]).tally
    tally.retries += 1
    tally.waited += details["wait"]
    when = f"in {details['wait']:.2f} seconds" if details["wait"] else "when the guard lets it"
    _logger.info("trying again %s after: %s", when, details["exception"])
