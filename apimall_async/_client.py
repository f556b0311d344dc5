"""AsyncClient: owns a session or uses the caller's, sends requests, iterates over the history."""

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any, Never, ParamSpec, Self, TypeVar

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._conversion import Page
from apimall_async._endpoints import IMAGE_HISTORY, Endpoint
from apimall_async._errors import APIError, ClientClosedError
from apimall_async._fetcher import Fetcher
from apimall_async._guard import Guard, RetryPolicy
from apimall_async._images import Limits, download
from apimall_async._models import HistoryPage, ImageTask
from apimall_async._pagination import (
    Fetch,
    ItemIterator,
    Options,
    PageIterator,
    Stats,
    check_integer,
    iterate_items,
    iterate_pages,
)
from apimall_async._redaction import Redactor, Secret
from apimall_async._settings import (
    check_session,
    find_api_key,
    find_base_url,
    find_proxy,
    is_loopback,
    make_timeout,
    split_proxy,
)
from apimall_async._transport import Transport
from apimall_async._version import __version__


_DEFAULT_RETRY = RetryPolicy()
_USER_AGENT = (
    f"apimall-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"
    f" aiohttp/{'.'.join(aiohttp.__version__.split('.')[:2])}"
)

A = ParamSpec("A")
P = TypeVar("P", bound=Page[Any])
T = TypeVar("T")


