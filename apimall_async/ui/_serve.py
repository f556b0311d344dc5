"""The page by itself, on this machine."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web

from apimall_async import AsyncClient
from apimall_async._addresses import host_headers, make_origin
from apimall_async.ui._app import create_app


@asynccontextmanager
async def serve(
    client: AsyncClient, *, host: str = "127.0.0.1", port: int = 0, poll_interval: float = 5.0
) -> AsyncGenerator[str]:
    """Serve the page on loopback for as long as the ``async with`` lasts, and yield its URL.

    It accepts its own names only, so no other site can read it (DNS rebinding); the other users of
    this machine can.

    Args:
        client: see ``create_app``.
        host: the address to listen at, of loopback: another one would show the page to others.
        port: 0 takes a free one.
        poll_interval: see ``create_app``.

    Raises:
        OSError: the port is taken.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        port = listener.getsockname()[1]
        hosts = host_headers([host, "localhost"], port)
        app = create_app(client, hosts=hosts, poll_interval=poll_interval)
        # A reader whose request waits for the gateway does not keep the server from its end.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield f"{make_origin(host, port)}/"
        finally:
            await runner.cleanup()
