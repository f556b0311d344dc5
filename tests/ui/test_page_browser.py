"""The page in a real browser: Debian's chromium, driven by Playwright, over a gateway on loopback."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_asyncio
from serving import served

from apimall_async import ImageTask, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, sample_history


playwright = pytest.importorskip("playwright.async_api", reason="needs the Python package playwright")
Page, expect = playwright.Page, playwright.expect

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

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not _CHROMIUM, reason="needs chromium (apt-get install chromium)"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """Start chromium, once."""
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def gateway() -> AsyncIterator[LocalGateway]:
    """Run a gateway of 120 tasks, all of them finished."""
    async with LocalGateway(finished(120)) as gateway:
        yield gateway


def finished(count: int) -> list[ImageTask]:
    """Make tasks that have nothing more to come to."""
    return [task for task in sample_history(count + 20) if task.completed_at][:count]


@asynccontextmanager
async def reading(
    browser: Any, gateway: LocalGateway, *, prefix: str = "/", complaint: str = "", **options: Any
) -> AsyncIterator[Any]:
    """Open the page over ``gateway``; complain of what the browser complained of.

    That is every message on the console, violations of the policy among them, but for those about
    answers with an error status, which are part of what is tested, and ``complaint``, which must come.
    """
    complaints: list[str] = []

    def listen(message: Any) -> None:
        if not message.text.startswith("Failed to load resource"):
            complaints.append(message.text)

    retry = RetryPolicy(max_time=0.2, wait_initial=0.05)
    context = await browser.new_context(locale="en-GB", timezone_id="UTC", **options)
    async with (
        gateway.client(retry=retry) as client,
        served(client, prefix, poll_interval=0.2) as service,
    ):
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{service._base_url}{prefix}")
        yield page
        await context.close()
    assert all(complaint and complaint in text for text in complaints)
    assert bool(complaint) == bool(complaints)


async def ids(page: Any) -> list[str]:
    """Tell the ids of the cards, shown or not, from the top."""
    found: list[str] = await page.locator("#grid .id").all_text_contents()
    return found


def ids_of(tasks: Sequence[ImageTask]) -> list[str]:
    """Tell the ids of tasks."""
    return [task.task_id for task in tasks]


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


def pending(number: int = 1) -> ImageTask:
    """Make a task that was just born."""
    return ImageTask(f"img_new{number:03}", "nano-banana", "gempix2", datetime.now(UTC), "pending", 8)


def complete(task: ImageTask, gateway: LocalGateway) -> ImageTask:
    """Tell what becomes of ``task``."""
    url = f"{gateway.url}/images/{task.task_id}.svg"
    return attrs.evolve(task, status="completed", image_url=url, completed_at=datetime.now(UTC))


# --- reading the history ------------------------------------------------------------------------


async def test_scrolling_leads_to_the_end_with_no_task_twice(browser: Any) -> None:
    """Through 500 tasks, while others are born: each is there once, in the history's order."""
    async with LocalGateway(finished(500)) as gateway, reading(browser, gateway) as page:
        await scroll_to_the_end(page, lambda: gateway.insert_new(3))
        await loaded(page, len(gateway.tasks))
        assert await ids(page) == ids_of(gateway.tasks)


async def test_tasks_deleted_meanwhile_make_it_skip_none(browser: Any) -> None:
    """What was read moves up by 70, so the next page alone would lack as many."""
    async with LocalGateway(finished(300)) as gateway, reading(browser, gateway) as page:
        count = await first_load(page, gateway)
        gateway.delete(*ids_of(gateway.tasks[10:80]))
        unread = ids_of(gateway.tasks[count - 70 :])
        await scroll_to_the_end(page)
        assert (await ids(page))[count:] == unread


async def test_more_news_than_a_page_holds(browser: Any, gateway: LocalGateway) -> None:
    """The gap to what is known is read before anything is shown, so there never is one."""
    async with reading(browser, gateway) as page:
        before = await first_load(page, gateway)
        gateway.insert_new(130)
        await loaded(page, before + 130)
        assert await ids(page) == ids_of(gateway.tasks)[: before + 130]


