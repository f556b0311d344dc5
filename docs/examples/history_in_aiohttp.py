"""The history page in an aiohttp service: one client for all of it, closed with it.

    APIMALL_API_KEY=… python history_in_aiohttp.py

shows the page at http://127.0.0.1:8080/history/, beside what else the service does.
"""

from collections.abc import AsyncIterator, Collection

from aiohttp import web

from apimall_async import AsyncClient, RetryPolicy
from apimall_async.ui import create_app


CLIENT = web.AppKey("CLIENT", AsyncClient)


def make_service(client: AsyncClient, hosts: Collection[str] | None = None) -> web.Application:
    """Make the service around its client, which can be made before there is an event loop."""
    service = web.Application()
    service[CLIENT] = client
    service.cleanup_ctx.append(close_client)
    service.router.add_get("/latest", latest)
    service.add_subapp("/history", create_app(client, hosts=hosts))
    return service


async def close_client(service: web.Application) -> AsyncIterator[None]:
    """Close the client when the service ends; create_app uses the client, and never closes it."""
    yield
    await service[CLIENT].close()


async def latest(request: web.Request) -> web.Response:
    """Respond with the newest task. The client is shared, and so are its pool and its rate-limit guard."""
    page = await request.app[CLIENT].list_history(limit=1)
    return web.json_response({"task_ids": [task.task_id for task in page]})


if __name__ == "__main__":
    # With a short max_time, the page can show how long the gateway says to wait.
    service_client = AsyncClient(retry=RetryPolicy(max_time=5.0))
    # There is no login. Without these names, any site could make a browser read the page (DNS rebinding).
    service_hosts = {"127.0.0.1:8080", "localhost:8080"}
    web.run_app(make_service(service_client, service_hosts), host="127.0.0.1", port=8080)
