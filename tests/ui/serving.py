"""The page by itself on a real socket."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from apimall_async import AsyncClient
from apimall_async.ui import create_app


@asynccontextmanager
async def served(
    client: AsyncClient, prefix: str = "/", **options: Any
) -> AsyncGenerator[aiohttp.ClientSession]:
    """Serve ``create_app(client, **options)`` below ``prefix``, and talk to the service."""
    app = create_app(client, **options)
    if prefix != "/":
        page, app = app, web.Application()
        app.add_subapp(prefix, page)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            yield http
    finally:
        await runner.cleanup()
