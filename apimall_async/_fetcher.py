"""One page of an endpoint, tried as often and for as long as the policy says, past the rate-limit guard."""

import math
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import aiohttp
import attrs
import backoff
from yarl import URL

from apimall_async._conversion import Page
from apimall_async._endpoints import Endpoint
from apimall_async._errors import APIError, APITimeoutError
from apimall_async._guard import Guard
from apimall_async._log import log_retry
from apimall_async._pagination import Stats
from apimall_async._protocol import read_page
from apimall_async._redaction import Redactor
from apimall_async._retry import RetryPlan, Tries
from apimall_async._timeouts import Limits, limits_of
from apimall_async._transport import Transport


P = TypeVar("P", bound=Page[Any])


@attrs.define(eq=False, repr=False)
class _Call:
    """One page that is wanted, through all tries for it."""

    url: URL
    page: int
    reader: "Reader[Any]"
    tries: Tries
    at_guard: bool = False
    failed: APIError | None = None
    """Why it was tried again last."""


@attrs.define(eq=False, repr=False)
class Fetcher:
    """Fetches pages."""

    base_url: URL
    transport: Transport
    guard: Guard
    redactor: Redactor
    timeout: aiohttp.ClientTimeout
    plan: RetryPlan
    _first: Limits = attrs.field(init=False)
    """Of a first try that has to wait for nothing."""

    def __attrs_post_init__(self) -> None:
        self._first = limits_of(self.timeout, self.plan.max_time, self.plan.unreachable)

    def reader(self, endpoint: Endpoint[P], stats: Stats) -> "Reader[P]":
        """Return ``fetch(page, limit)`` for an endpoint; what it costs is added to ``stats``."""
        url = self.base_url.with_path(self.base_url.path.rstrip("/") + endpoint.path)
        return Reader(self, url, endpoint, stats)

    async def fetch(self, call: _Call) -> Any:
        """Return the page of a call."""
        try:
            # Most requests start at once, and nothing but their own limits has to end them.
            if self.transport.is_ready() and not self.guard.holds_back():
                page = await self._attempt(call, self._first)
                if page is not None:
                    return page
            return await self._in_time(call, self._attempt(call))
        except APIError as error:
            if _is_final(error) or self.plan.once:
                raise
            failed = error
        return await self._in_time(call, self._try_again(call, failed))

    async def _in_time(self, call: _Call, work: Coroutine[Any, Any, Any]) -> Any:
        """Await what may take long, up to the end of the call or of the client."""
        with suppress(TimeoutError):
            return await self.transport.waits.run(work, call.tries.end)
        # Raised out here, the error has no __context__.
        self.transport.check_open()
        if call.at_guard:
            raise self.guard.held_back()
        if call.failed:
            raise call.failed
        error = APITimeoutError(f"no whole response within {self.plan.max_time:g} seconds")
        error.hint = "check the network, or allow more time: {retry}"
        raise error

    async def _try_again(self, call: _Call, failed: APIError) -> Any:
        """Let backoff decide from the first error on: it costs something, and most requests need none."""
        first = [failed]

        async def attempt() -> Any:
            if first:
                raise first.pop()
            return await self._attempt(call)

        retrying = backoff.on_exception(
            partial(call.tries.waits, self.guard.delay),  # they count the tries, too: some do not count
            APIError,
            jitter=None,  # the waits have their own; backoff's would wait less than they say
            giveup=_is_final,
            on_backoff=partial(self._note_retry, call),
            logger=None,  # backoff's would log at its own mind
        )
        return await retrying(attempt)()

    async def _attempt(self, call: _Call, limits: Limits | None = None) -> Any:
        """Send one request, once, when the guard lets it. With ``limits``, now, or return None."""
        wanted = time.monotonic()
        try:
            response = None
            while response is None:
                self.transport.check_open()
                if limits is None and self.guard.holds_back():
                    await self._admit(call)
                response = await self.transport.get(call.url, self.guard, limits or self._limits(call))
                if limits and response is None:
                    return None
            call.reader.stats.waited += response.started - wanted
            call.reader.largest = max(call.reader.largest, len(response.body))
            return read_page(call.reader.endpoint.page, response.status, response.headers, response.body)
        except APIError as error:
            response = None  # its headers may repeat the key, and tools that report errors show variables
            raise self.redactor.error(error).with_traceback(None) from None

    async def _admit(self, call: _Call) -> None:
        call.at_guard = True
        await self.guard.admit(call.tries.deadline)
        call.at_guard = False

    def _limits(self, call: _Call) -> Limits:
        return limits_of(self.timeout, math.inf, call.tries.connect_seconds)

    def _note_retry(self, call: _Call, details: Any) -> None:
        call.failed = details["exception"]
        call.reader.stats.retries += 1
        call.reader.stats.waited += details["wait"]
        log_retry(
            details["exception"],
            attempt=call.tries.number,
            max_tries=self.plan.policy.max_tries,
            wait=max(details["wait"], self.guard.delay()),
            page=call.page,
        )


@attrs.define(eq=False, repr=False)
class Reader(Generic[P]):
    """Reads the pages of one endpoint."""

    fetcher: Fetcher
    url: URL
    endpoint: Endpoint[P]
    stats: Stats
    largest: int = 0
    """The bytes of the largest response so far, unpacked."""

    def __call__(self, page: int, limit: int) -> Coroutine[Any, Any, P]:
        """Read one page."""
        url = self.url.with_query(f"page={page}&limit={limit}")
        tries = Tries(self.fetcher.plan, self.stats.pages > 0, time.monotonic())
        return self.fetcher.fetch(_Call(url, page, self, tries))

    def tasks_under_way(self) -> set[Any]:
        """Return the tasks whose request is sent, and lacks only its response."""
        return self.fetcher.transport.tasks_under_way()


def _is_final(error: Exception) -> bool:
    return not (isinstance(error, APIError) and error.retryable)
