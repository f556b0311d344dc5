"""Real proxies for the tests that use them, each gone when its test ends."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from programs import find
from proxies import Haproxy, Nginx

from apimall_async.testing import LocalGateway


@pytest.fixture
async def behind() -> AsyncIterator[LocalGateway]:
    """Run a gateway of 1500 tasks, to stand behind a proxy."""
    async with LocalGateway(1_500) as gateway:
        yield gateway


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    """Start nginx in front of a port."""
    yield from _starter(Nginx, tmp_path)


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Callable[..., Haproxy]]:
    """Start haproxy in front of a port."""
    yield from _starter(Haproxy, tmp_path)


def _starter(kind: Any, home: Path) -> Iterator[Callable[..., Any]]:
    name = kind.__name__.lower()
    if not find(name):
        pytest.skip(f"{name} is not installed")
    with ExitStack() as started:
        yield lambda port, **directives: started.enter_context(kind(home, port, **directives))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Make one for all clients of a test."""
    async with aiohttp.ClientSession() as session:
        yield session


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a case by the options that it passes."""
    if isinstance(val, dict):
        return ",".join(f"{name}={value}" for name, value in val.items()) or "plain"
    return None
