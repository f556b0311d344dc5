"""The page in a browser: whatever the gateway sends is text, and nothing is sent elsewhere."""

import json
from datetime import UTC, datetime
from typing import Any

import attrs
from browsing import BROWSER, expect, first_load, fits, ids, loaded, reading, screenshot
from histories import ids_of

from apimall_async import ImageTask
from apimall_async.testing import Fault, LocalGateway


pytestmark = BROWSER


_HOSTILE = [
    "<img src=x onerror=pwned()>",
    "<script>pwned()</script>",
    "\"><svg onload='pwned()'>",
    "javascript:pwned()",
    "data:text/html,<script>pwned()</script>",
    "{{constructor.constructor('pwned()')()}}",
    "\u202egnp.exe\u0000\u001b[31m" + "W" * 400,
    "__proto__",
]


async def test_what_the_gateway_sends_is_text(browser: Any) -> None:
    """Markup and script in every field, known or not, are shown as they are spelled, and run nowhere."""
    tasks = [
        ImageTask(f"{text}{number}", text, text, datetime.now(UTC), status, 8, url, extra={text: [text]})
        for number, text in enumerate(_HOSTILE)
        for status, url in [(text, text), ("completed", f"javascript:{text}")]
    ]
    tasks = [attrs.evolve(task, task_id=f"{task.task_id}-{i}") for i, task in enumerate(tasks)]
    async with LocalGateway(tasks) as gateway, reading(browser, gateway) as page:
        await page.evaluate("void (globalThis.pwned = () => { globalThis.wasPwned = true })")
        await loaded(page, len(tasks))
        assert await page.locator("#grid .name").all_text_contents() == [task.model for task in tasks]
        assert await ids(page) == ids_of(tasks)
        await page.evaluate("document.querySelectorAll('#grid details').forEach(it => { it.open = true })")
        await expect(page.locator("#grid dt")).to_have_count(3 * len(tasks))
        fields = await page.locator("#grid :is(dt, dd)").all_text_contents()
        assert fields == [text for task in tasks for text in details(task)]
        assert await page.locator("#grid a[href]").count() == 0
        assert await page.locator("#grid img[src]").count() == 0
        assert await page.locator("#grid script, #grid [onerror], #grid [onload]").count() == 0
        gateway.insert(attrs.evolve(tasks[0], task_id="<b>live</b>"))  # into the announcement
        await expect(page.locator("#announcement")).to_contain_text(_HOSTILE[0])
        await page.locator("#models").select_option(_HOSTILE[1])
        await page.get_by_role("radio", name="Other").check(force=True)
        assert not await page.evaluate("globalThis.wasPwned")
        assert await fits(page)
        await screenshot(page, "hostile")


def details(task: ImageTask) -> list[str]:
    """List what the details of a task of this test show: names and values."""
    ((name, value),) = task.extra.items()
    as_json = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return ["source", task.source, "completed_at", "\N{EN DASH}", name, as_json]


async def test_errors_of_the_gateway_are_text_too(browser: Any, gateway: LocalGateway) -> None:
    """In the notice, with the id of the request."""
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


async def test_only_its_own_server_and_the_images_hosts_get_requests(
    browser: Any, gateway: LocalGateway
) -> None:
    """And an image's host learns neither where the image is shown nor the key."""
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
    async with reading(browser, gateway, report="TrustedHTML") as page:
        await first_load(page, gateway)
        refused = await page.evaluate(
            """() => {
                try { document.body.innerHTML = "<b>"; return false; } catch { return true; }
            }"""
        )
        assert refused
