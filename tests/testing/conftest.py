"""A gateway of seven tasks, and a bare HTTP client that holds its key."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from apimall_async.testing import LocalGateway


@pytest.fixture
async def gateway() -> AsyncIterator[LocalGateway]:
    """Run a gateway of seven tasks."""
    async with LocalGateway(7) as gateway:
        yield gateway


@pytest.fixture
async def http(gateway: LocalGateway) -> AsyncIterator[aiohttp.ClientSession]:
    """Talk to it as its owner."""
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with aiohttp.ClientSession(gateway.url, headers=headers) as session:
        yield session
