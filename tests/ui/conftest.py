"""A gateway, the page over it on a real socket, and a bare HTTP client for it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from serving import served

from apimall_async import AsyncClient, RetryPolicy
from apimall_async.testing import LocalGateway


@pytest.fixture
async def gateway() -> AsyncIterator[LocalGateway]:
    """Run a gateway of 120 tasks."""
    async with LocalGateway(120) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: LocalGateway) -> AsyncIterator[AsyncClient]:
    """Read it with a short limit of time for retries, as the page's client should."""
    async with gateway.client(retry=RetryPolicy(max_tries=3, max_time=2.5, wait_initial=0.01)) as client:
        yield client


@pytest.fixture
async def service(client: AsyncClient) -> AsyncIterator[aiohttp.ClientSession]:
    """Mount the page at /history of a service, and talk to the service."""
    async with served(client, "/history") as http:
        yield http