async def test_far_more_news_are_a_fresh_start(browser: Any, gateway: LocalGateway) -> None:
    """As after a night asleep: the page begins anew at the top."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        gateway.insert_new(1200)
        await expect(page.locator("#grid .id").first).to_have_text(gateway.tasks[0].task_id)
        shown = await ids(page)
        assert shown == ids_of(gateway.tasks)[: len(shown)]


async def first_load(page: Any, gateway: LocalGateway) -> int:
    """Wait for the first tasks; tell how many there are."""
    await expect(page.locator("#grid .card").nth(49)).to_be_attached()
    await expect(page.get_by_text("Loading older tasks")).to_be_hidden()
    return len(await ids(page))


async def test_it_works_below_a_prefix(browser: Any, gateway: LocalGateway) -> None:
    """Also where the address lacks the slash: every link of the page is relative."""
    async with reading(browser, gateway, prefix="/a/history") as page:
        await first_load(page, gateway)
        assert page.url.endswith("/a/history/")


# --- live ---------------------------------------------------------------------------------------


async def test_a_new_task_appears_and_is_completed(browser: Any, gateway: LocalGateway) -> None:
    """Without a reload; those who listen are told, and the totals follow."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        await page.evaluate("globalThis.notReloaded = true")
        used = await page.locator("#total-used").text_content()
        gateway.insert(pending())
        card = page.locator("#grid .card").first
        await expect(card.locator(".id")).to_have_text(pending().task_id)
        await expect(card.locator(".status")).to_have_text("Pending")
        await expect(page.locator("#said")).to_have_text("New task: nano-banana, pending.")
        await expect(page.locator("#total-used")).to_have_text(f"{int(used.replace(',', '')) + 8:,}")
        await expect(card.get_by_role("link")).to_have_count(0)

        gateway.update(complete(pending(), gateway))
        await expect(card.locator(".status")).to_have_text("Completed")
        await expect(card.locator("img.loaded")).to_be_visible()
        await expect(page.locator("#said")).to_have_text("Task of nano-banana: completed.")
        assert await page.evaluate("notReloaded")


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


async def test_news_wait_for_a_reader_who_is_further_down(browser: Any, gateway: LocalGateway) -> None:
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


async def test_a_hidden_page_asks_for_nothing(browser: Any, gateway: LocalGateway) -> None:
    """And asks at once when it is seen again."""
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


# --- filters ------------------------------------------------------------------------------------


async def shown(page: Any) -> list[str]:
    """Tell the ids of the cards that are shown."""
    found: list[str] = await page.locator("#grid .card:not([hidden]) .id").all_text_contents()
    return found


async def test_status_and_model_filter_together(browser: Any, gateway: LocalGateway) -> None:
    """Over what is loaded, and over what is loaded later and born later."""
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


async def test_a_search_in_vain_asks_before_it_reads_everything(browser: Any) -> None:
    """A few pages at a time; and says so when it has read all."""
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


# --- states -------------------------------------------------------------------------------------


async def test_loading_is_shown_by_placeholders(browser: Any, gateway: LocalGateway) -> None:
    """Of the cards' own shape; a slow gateway is named."""
    gateway.latency = 3.0
    async with reading(browser, gateway) as page:
        await expect(page.locator("#skeletons .card").first).to_be_visible()
        await expect(page.locator("#tasks")).to_have_attribute("aria-busy", "true")
        await expect(page.locator("#pill")).to_have_text("Waiting for the gateway")
        await screenshot(page, "loading")
        gateway.latency = 0.0
        await first_load(page, gateway)
        await expect(page.locator("#skeletons")).to_be_hidden()
        await expect(page.locator("#pill")).to_have_text("Live")


async def test_an_empty_history_says_so_until_a_task_is_born(browser: Any) -> None:
    """Which is announced, as there was nothing before it."""
    async with LocalGateway(0) as gateway, reading(browser, gateway) as page:
        await expect(page.get_by_role("heading", name="No images yet")).to_be_visible()
        await screenshot(page, "empty")
        gateway.insert(pending())
        await loaded(page, 1)
        await expect(page.get_by_role("heading", name="No images yet")).to_be_hidden()
        await expect(page.get_by_text("That is all: 1 task.")).to_be_visible()
        await expect(page.locator("#said")).to_have_text("New task: nano-banana, pending.")


