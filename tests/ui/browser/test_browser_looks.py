"""The page in a browser: it fits on any screen."""

from datetime import UTC, datetime
from typing import Any

import pytest
from browsing import BROWSER, expect, first_load, fits, reading, screenshot

from apimall_async.testing import LocalGateway, sample_history


pytestmark = BROWSER


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
