"""The page by itself, on this machine."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web

from apimall_async import AsyncClient
from apimall_async.ui._app import create_app


_ADDRESS = "127.0.0.1"


@asynccontextmanager
async def serve(client: AsyncClient, *, port: int = 0, poll_interval: float = 5.0) -> AsyncGenerator[str]:
    """Serve the page on loopback for as long as the ``async with`` lasts, and yield its URL.

    It accepts its own names only, so no other site can read it (DNS rebinding); the other users of
    this machine can.

    Args:
        client: see ``create_app``.
        port: 0 takes a free one.
        poll_interval: see ``create_app``.

    Raises:
        OSError: the port is taken.

    """
    with socket.create_server((_ADDRESS, port)) as listener:
        port = listener.getsockname()[1]
        hosts = {f"{_ADDRESS}:{port}", f"localhost:{port}"}
        app = create_app(client, hosts=hosts, poll_interval=poll_interval)
        # A reader whose request waits for the gateway does not keep the server from its end.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield f"http://{_ADDRESS}:{port}/"
        finally:
            await runner.cleanup()
