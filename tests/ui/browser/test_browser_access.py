"""The page in a browser: for those who use a keyboard, listen, or want less motion."""

from datetime import UTC, datetime
from typing import Any

import attrs
from browsing import BROWSER, expect, first_load, ids, reading, screenshot, shown
from histories import pending

from apimall_async.testing import LocalGateway


pytestmark = BROWSER


async def test_the_keyboard_reaches_everything(browser: Any, gateway: LocalGateway) -> None:
    """In the order in which it is seen, from the link that skips the tools on."""
    permissions = ["clipboard-read", "clipboard-write"]
    async with reading(browser, gateway, permissions=permissions) as page:
        await first_load(page, gateway)
        focused = [await tab(page) for _ in range(6)]
        first = gateway.tasks[0]
        assert focused == [
            "Skip to the tasks",
            "Search by task id",
            "All",
            "Model",
            f"Open the image of {first.model}, task {first.task_id}",
            f"Copy task id {first.task_id}",
        ]
        await screenshot(page, "focus")
        await page.keyboard.press("Enter")
        await expect(page.locator("#announcement")).to_have_text("Task id copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == first.task_id
        assert await tab(page) == f"Details of task {first.task_id}"
        await page.keyboard.press("Enter")
        await expect(page.locator("#grid .card").first.get_by_text(first.source)).to_be_visible()
        await page.get_by_role("radio", name="All").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("radio", name="Completed")).to_be_checked()
        assert len(await shown(page)) < len(await ids(page))


async def tab(page: Any) -> str:
    """Press Tab; return the name of what has the focus then, which must be visible."""
    await page.keyboard.press("Tab")
    name: str = await page.evaluate(
        """() => {
            const it = document.activeElement;
            const name = it.ariaLabel || it.labels?.[0]?.innerText || it.innerText || it.textContent;
            return name.trim().split("\\n")[0];
        }"""
    )
    return name


async def test_the_skip_link_skips(browser: Any, gateway: LocalGateway) -> None:
    """The next Tab is the first card."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the tasks")).to_be_in_viewport()
        await page.keyboard.press("Enter")
        assert (await tab(page)).startswith("Open the image")


async def test_motion_is_left_out_where_it_is_not_wanted(browser: Any, gateway: LocalGateway) -> None:
    """Neither the shimmer of a running task nor the glow of a new one."""
    async with reading(browser, gateway, reduced_motion="reduce") as page:
        await first_load(page, gateway)
        gateway.insert(pending())
        await expect(page.locator("#grid .card.new")).to_be_visible()
        assert await page.evaluate("document.getAnimations().length") == 0


async def test_an_id_is_selected_where_there_is_no_clipboard(browser: Any, gateway: LocalGateway) -> None:
    """As on a page that is neither https nor on this machine."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject())")
        await page.get_by_role("button", name="Copy task id").first.click()
        await expect(page.locator("#announcement")).to_contain_text("is selected")
        assert await page.evaluate("getSelection().toString()") == gateway.tasks[0].task_id


async def test_an_image_opens_in_a_tab_of_its_own(browser: Any, gateway: LocalGateway) -> None:
    """Which has no way back to the page."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        link = page.get_by_role("link", name="Open the image").first
        async with page.context.expect_page() as opening:
            await link.click()
        opened = await opening.value
        assert opened.url == gateway.tasks[0].image_url
        assert await link.get_attribute("rel") == "noopener noreferrer"


async def test_a_time_is_local_and_iso_on_hover(browser: Any, gateway: LocalGateway) -> None:
    """Local is where the reader is."""
    created = datetime(2024, 3, 12, 23, 30, tzinfo=UTC)
    gateway.insert(attrs.evolve(pending(), created_at=created))
    async with reading(browser, gateway) as page:
        time = page.locator("#grid time").first
        await expect(time).to_have_text("12 Mar 2024")
        assert await time.get_attribute("title") == "2024-03-12T23:30:00.000Z"


async def test_totals_are_those_of_what_is_loaded(browser: Any, gateway: LocalGateway) -> None:
    """Used and refunded; a plus shows that there are more tasks."""
    async with reading(browser, gateway) as page:
        count = await first_load(page, gateway)
        tasks = gateway.tasks[:count]
        await expect(page.locator("#total-tasks")).to_have_text(f"{count}+")
        await expect(page.locator("#total-used")).to_have_text(f"{sum(t.credits_used for t in tasks):,}")
        refunded = sum(task.credits_refunded or 0 for task in tasks)
        await expect(page.locator("#total-refunded")).to_have_text(f"{refunded:,}")
