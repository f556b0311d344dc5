"""An HTTP server that can be stopped at once, whatever it is doing."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from aiohttp import web


_BACKLOG = 1024  # connections the system may hold before they are accepted


class Server:
    """An HTTP server at one address."""

    def __init__(
        self, respond: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], host: str, port: int
    ) -> None:
        self.host = host
        self.port = port
        """0 takes a free one; once started, the one it has, which stays over a restart."""
        self._respond = respond
        self._listener: asyncio.Server | None = None
        self._connections: web.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Does nothing if it does already.

        Raises:
            OSError: the port is taken.

        """
        if self._listener:
            return
        connections = web.Server(self._handle, handler_cancellation=True, access_log=None)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(connections, self.host, self.port, backlog=_BACKLOG)
        self._connections = connections
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and cut every response under way. Does nothing if it is closed."""
        listener, self._listener = self._listener, None
        if not (listener and self._connections):
            return
        await _stop_accepting(listener)
        if busy := tuple(self._busy):
            for task in busy:
                task.cancel()
            await asyncio.wait(busy)
        await self._connections.shutdown(0.1)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy.add(request.task)
        try:
            return await self._respond(request)
        finally:
            self._busy.discard(request.task)


async def _stop_accepting(listener: asyncio.Server) -> None:
    """Close the listening socket, but not under a connection that is just being accepted.

    asyncio gives such a connection to the closed listener, fails, and leaves its socket behind. Other loops
    accept in another way, and rloop ends the process if its listener is touched.
    """
    loop = asyncio.get_running_loop()
    for listening in listener.sockets if isinstance(loop, asyncio.SelectorEventLoop) else ():
        loop.remove_reader(listening)
    for _ in range(3):
        await asyncio.sleep(0)
    listener.close()


@contextlib.contextmanager
def running_in_thread(
    name: str, start: Callable[[], Coroutine[Any, Any, None]], close: Callable[[], Coroutine[Any, Any, None]]
) -> Generator[None]:
    """Start and close in a thread and an event loop of its own, and let the loop run in between."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result()
        yield
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
