"""Doubles of a server that people use in tests: docs/use-with.md says which ones work, and how."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import vcr  # type: ignore[import-untyped]
from aiointercept import aiointercept
from aioresponses import aioresponses
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped]

from apimall_async import APIConnectionError, AsyncClient, ImageTask, RateLimitError
from apimall_async.testing import LocalGateway, sample_history


KEY = "sk-made-up-1234"
PATH = "/api/v1/images/history?page=1&limit=20"


def page_of(tasks: list[ImageTask]) -> dict[str, Any]:
    """Make a response."""
    data = {"items": [task.to_dict() for task in tasks], "page": 1, "limit": 20}
    return {"success": True, "data": data, "request_id": "req_1"}


async def test_aioresponses_ng() -> None:
    """Pages, errors and faults come out as from a server; what the double itself raises is not hidden."""
    tasks = sample_history(3)
    url = f"https://gateway.apimall.ai{PATH}"
    with aioresponses() as double:
        double.get(url, payload=page_of(tasks))
        double.get(url, status=429, headers={"Retry-After": "0.05"})
        double.get(url, exception=ConnectionResetError())
        double.get(url, exception=aiohttp.ServerDisconnectedError())
        double.get(url, exception=LookupError("mine"))
        async with AsyncClient(KEY, retry=None) as client:
            assert (await client.list_history()).items == tuple(tasks)
            with pytest.raises(RateLimitError) as refused:
                await client.list_history()
            assert refused.value.retry_after == 0.05
            for _ in range(2):
                with pytest.raises(APIConnectionError) as broken:
                    await client.list_history()
                assert broken.value.retryable
            with pytest.raises(LookupError, match="mine"):
                await client.list_history()


@pytest.mark.parametrize("external", [False, True])
async def test_aiointercept(*, external: bool) -> None:
    """By the address of its server, or in the gateway's place."""
    tasks = sample_history(3)
    async with aiointercept(mock_external_urls=external) as double:
        origin = "https://gateway.apimall.ai" if external else str(double.server_url)
        double.get(f"{origin}{PATH}", payload=page_of(tasks))
        async with AsyncClient(KEY, base_url=origin, retry=None) as client:
            assert (await client.list_history()).items == tuple(tasks)


async def test_vcrpy(tmp_path: Path) -> None:
    """What was recorded is played back, and the cassette has not the key."""
    cassette = tmp_path / "history.yaml"
    recorder = vcr.VCR(filter_headers=["authorization"])
    read: list[list[str]] = []
    async with LocalGateway(120, api_key=KEY) as gateway:
        for _ in range(2):
            with recorder.use_cassette(str(cassette)):
                async with gateway.client() as client:
                    read.append([task.task_id async for task in client.iter_history()])
        assert len(gateway.requests) == 3
        with recorder.use_cassette(str(cassette), record_mode="none"):
            async with gateway.client() as client:
                with pytest.raises(CannotOverwriteExistingCassetteException):
                    await client.list_history(7)
    assert len(read[0]) == 120
    assert read[0] == read[1]
    assert KEY not in cassette.read_text()


async def test_vcrpy_without_filter(tmp_path: Path) -> None:
    """It saves nothing, rather than the key."""
    cassette = tmp_path / "history.yaml"
    async with LocalGateway(20, api_key=KEY) as gateway, gateway.client() as client:
        with pytest.raises(Exception, match="Secret"), vcr.use_cassette(str(cassette)):
            await client.list_history()
    assert not cassette.exists()
