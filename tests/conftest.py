"""What the tests share: a running gateway, and no environment of the developer's own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from importlib import import_module

import pytest
from hypothesis import settings

from apimall_async.testing import LocalGateway


# Shared machines pause for longer than hypothesis would allow one example.
settings.register_profile("apimall", deadline=None)
settings.load_profile("apimall")

# A shell's background job ignores Ctrl-C, and so would the processes that some tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Whose event loop the tests run on: asyncio's, with eager tasks or without, uvloop's or rloop's.
LOOP = os.environ.get("APIMALL_TEST_LOOP", "asyncio")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on the loop that was chosen."""
    return {LOOP: new_eager_loop if LOOP == "eager" else import_module(LOOP).new_event_loop}


def new_eager_loop() -> asyncio.AbstractEventLoop:
    """Make a loop whose tasks begin at once when they are made (Python 3.12 or newer)."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - 3.11, the types' Python, has none
    return loop


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's key and proxies out of the tests."""
    for name in ("APIMALL_API_KEY", "APIMALL_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def gateway() -> AsyncIterator[LocalGateway]:
    """Run a gateway of 120 tasks."""
    async with LocalGateway(120) as gateway:
        yield gateway
