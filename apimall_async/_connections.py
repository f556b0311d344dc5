"""What the requests of one event loop share: a session, the slots of its pool, and one timer."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, nullcontext
from typing import cast
from weakref import WeakKeyDictionary

import aiohttp
import attrs

from apimall_async._deadlines import Deadline, Deadlines
from apimall_async._errors import ConfigurationError


_slots: WeakKeyDictionary[aiohttp.BaseConnector, asyncio.Semaphore] = WeakKeyDictionary()


@attrs.define(eq=False, repr=False)
class Connections:
    """What the requests of one event loop share."""

    session: aiohttp.ClientSession
    slots: asyncio.Semaphore
    deadlines: Deadlines | None
    lifetime: AsyncGenerator[aiohttp.ClientSession] | None
    """Of a session of our own."""
    closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, given: aiohttp.ClientSession | None, seconds: float | None) -> "Connections":
        """Take the session that is given, or open one; allow each request ``seconds``.

        Raises:
            ConfigurationError: the session that is given belongs to another event loop.

        """
        loop = asyncio.get_running_loop()
        if given is not None and getattr(given, "_loop", loop) is not loop:
            raise ConfigurationError(
                "the session passed to the client belongs to another event loop: pass none, "
                "and the client opens one for each loop; or make a session and a client in each"
            )
        lifetime = None if given else _session_lifetime()
        session = await anext(lifetime) if lifetime else cast("aiohttp.ClientSession", given)
        return cls(session, _slots_of(session), Deadlines(seconds) if seconds else None, lifetime)

    def deadline(self) -> AbstractContextManager[object, None]:
        """Limit the time of one request."""
        return Deadline(self.deadlines) if self.deadlines else nullcontext()

    async def close(self) -> None:
        """Close an own session."""
        if self.deadlines:
            self.deadlines.close()
        if self.lifetime:
            await self.lifetime.aclose()

    def close_soon(self) -> None:
        """Have the running loop close it."""
        self.closing = asyncio.get_running_loop().create_task(self.close())


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
