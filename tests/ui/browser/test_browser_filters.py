"""The page in a browser: filters by status, model and id."""

import asyncio
from typing import Any

import attrs
from browsing import BROWSER, expect, first_load, ids, reading, shown
from histories import finished, ids_of, pending

from apimall_async.testing import LocalGateway


pytestmark = BROWSER


async def test_status_and_model_filter_together(browser: Any, gateway: LocalGateway) -> None:
    """Over what is loaded, and over what is loaded and created later."""
    async with reading(browser, gateway) as page:
        await page.get_by_role("radio", name="Failed").check(force=True)
        await expect(page.get_by_text("That is all")).to_be_visible()  # few match, so all is read
        failed = [task for task in gateway.tasks if task.status == "failed"]
        assert await shown(page) == ids_of(failed)
        model = failed[0].model
        await page.get_by_label("Model").select_option(model)
        assert await shown(page) == ids_of([task for task in failed if task.model == model])
        gateway.insert(attrs.evolve(pending(1), model=model, status="failed"), pending(2))
        await expect(page.locator("#grid .card:not([hidden]) .id").first).to_have_text("img_new001")
        await page.get_by_role("radio", name="All").check(force=True)
        await expect(page.locator("#grid .card:not([hidden]) .id").first).not_to_have_text("img_new002")
        await page.get_by_label("Model").select_option("")
        assert await shown(page) == ids_of(gateway.tasks)


async def test_a_search_finds_a_task_by_part_of_its_id(browser: Any, gateway: LocalGateway) -> None:
    """In either case, and further down than what was loaded."""
    async with reading(browser, gateway) as page:
        wanted = gateway.tasks[-1].task_id
        await page.get_by_role("searchbox", name="Search by task id").fill(f" {wanted[-12:].lower()} ")
        await expect(page.locator("#grid .card:not([hidden])")).to_have_count(1)
        assert await shown(page) == [wanted]


async def test_a_search_in_vain_stops_before_it_reads_everything(browser: Any) -> None:
    """It reads a few pages at a time, and shows when it has read all."""
    async with LocalGateway(finished(500)) as gateway, reading(browser, gateway) as page:
        await page.get_by_role("searchbox").fill("nowhere")
        further = page.get_by_role("button", name="Look through older tasks")
        await expect(further).to_be_visible()
        await expect(page.get_by_role("heading", name="No task matches")).to_be_visible()
        assert len(await ids(page)) < 400
        end = page.get_by_text("None of the 500 tasks of this account")
        async with asyncio.timeout(30):
            while not await end.is_visible():
                await further.click()
                await expect(further.or_(end)).to_be_visible()
        await page.get_by_role("button", name="Clear the filters").click()
        await expect(page.get_by_role("searchbox")).to_be_focused()
        assert await shown(page) == ids_of(gateway.tasks)


async def test_a_status_newer_than_the_page_has_a_filter(browser: Any, gateway: LocalGateway) -> None:
    """The set of statuses is open; all that are not known are Other."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await expect(page.get_by_role("radio", name="Other")).to_have_count(0)
        gateway.insert(attrs.evolve(pending(), status="queued"))
        await page.get_by_role("radio", name="Other").check(force=True)
        assert await shown(page) == [pending().task_id]
        await expect(page.locator("#grid .card:not([hidden]) .status")).to_have_text("Queued")
