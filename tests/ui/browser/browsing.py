"""Reads the page in a browser, as a person would."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import served

from apimall_async import RetryPolicy
from apimall_async.testing import LocalGateway


expect = pytest.importorskip("playwright.async_api", reason="needs the Python package playwright").expect
expect.set_options(timeout=20_000)  # milliseconds: other tests may run meanwhile

BROWSER = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
"""The marks of the tests that use it."""


QUICK = RetryPolicy(max_tries=3, max_time=2.5, wait_initial=0.05)
"""For a gateway that fails: the page shows it soon."""


@asynccontextmanager
async def reading(
    browser: Any,
    gateway: LocalGateway,
    *,
    prefix: str = "/",
    report: str = "",
    retry: RetryPolicy = QUICK,
    **options: Any,
) -> AsyncIterator[Any]:
    """Open the page over ``gateway``; check that the browser reported nothing.

    That is every message on the console, violations of the policy among them, but for those about
    responses with an error status, which are part of what is tested, and ``report``, which must come.
    """
    reports: list[str] = []

    def listen(message: Any) -> None:
        if not message.text.startswith("Failed to load resource"):
            reports.append(message.text)

    context = await browser.new_context(locale="en-GB", timezone_id="UTC", **options)
    async with (
        gateway.client(retry=retry) as client,
        served(client, prefix, poll_interval=0.2) as service,
    ):
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", listen)
        page.on("pageerror", lambda error: reports.append(str(error)))
        await page.goto(f"{service._base_url}{prefix}")
        yield page
        await context.close()
    assert all(report and report in text for text in reports)
    assert bool(report) == bool(reports)


async def ids(page: Any) -> list[str]:
    """List the ids of the cards, shown or not, from the top."""
    found: list[str] = await page.locator("#grid .id").all_text_contents()
    return found


async def scroll_down(page: Any) -> None:
    """Scroll to the end of what is there."""
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")


async def scroll_to_the_end(page: Any, meanwhile: Callable[[], object] = list) -> None:
    """Scroll until there is no more, and let something happen each time."""
    async with asyncio.timeout(60):
        while not await page.get_by_text("That is all").is_visible():
            meanwhile()
            await scroll_down(page)
            await page.wait_for_timeout(50)


async def loaded(page: Any, count: int) -> None:
    """Wait until so many cards are there."""
    await expect(page.locator("#grid .card")).to_have_count(count)


async def first_load(page: Any, gateway: LocalGateway) -> int:
    """Wait for the first tasks; return how many there are."""
    await expect(page.locator("#grid .card").nth(49)).to_be_attached()
    await expect(page.get_by_text("Loading older tasks")).to_be_hidden()
    return len(await ids(page))


async def shown(page: Any) -> list[str]:
    """List the ids of the cards that are shown."""
    found: list[str] = await page.locator("#grid .card:not([hidden]) .id").all_text_contents()
    return found


async def fits(page: Any) -> bool:
    """Return whether nothing sticks out to the right."""
    fitting: bool = await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return fitting


async def screenshot(page: Any, name: str) -> None:
    """Keep a picture for somebody to look at, if there is a folder for it."""
    if folder := os.environ.get("APIMALL_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")
