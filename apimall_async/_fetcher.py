"""One page of an endpoint, tried as often as the policy says, past the rate-limit guard."""

import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

import attrs
import backoff
from yarl import URL

from apimall_async._conversion import Page
from apimall_async._endpoints import Endpoint
from apimall_async._errors import APIError
from apimall_async._guard import Guard
from apimall_async._pagination import Stats
from apimall_async._protocol import read_page
from apimall_async._redaction import Redactor
from apimall_async._transport import Transport


P = TypeVar("P", bound=Page[Any])

_logger = logging.getLogger("apimall_async")


class _Call(NamedTuple):
    """One page that is wanted, through all tries for it."""

    url: URL
    kind: type[Page[Any]]
    stats: Stats
    deadline: float


@attrs.define(eq=False, repr=False)
class Fetcher:
    """Fetches pages."""

    base_url: URL
    transport: Transport
    guard: Guard
    redactor: Redactor
    max_tries: int

    def reader(self, endpoint: Endpoint[P], stats: Stats) -> Callable[[int, int], Coroutine[Any, Any, P]]:
        """Return ``fetch(page, limit)`` for an endpoint; what it costs is added to ``stats``."""
        url = self.base_url.with_path(self.base_url.path.rstrip("/") + endpoint.path)

        def fetch(page: int, limit: int) -> Coroutine[Any, Any, P]:
            query = url.with_query(f"page={page}&limit={limit}")
            return self._fetch(_Call(query, endpoint.page, stats, self.guard.deadline()))

        return fetch

    async def _fetch(self, call: _Call) -> Any:
        try:
            return await self._attempt(call)
        except APIError as error:
            if _is_final(error) or self.max_tries == 1:
                raise
            failed = error
        return await self._try_again(call, failed)

    async def _try_again(self, call: _Call, failed: APIError) -> Any:
        """Let backoff decide from the first error on: it costs something, and most requests need none."""
        first = [failed]

        async def attempt() -> Any:
            if first:
                raise first.pop()
            return await self._attempt(call)

        retrying = backoff.on_exception(
            partial(self.guard.waits, call.deadline),
            APIError,
            max_tries=self.max_tries,
            jitter=None,  # the waits have their own; backoff's would wait less than they say
            giveup=_is_final,
            on_backoff=partial(_note_retry, call.stats),
            logger=None,  # backoff's would log at its own mind
        )
        return await retrying(attempt)()

    async def _attempt(self, call: _Call) -> Any:
        """Send one request, once, when the guard lets it."""
        wanted = time.monotonic()
        try:
            response = None
            while response is None:
                self.transport.check_open()
                if self.guard.holds_back():
                    await self.guard.admit(call.deadline)
                response = await self.transport.get(call.url, self.guard)
            call.stats.waited += response.started - wanted
            return read_page(call.kind, response.status, response.headers, response.body)
        except APIError as error:
            response = None  # its headers may repeat the key, and tools that report errors show variables
            raise self.redactor.error(error).with_traceback(None) from None


def _is_final(error: Exception) -> bool:
    return not (isinstance(error, APIError) and error.retryable)


def _note_retry(stats: Stats, details: Any) -> None:
    wait = details["wait"]
    stats.retries += 1
    stats.waited += wait
    when = f"in {wait:.2f} seconds" if wait else "when the guard lets it"
    _logger.info("trying again %s after: %s", when, details["exception"])
