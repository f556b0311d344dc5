"""AsyncClient: owns a session or uses the caller's, sends requests, iterates over the history."""

from collections.abc import Callable, Iterable
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Never, Self, TypeVar

import aiohttp
from yarl import URL

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._conversion import Page
from apimall_async._endpoints import IMAGE_HISTORY, Endpoint
from apimall_async._errors import APIError, ClientClosedError
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
    without_limit,
)
from apimall_async._parts import Parts
from apimall_async._retry import RetryPolicy
from apimall_async._settings import Default, is_loopback


P = TypeVar("P", bound=Page[Any])
T = TypeVar("T")


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
        retry: how often and how long one request is tried, or None for one try. By default 8 times at most:
            for 20 seconds where one page is awaited, for 300 seconds for each page of an iteration, and for
            10 seconds where the gateway cannot be reached at all.
        proxy: URL of an http(s) proxy. Without it, and without ``session``, the environment's count
            (``HTTPS_PROXY``, ``NO_PROXY``).

    Raises:
        ConfigurationError: a key, URL, session, timeout, retry or proxy that cannot be used.

    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | URL | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: float | aiohttp.ClientTimeout | None = 30.0,
        retry: RetryPolicy | Default | None = Default.DEFAULT,
        proxy: str | None = None,
    ) -> None:
        try:
            self._parts = Parts.make(
                api_key, base_url, session=session, timeout=timeout, retry=retry, proxy=proxy
            )
        except BaseException as error:  # noqa: BLE001 - it goes on
            del api_key, base_url, proxy  # tools that report errors show the variables of frames
            raise error.with_traceback(None) from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_parts"):  # in the traceback of an error while it is made
            return f"<{type(self).__name__} not made>"
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self._parts.base_url.origin()} {state}>"

    def __reduce__(self) -> Never:
        raise TypeError("an AsyncClient cannot be pickled or copied, it holds the API key: make another")

    @property
    def closed(self) -> bool:
        """Whether ``close()`` was called; of what ``with_options`` returned, on the client that it is of."""
        return self._parts.transport.closed

    async def close(self) -> None:
        """Close the client and its own session, not the caller's. Idempotent.

        All that is under way, or waits for the guard, for a retry or for a connection, fails at once with
        ClientClosedError. What ``with_options`` returned is closed with the client that it is of; closing it
        closes nothing.
        """
        if not self._parts.is_view:
            await self._parts.transport.close()

    def with_options(
        self,
        *,
        timeout: float | aiohttp.ClientTimeout | Default | None = Default.DEFAULT,
        retry: RetryPolicy | Default | None = Default.DEFAULT,
    ) -> Self:
        """Return this client with other limits of time and tries, for one call or for one handler.

        It has the same connections and the same rate-limit guard, costs nothing to make, and need not be
        closed: closing it closes nothing.

        Args:
            timeout: as for the client; without it, as this client's.
            retry: as for the client; without it, as this client's.

        Raises:
            ConfigurationError: a timeout or retry that cannot be used.

        """
        view = object.__new__(type(self))
        vars(view).update(vars(self), _parts=self._parts.with_options(timeout, retry))
        return view

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
        return await self._parts.calls.reader(IMAGE_HISTORY, Stats())(page, limit)

    @without_limit
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
                Where the reader is slower, up to four times as many are kept for it.
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

    @without_limit
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
                allow_private=is_loopback(self._parts.base_url),
            )
        except APIError as error:
            self._parts.redactor.error(error)
            raise

    def _iterate(
        self, iterate: Callable[[Fetch[P], Options, Stats], T], endpoint: Endpoint[P], options: Options
    ) -> T:
        stats = Stats()
        return iterate(self._parts.iterations.reader(endpoint, stats), options, stats)
