"""Looks up the names of images' hosts, in threads of its own.

A name server that is slow must not take the threads that the application uses, which are the event loop's
default executor. The threads are daemons: a program that ends does not wait for them.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from aiohttp.abc import AbstractResolver, ResolveResult


T = TypeVar("T")

THREAD_NAME = "apimall-image-host"
_MAX_THREADS = 8  # of one event loop; further names wait

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Resolver(AbstractResolver):
    """Resolves names as the system does."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return all addresses of a host."""
        look_up = partial(
            socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        return [
            _result(host, port, family, protocol, address)
            for family, _, protocol, _, address in await _in_thread(look_up)
        ]

    async def close(self) -> None:
        """Do nothing: threads end by themselves."""


def _result(host: str, port: int, family: int, protocol: int, address: tuple[Any, ...]) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address[0],
        port=port,
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )


async def _in_thread(call: Callable[[], T]) -> T:
    """Call in a new thread. It keeps its slot until it ends, even if nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    slots = _slots.setdefault(loop, asyncio.Semaphore(_MAX_THREADS))
    await slots.acquire()
    future: asyncio.Future[T] = loop.create_future()

    def finish(settle: Callable[[], None]) -> None:
        slots.release()
        if not future.done():
            settle()

    def run() -> None:
        try:
            settle = partial(future.set_result, call())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            settle = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, settle)

    Thread(target=run, name=THREAD_NAME, daemon=True).start()
    return await future
