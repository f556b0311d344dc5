"""A web service that shows the latest tasks, with one client as long as the service runs."""

from collections.abc import AsyncIterator

from aiohttp import web

from apimall_async import APIError, AsyncClient


CLIENT = web.AppKey("client", AsyncClient)


async def open_client(app: web.Application) -> AsyncIterator[None]:
    """Open the client when the service starts, and close it when the service ends."""
    async with AsyncClient() as client:
        app[CLIENT] = client
        yield


async def latest(request: web.Request) -> web.Response:
    """Respond with the twenty newest tasks."""
    try:
        page = await request.app[CLIENT].list_history()
    except APIError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error
    return web.json_response([{"task_id": task.task_id, "status": task.status} for task in page])


def make_app() -> web.Application:
    """Put the service together."""
    app = web.Application()
    app.cleanup_ctx.append(open_client)
    app.router.add_get("/latest", latest)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1")