@pytest.mark.parametrize("after", [0, 1], ids=["at once", "later"])
async def test_a_rate_limit_counts_down_and_goes_on(browser: Any, gateway: LocalGateway, after: int) -> None:
    """By itself, without a request before its time; there is no button to be impatient with."""
    gateway.fault(*[Fault()] * after, Fault.error(429, retry_after=3))
    async with reading(browser, gateway) as page:
        title = page.locator("#notice-title")
        await expect(title).to_have_text("Waiting, 3 s")
        await expect(page.locator("#pill")).to_have_text("Waiting, 3 s")
        await expect(page.get_by_role("button", name="Retry")).to_be_hidden()
        await expect(page.locator("#said")).to_contain_text("Too many requests")
        await screenshot(page, f"rate-limited-{after}")
        asked = api_requests(gateway)
        await expect(title).to_have_text("Waiting, 2 s")
        await expect(title).to_have_text("Waiting, 1 s")
        assert api_requests(gateway) == asked
        await expect(page.locator("#notice")).to_be_hidden()
        await first_load(page, gateway)


def api_requests(gateway: LocalGateway) -> int:
    """Count the requests for the history."""
    return sum(request.path.startswith("/api/") for request in gateway.requests)


@pytest.mark.parametrize("after", [0, 1], ids=["at once", "later"])
async def test_an_error_says_what_to_do_and_offers_retry(
    browser: Any, gateway: LocalGateway, after: int
) -> None:
    """Nothing is asked again before the reader wants it: a refused key stays refused."""
    gateway.fault(*[Fault()] * after, Fault.error(401))
    async with reading(browser, gateway) as page:
        await expect(page.get_by_role("heading", name="The API key was refused")).to_be_visible()
        await expect(page.locator("#notice")).to_contain_text("APIMALL_API_KEY")
        await expect(page.locator("#notice-request")).to_contain_text("req_")
        await expect(page.locator("#pill")).to_have_text("Not live")
        await screenshot(page, f"error-{after}")
        asked = api_requests(gateway)
        await page.wait_for_timeout(600)
        assert api_requests(gateway) == asked
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


# --- safety -------------------------------------------------------------------------------------

_HOSTILE = [
    "<img src=x onerror=pwned()>",
    "<script>pwned()</script>",
    "\"><svg onload='pwned()'>",
    "javascript:pwned()",
    "data:text/html,<script>pwned()</script>",
    "{{constructor.constructor('pwned()')()}}",
    "\u202egnp.exe\u0000\u001b[31m" + "W" * 5000,
    "__proto__",
]


async def test_what_the_gateway_sends_is_text(browser: Any) -> None:
    """Markup and script in every field are shown as they are spelled, and run nowhere."""
    tasks = [
        ImageTask(f"{text}{number}", text, text, datetime.now(UTC), status, 8, url)
        for number, text in enumerate(_HOSTILE)
        for status, url in [(text, text), ("completed", f"javascript:{text}")]
    ]
    tasks = [attrs.evolve(task, task_id=f"{task.task_id}-{i}") for i, task in enumerate(tasks)]
    async with LocalGateway(tasks) as gateway, reading(browser, gateway) as page:
        await page.evaluate("void (globalThis.pwned = () => { globalThis.wasPwned = true })")
        await loaded(page, len(tasks))
        assert await page.locator("#grid .name").all_text_contents() == [task.model for task in tasks]
        assert await ids(page) == ids_of(tasks)
        assert await page.locator("#grid a[href]").count() == 0
        assert await page.locator("#grid img[src]").count() == 0
        assert await page.locator("#grid script, #grid [onerror], #grid [onload]").count() == 0
        gateway.insert(attrs.evolve(tasks[0], task_id="<b>live</b>"))  # into the announcement
        await expect(page.locator("#said")).to_contain_text(_HOSTILE[0])
        await page.locator("#models").select_option(_HOSTILE[1])
        await page.get_by_role("radio", name="Other").check(force=True)
        assert not await page.evaluate("globalThis.wasPwned")
        assert await fits(page)
        await screenshot(page, "hostile")


async def test_errors_of_the_gateway_are_text_too(browser: Any, gateway: LocalGateway) -> None:
    """In the notice, with what it says of itself."""
    gateway.rule(
        lambda request: (
            Fault(
                status=418,
                body=b'{"error":{"message":"<img src=x onerror=alert(1)>"},"request_id":"<b>1</b>"}',
            )
            if request.path.startswith("/api/")
            else None
        )
    )
    async with reading(browser, gateway) as page:
        await expect(page.locator("#notice-message")).to_have_text("<img src=x onerror=alert(1)>")
        await expect(page.locator("#notice-request")).to_have_text("Request id: <b>1</b>")


