"""The page in a browser: what it shows while it loads, waits, or has failed."""

from typing import Any

import attrs
import pytest
from browsing import BROWSER, expect, first_load, loaded, reading, screenshot
from histories import complete, pending

from apimall_async import RetryPolicy
from apimall_async.testing import Fault, LocalGateway


pytestmark = BROWSER


async def test_loading_is_shown_by_placeholders(browser: Any, gateway: LocalGateway) -> None:
    """Of the cards' own shape; a slow gateway is named."""
    gateway.latency = 3.0
    async with reading(browser, gateway, retry=RetryPolicy()) as page:
        await expect(page.locator("#skeletons .card").first).to_be_visible()
        await expect(page.locator("#tasks")).to_have_attribute("aria-busy", "true")
        await expect(page.locator("#pill")).to_have_text("Waiting for the gateway")
        await screenshot(page, "loading")
        gateway.latency = 0.0
        await first_load(page, gateway)
        await expect(page.locator("#skeletons")).to_be_hidden()
        await expect(page.locator("#pill")).to_have_text("Live")


async def test_an_empty_history_is_shown_as_such_until_there_is_a_task(browser: Any) -> None:
    """Which is announced, as there was nothing before it."""
    async with LocalGateway(0) as gateway, reading(browser, gateway) as page:
        await expect(page.get_by_role("heading", name="No images yet")).to_be_visible()
        await screenshot(page, "empty")
        gateway.insert(pending())
        await loaded(page, 1)
        await expect(page.get_by_role("heading", name="No images yet")).to_be_hidden()
        await expect(page.get_by_text("That is all: 1 task.")).to_be_visible()
        await expect(page.locator("#announcement")).to_have_text("New task: nano-banana, pending.")


@pytest.mark.parametrize("after", [0, 1], ids=["at once", "later"])
async def test_a_rate_limit_counts_down_and_goes_on(browser: Any, gateway: LocalGateway, after: int) -> None:
    """By itself, without a request before its time, and without a button."""
    gateway.fault(*[Fault()] * after, Fault.error(429, retry_after=3))
    async with reading(browser, gateway) as page:
        title = page.locator("#notice-title")
        await expect(title).to_have_text("Waiting, 3 s")
        await expect(page.locator("#pill")).to_have_text("Waiting, 3 s")
        await expect(page.get_by_role("button", name="Retry")).to_be_hidden()
        await expect(page.locator("#announcement")).to_contain_text("Too many requests")
        await screenshot(page, f"rate-limited-{after}")
        sent = api_requests(gateway)
        await expect(title).to_have_text("Waiting, 2 s")
        await expect(title).to_have_text("Waiting, 1 s")
        assert api_requests(gateway) == sent
        await expect(page.locator("#notice")).to_be_hidden()
        await first_load(page, gateway)


def api_requests(gateway: LocalGateway) -> int:
    """Count the requests for the history."""
    return sum(request.path.startswith("/api/") for request in gateway.requests)


@pytest.mark.parametrize("after", [0, 1], ids=["at once", "later"])
async def test_an_error_shows_what_to_do_and_offers_retry(
    browser: Any, gateway: LocalGateway, after: int
) -> None:
    """Nothing is requested again before the reader wants it: a refused key stays refused."""
    gateway.fault(*[Fault()] * after, Fault.error(401))
    async with reading(browser, gateway) as page:
        await expect(page.get_by_role("heading", name="The API key was refused")).to_be_visible()
        await expect(page.locator("#notice")).to_contain_text("APIMALL_API_KEY")
        await expect(page.locator("#notice-request")).to_contain_text("req_")
        await expect(page.locator("#pill")).to_have_text("Not live")
        await screenshot(page, f"error-{after}")
        sent = api_requests(gateway)
        await page.wait_for_timeout(600)
        assert api_requests(gateway) == sent
        await page.get_by_role("button", name="Retry").click()
        await first_load(page, gateway)
        await expect(page.locator("#notice")).to_be_hidden()
        await expect(page.locator("#tasks")).to_be_focused()


async def test_what_may_pass_is_tried_again(browser: Any, gateway: LocalGateway) -> None:
    """With the seconds shown, and a button for those who would rather not wait."""
    down = True
    gateway.rule(lambda _: Fault.html(503) if down else None)
    async with reading(browser, gateway) as page:
        await expect(page.get_by_role("heading", name="The gateway has a problem")).to_be_visible()
        await expect(page.locator("#notice-wait")).to_have_text("Trying again in 4 s")
        down = False
        await page.get_by_role("button", name="Retry").click()
        await first_load(page, gateway)


async def test_a_server_that_is_gone_is_named(browser: Any, gateway: LocalGateway) -> None:
    """It is the page's own server that has to be started again."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await page.route("**/api/tasks*", lambda route: route.abort())
        await expect(page.get_by_role("heading", name="The page has lost its server")).to_be_visible()
        await page.unroute("**/api/tasks*")
        await page.get_by_role("button", name="Retry").click()
        await expect(page.locator("#pill")).to_have_text("Live")


async def test_an_image_that_is_broken_has_a_placeholder(browser: Any, gateway: LocalGateway) -> None:
    """As have those of tasks that failed, run, or were completed without one."""
    missing = attrs.evolve(complete(pending(1), gateway), image_url=f"{gateway.url}/images/gone.svg")
    none = attrs.evolve(pending(2), status="completed")
    gateway.insert(missing, none)
    async with reading(browser, gateway) as page:
        cards = page.locator("#grid .card")
        await expect(cards.nth(0).locator(".stand-in")).to_have_text("Image not available")
        await expect(cards.nth(0).locator("img")).to_be_hidden()
        await expect(cards.nth(1).locator(".stand-in")).to_have_text("No image")
        await expect(page.locator(".card[data-status=failed] .stand-in").first).to_have_text("Failed")
