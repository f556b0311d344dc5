"""Debian's chromium, driven by Playwright, and a gateway on loopback whose history the page shows."""

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from histories import finished

from apimall_async.testing import LocalGateway


_CHROMIUM = os.environ.get("APIMALL_CHROMIUM") or shutil.which("chromium")
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """Start chromium, once."""
    if not _CHROMIUM:
        pytest.skip("needs chromium (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.async_api", reason="needs the Python package playwright")
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def gateway() -> AsyncIterator[LocalGateway]:
    """Run a gateway of 120 tasks, all of them finished."""
    async with LocalGateway(finished(120)) as gateway:
        yield gateway