async def test_only_its_own_server_and_the_images_hosts_are_asked(
    browser: Any, gateway: LocalGateway
) -> None:
    """And an image's host is told neither where the image is shown nor the key."""
    async with reading(browser, gateway) as page:
        origins: set[str] = set()
        page.on("request", lambda request: origins.add("/".join(request.url.split("/")[:3])))
        await page.reload()
        await first_load(page, gateway)
        await expect(page.locator("#grid img.loaded").first).to_be_visible()
        assert origins == {page.url.rstrip("/"), gateway.url}
    images = [request for request in gateway.requests if request.path.startswith("/images/")]
    assert images
    for request in images:
        assert "Referer" not in request.headers
        assert "Authorization" not in request.headers


async def test_the_policy_refuses_what_gets_by(browser: Any, gateway: LocalGateway) -> None:
    """The second line: even code in the page cannot make markup of a string, or frame it."""
    async with reading(browser, gateway, complaint="TrustedHTML") as page:
        await first_load(page, gateway)
        refused = await page.evaluate(
            """() => {
                try { document.body.innerHTML = "<b>"; return false; } catch { return true; }
            }"""
        )
        assert refused


# --- readers ------------------------------------------------------------------------------------


async def test_the_keyboard_reaches_everything(browser: Any, gateway: LocalGateway) -> None:
    """In the order in which it is seen, from the link that skips the tools on."""
    permissions = ["clipboard-read", "clipboard-write"]
    async with reading(browser, gateway, permissions=permissions) as page:
        await first_load(page, gateway)
        walked = [await tab(page) for _ in range(6)]
        first = gateway.tasks[0]
        assert walked == [
            "Skip to the tasks",
            "Search by task id",
            "All",
            "Model",
            f"Open the image of {first.model}, task {first.task_id}",
            f"Copy task id {first.task_id}",
        ]
        await screenshot(page, "focus")
        await page.keyboard.press("Enter")
        await expect(page.locator("#said")).to_have_text("Task id copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == first.task_id
        await page.get_by_role("radio", name="All").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("radio", name="Completed")).to_be_checked()
        assert len(await shown(page)) < len(await ids(page))


async def tab(page: Any) -> str:
    """Press Tab; tell the name of what has the focus then, which must be visible."""
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
        await expect(page.locator("#said")).to_contain_text("is selected")
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
        assert await time.get_attribute("title") == created.isoformat()


async def test_totals_are_those_of_what_is_loaded(browser: Any, gateway: LocalGateway) -> None:
    """Used and refunded; a plus says that there are more tasks."""
    async with reading(browser, gateway) as page:
        count = await first_load(page, gateway)
        tasks = gateway.tasks[:count]
        await expect(page.locator("#total-tasks")).to_have_text(f"{count}+")
        await expect(page.locator("#total-used")).to_have_text(f"{sum(t.credits_used for t in tasks):,}")
        refunded = sum(task.credits_refunded or 0 for task in tasks)
        await expect(page.locator("#total-refunded")).to_have_text(f"{refunded:,}")


# --- looks --------------------------------------------------------------------------------------


async def fits(page: Any) -> bool:
    """Tell whether nothing sticks out to the right."""
    answer: bool = await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return answer


async def screenshot(page: Any, name: str) -> None:
    """Keep a picture for somebody to look at, if there is a place for it."""
    if folder := os.environ.get("APIMALL_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1440, 2560])
async def test_it_fits_and_is_looked_at(browser: Any, width: int, scheme: str) -> None:
    """On any screen nothing sticks out, and nothing jumps when an image comes."""
    tasks = sample_history(120, newest=datetime.now(UTC))
    viewport = {"width": width, "height": 900}
    async with (
        LocalGateway(tasks) as gateway,
        reading(browser, gateway, viewport=viewport, color_scheme=scheme) as page,
    ):
        await first_load(page, gateway)
        await expect(page.locator("#grid img.loaded").nth(1)).to_be_visible()
        assert await fits(page)
        box = await page.locator("#grid .thumb").first.bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=1)
        await page.wait_for_timeout(400)
        await screenshot(page, f"page-{width}-{scheme}")
