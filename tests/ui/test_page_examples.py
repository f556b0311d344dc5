"""The examples of the documentation, run as they stand."""

import asyncio
import importlib.util
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from apimall_async.testing import Fault, LocalGateway


_EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def load(name: str) -> Any:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(name, _EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_page_in_an_aiohttp_service(gateway: LocalGateway) -> None:
    """The page and the service's own route share one client, which is closed with the service."""
    client = gateway.client()
    runner = web.AppRunner(load("history_in_aiohttp").make_service(client), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as http:
        async with http.get("/latest") as response:
            assert await response.json() == {"task_ids": [gateway.tasks[0].task_id]}
        async with http.get("/history/api/tasks") as response:
            assert len((await response.json())["tasks"]) == 50
        assert not client.closed
    await runner.cleanup()
    assert client.closed


@pytest.fixture
async def lines_service(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[aiohttp.ClientSession]:
    """Run the FastAPI example over the gateway."""
    pytest.importorskip("fastapi", reason="needs fastapi")
    uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn")
    monkeypatch.setenv("APIMALL_API_KEY", gateway.api_key)
    monkeypatch.setenv("APIMALL_BASE_URL", gateway.url)
    config = uvicorn.Config(load("history_in_fastapi").app, lifespan="on", ws="none", log_level="warning")
    async with running(uvicorn.Server(config)) as url, aiohttp.ClientSession(url) as http:
        yield http


@asynccontextmanager
async def running(server: Any) -> AsyncIterator[str]:
    """Run a uvicorn server in a thread, where it leaves the signals alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        life = asyncio.create_task(asyncio.to_thread(server.run, [listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await life


async def test_json_lines_from_a_fastapi_service(
    lines_service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """Every task once, newest first; or as many as are requested."""
    for count in (None, 0, 7):
        params = {} if count is None else {"max_items": str(count)}
        async with lines_service.get("/history.jsonl", params=params) as response:
            assert response.status == 200
            tasks = [json.loads(line) async for line in response.content]
        assert [task["task_id"] for task in tasks] == [task.task_id for task in gateway.tasks[:count]]


async def test_the_fastapi_service_sends_errors(
    lines_service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """By the status if the first page fails, by cutting the response off if a later one does."""
    gateway.fault(Fault.error(401), Fault.error(429, retry_after=1000))
    async with lines_service.get("/history.jsonl") as response:
        assert response.status == 502
    async with lines_service.get("/history.jsonl") as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1000


async def test_a_response_of_the_fastapi_service_that_is_cut_is_seen_to_be(
    lines_service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """No reader takes half of a history for the whole."""
    gateway.fault(Fault(), Fault.error(401))
    async with lines_service.get("/history.jsonl") as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