def _without_limit(method: Callable[A, T]) -> Callable[A, T]:
    """Tell whoever passes ``limit=``, as to ``list_history``, which of two things it may mean here."""

    @wraps(method)
    def checked(*args: A.args, **options: A.kwargs) -> T:
        if "limit" in options:
            raise TypeError(
                f"{method.__name__}() takes no limit=: it is page_size= for tasks a page, "
                "max_items= for tasks in all"
            )
        return method(*args, **options)

    return checked


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
        ConfigurationError: a key, URL, session, timeout or proxy that cannot be used.

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
        try:
            self._build(api_key, base_url, session=session, timeout=timeout, retry=retry, proxy=proxy)
        except BaseException as error:  # noqa: BLE001 - it goes on
            del api_key, base_url, proxy  # tools that report errors show the variables of frames
            raise error.with_traceback(None) from None

    def _build(
        self,
        api_key: str | None,
        base_url: str | URL | None,
        *,
        session: aiohttp.ClientSession | None,
        timeout: float | aiohttp.ClientTimeout | None,
        retry: RetryPolicy | None,
        proxy: str | None,
    ) -> None:
        check_session(session)
        key = find_api_key(api_key)
        url = find_base_url(base_url)
        through = split_proxy(find_proxy(url, proxy, from_environment=session is None))
        headers = {
            "Authorization": Secret(f"Bearer {key}"),
            "Accept": "application/json",
            "User-Agent": _USER_AGENT,
            **(
                through.headers if url.scheme == "http" else {}
            ),  # no tunnel: the proxy reads the request itself
        }
        redactor = Redactor(key)
        transport = Transport(session, CIMultiDict(headers), redactor, make_timeout(timeout), through)
        guard = Guard(retry or _DEFAULT_RETRY)
        self._base_url = url
        self._redactor = redactor
        self._fetcher = Fetcher(url, transport, guard, redactor, retry.max_tries if retry else 1)
        self._transport = transport

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_transport"):  # in the traceback of an error while it is made
            return f"<{type(self).__name__} not made>"
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self._base_url.origin()} {state}>"

    def __reduce__(self) -> Never:
        raise TypeError("an AsyncClient cannot be pickled or copied, it holds the API key: make another")

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called."""
        return self._transport.closed

    async def close(self) -> None:
        """Close the client and its own session, not the caller's. Idempotent.

        Requests under way fail with ClientClosedError: at once where they wait for a response, and
        when their wait is over where the guard or a retry holds them back.
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
            ClientClosedError: the client, or the session passed to it, has been closed.

        """
        check_integer("page", page, 1)
        check_integer("limit", limit, 1, MAX_PAGE_SIZE)
        return await self._fetcher.reader(IMAGE_HISTORY, Stats())(page, limit)

    @_without_limit
    def iter_history(
        self,
        *,
        page_size: int = 50,
        start_page: int = 1,
        max_items: int | None = None,
        read_ahead: int = 0,
        exact: bool = False,
        after: ImageTask | str | Iterable[ImageTask] | None = None,
        until: ImageTask | str | datetime | None = None,
    ) -> ItemIterator[ImageTask]:
        """Iterate over the tasks of the history, none twice, while it goes on growing.

        Args:
            page_size: tasks a page, 1 to 50. More is faster.
            start_page: the page, of ``page_size`` tasks, to start with, from 1.
            max_items: tasks to yield at most; None for all. No more than needed are requested.
            read_ahead: pages to prefetch, requested concurrently ahead of the reader; implies ``exact``.
            exact: prove that no task was skipped, also where tasks are deleted meanwhile, or hidden, or share
                their ``created_at``. Costs 1.24 times the requests at ``page_size=50`` in a long history, two
                more in a short one; a small size may be exceeded.
            after: continue behind this task, or the task with this id; implies ``exact``. Or the last tasks
                that you have, in their order: needed if several were created at the same time. An empty list
                is as None. The task is looked for at ``start_page`` first.
            until: end before this task, or the task with this id; or, with an aware datetime, at the first
                task that is older, if the history is newest first. If it is not, older tasks are left out.

        Returns:
            An async generator, and more. Use it in ``async with``, to have it closed; ``pages()`` goes on
            page by page; ``stats`` has what was read so far. After an error, or if ``anext`` was cancelled,
            the next ``anext`` goes on where it stood.

        Raises:
            ValueError: an argument that is not valid, at once.
            PaginationError: the pages lead to no end, no page shows ``after``, or (exact) a gap cannot be
                ruled out.
            APIError: a request failed; every task before it was yielded. ``page`` is the page's number.
            ClientClosedError: the client, or the session passed to it, has been closed.

        """
        options = Options(page_size, start_page, max_items, read_ahead, exact, after, until)
        return self._iterate(iterate_items, IMAGE_HISTORY, options)

    @_without_limit
    def iter_history_pages(
        self,
        *,
        page_size: int = 50,
        start_page: int = 1,
        max_items: int | None = None,
        read_ahead: int = 0,
        exact: bool = False,
        after: ImageTask | str | Iterable[ImageTask] | None = None,
        until: ImageTask | str | datetime | None = None,
    ) -> PageIterator[HistoryPage]:
        """Iterate as ``iter_history`` does, page by page.

        A page holds the tasks that were not yielded before; one without any is not yielded.
        """
        options = Options(page_size, start_page, max_items, read_ahead, exact, after, until)
        return self._iterate(iterate_pages, IMAGE_HISTORY, options)

    async def download(
        self,
        task: ImageTask,
        directory: str | PathLike[str],
        *,
        max_bytes: int = 64 * 2**20,
        timeout: float = 300.0,  # noqa: ASYNC109 - as everywhere in this class
        on_bytes: Callable[[int], object] | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Download a task's image into ``directory``, and return its path; at once if it is there.

        The file is named by the task's id and, for the suffix, by what it holds. It has its name only
        once it is whole. An image that broke off is continued by the next call where its host allows it.
        Up to 16 of them are under way at a time. Its host never gets the key, and has to be on the
        internet, unless the gateway is on this machine. While the host wants to be left alone, after a
        429 or 503 with Retry-After, all downloads from it wait.

        Args:
            task: one with an ``image_url``.
            directory: made if it is not there.
            max_bytes: of the image; a larger one is refused.
            timeout: seconds for the image; and seconds to wait for a host that wants to be left alone.
            on_bytes: called with the number of bytes each time that some have come.
            overwrite: download it even if it is there; the file is replaced once the new one is whole.

        Raises:
            ValueError: the task has no ``image_url``, or a limit is none.
            APIStatusError: the image's host responded with an error status.
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
                task,
                Path(directory),
                limits,
                on_bytes,
                overwrite=overwrite,
                allow_private=is_loopback(self._base_url),
            )
        except APIError as error:
            self._redactor.error(error)
            raise

    def _iterate(
        self, iterate: Callable[[Fetch[P], Options, Stats], T], endpoint: Endpoint[P], options: Options
    ) -> T:
        stats = Stats()
        return iterate(self._fetcher.reader(endpoint, stats), options, stats)
