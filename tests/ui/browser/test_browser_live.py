"""The page in a browser: what is new and what has changed is shown without a reload."""

from typing import Any

import attrs
from browsing import BROWSER, expect, first_load, ids, reading, screenshot, scroll_down
from histories import complete, finished, pending

from apimall_async.testing import LocalGateway


pytestmark = BROWSER


async def test_a_new_task_appears_and_is_completed(browser: Any, gateway: LocalGateway) -> None:
    """Without a reload; those who listen hear of it, and the totals follow."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await page.evaluate("globalThis.notReloaded = true")
        used = await page.locator("#total-used").text_content()
        gateway.insert(pending())
        card = page.locator("#grid .card").first
        await expect(card.locator(".id")).to_have_text(pending().task_id)
        await expect(card.locator(".status")).to_have_text("Pending")
        await expect(page.locator("#announcement")).to_have_text("New task: nano-banana, pending.")
        await expect(page.locator("#total-used")).to_have_text(f"{int(used.replace(',', '')) + 8:,}")
        await expect(card.get_by_role("link")).to_have_count(0)

        gateway.update(complete(pending(), gateway))
        await expect(card.locator(".status")).to_have_text("Completed")
        await expect(card.locator("img.loaded")).to_be_visible()
        await expect(page.locator("#announcement")).to_have_text("Task of nano-banana: completed.")
        assert await page.evaluate("notReloaded")


async def test_details_show_unknown_fields_and_follow_them(browser: Any, gateway: LocalGateway) -> None:
    """They come after the known ones that the card has no room for; names and values are bounded."""
    extra: dict[str, Any] = {"prompt": "a <b>fox</b>", "seeds": [1, None], "n" * 2000: "v"}
    task = attrs.evolve(gateway.tasks[0], extra=extra)
    gateway.update(task)
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        card = page.locator("#grid .card").first
        await expect(card.locator("dl")).to_be_empty()
        await card.get_by_text("Details").click()
        known = ["source", task.source, "completed_at", task.to_dict()["completed_at"]]
        unknown = ["prompt", "a <b>fox</b>", "seeds", "[1,null]", "n" * 1000 + "…", "v"]
        await expect(card.locator(":is(dt, dd)")).to_have_text([*known, *unknown])
        await screenshot(page, "details")
        many = {"prompt": "a hen"} | {f"field {number}": number for number in range(100)}
        gateway.update(attrs.evolve(task, extra=many))
        await expect(card.locator("dd").nth(2)).to_have_text("a hen")
        await expect(card.locator("dd")).to_have_count(50)


async def test_a_running_task_further_down_is_completed_too(browser: Any) -> None:
    """Where the newest page does not show it, it is looked at by itself."""
    tasks = finished(120)
    tasks[80:80] = [pending()]
    async with LocalGateway(tasks) as gateway, reading(browser, gateway) as page:
        await scroll_down(page)
        card = page.locator("#grid .card", has_text=pending().task_id)
        await expect(card.locator(".status")).to_have_text("Pending")
        gateway.update(complete(pending(), gateway))
        await expect(card.locator(".status")).to_have_text("Completed")


async def test_new_tasks_wait_for_a_reader_who_is_further_down(browser: Any, gateway: LocalGateway) -> None:
    """So that nothing moves under the eyes; a button leads up."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await page.evaluate("scrollTo(0, 900)")
        gateway.insert(pending(2), pending(1))
        button = page.get_by_role("button", name="2 new tasks")
        await button.click()
        await expect(page.locator("#grid .card").first).to_be_in_viewport()
        assert (await ids(page))[:2] == [pending(2).task_id, pending(1).task_id]
        await expect(button).to_be_hidden()


async def test_a_hidden_page_requests_nothing(browser: Any, gateway: LocalGateway) -> None:
    """And looks for new tasks at once when it is seen again."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await set_hidden(page, hidden=True)
        await page.wait_for_timeout(300)
        before = len(gateway.requests)
        await page.wait_for_timeout(800)
        assert len(gateway.requests) == before
        gateway.insert(pending())
        await set_hidden(page, hidden=False)
        await expect(page.locator("#grid .id").first).to_have_text(pending().task_id)


async def set_hidden(page: Any, *, hidden: bool) -> None:
    """Do as if the tab went into the background, or came back."""
    await page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
