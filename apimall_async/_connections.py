"""What the requests of one event loop share: a session, the slots of its pool, and their timers."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from typing import cast
from weakref import WeakKeyDictionary, WeakValueDictionary

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
    lifetime: AsyncGenerator[aiohttp.ClientSession] | None
    """Of a session of our own."""
    deadlines: WeakValueDictionary[float, Deadlines] = attrs.field(
        factory=WeakValueDictionary[float, Deadlines]
    )
    """By the seconds that they give, as long as requests, or a timer, need them."""
    closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, given: aiohttp.ClientSession | None) -> "Connections":
        """Take the session that is given, or open one.

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
        return cls(session, _slots_of(session), lifetime)

    def deadline(self, seconds: float) -> Deadline:
        """Limit the time of one request."""
        try:
            deadlines = self.deadlines[seconds]
        except KeyError:
            deadlines = self.deadlines[seconds] = Deadlines(seconds)
        return Deadline(deadlines)

    def tasks(self) -> set[asyncio.Task[object]]:
        """Return the tasks of the requests that are under way."""
        return set[asyncio.Task[object]]().union(
            *(deadlines.tasks() for deadlines in self.deadlines.values())
        )

    async def close(self) -> None:
        """End what is under way, and close an own session."""
        for deadlines in list(self.deadlines.values()):
            deadlines.close()
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
