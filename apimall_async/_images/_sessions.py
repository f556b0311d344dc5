"""The connections to images' hosts: shared by the downloads of an event loop, apart from the API's."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import aiohttp
import attrs

from apimall_async._images._hosts import create_public_socket
from apimall_async._images._resolver import Resolver
from apimall_async._version import __version__


IDLE_TIMEOUT = 30.0  # seconds without a byte
_MAX_CONCURRENT = 16  # downloads; further ones wait for a slot


@attrs.define
class _Pool:
    session: aiohttp.ClientSession
    slots: asyncio.Semaphore
    users: int = 0


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bool, _Pool]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_session(*, allow_private: bool) -> AsyncGenerator[aiohttp.ClientSession]:
    """Wait for a slot, and share a session with all other downloads of this event loop.

    The last of them closes it, so no caller has to.
    """
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    pool = pools.get(allow_private)
    if not pool:
        session = _open_session(allow_private=allow_private)
        pool = pools[allow_private] = _Pool(session, asyncio.Semaphore(_MAX_CONCURRENT))
    pool.users += 1
    try:
        async with pool.slots:
            yield pool.session
    finally:
        pool.users -= 1
        if not pool.users:
            del pools[allow_private]
            await pool.session.close()


def _open_session(*, allow_private: bool) -> aiohttp.ClientSession:
    # No proxy is used: it would resolve the host's name by itself.
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            socket_factory=None if allow_private else create_public_socket, resolver=Resolver()
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Accept": "image/*",
            "Accept-Encoding": "identity",  # ranges and lengths count the bytes as they are sent
            "User-Agent": f"apimall-async/{__version__}",
        },
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=IDLE_TIMEOUT, sock_read=IDLE_TIMEOUT),
    )
