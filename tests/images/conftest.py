"""An image host, and clients of gateways on this machine and elsewhere."""

from collections.abc import AsyncIterator

import pytest
from image_host import KEY, Host, hosting

from apimall_async import AsyncClient
from apimall_async._images import _sessions


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """Run an image host on this machine."""
    async with hosting() as host:
        yield host


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    """Make a client of a gateway on this machine, to which no test here sends a request."""
    async with AsyncClient(KEY, base_url="http://127.0.0.1:9") as client:
        yield client
    assert not any(_sessions._pools.values())  # nothing stays open


@pytest.fixture
async def remote_client() -> AsyncIterator[AsyncClient]:
    """Make a client of a gateway elsewhere."""
    async with AsyncClient(KEY, base_url="https://gateway.test") as client:
        yield client
