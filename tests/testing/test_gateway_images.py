"""The images behind ``image_url``."""

import xml.etree.ElementTree as ET

import aiohttp
import pytest

from apimall_async.testing import LocalGateway


@pytest.fixture
def url(gateway: LocalGateway) -> str:
    """Take the URL of one image."""
    return next(task.image_url for task in gateway.tasks if task.image_url)


async def test_an_image_needs_no_key(gateway: LocalGateway, url: str) -> None:
    """An image_url is on the gateway and gives a well-formed SVG to anyone."""
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        body = await response.read()
    assert url.startswith(f"{gateway.url}/images/img_")
    assert (response.status, response.content_type) == (200, "image/svg+xml")
    assert int(response.headers["Content-Length"]) == len(body)
    assert ET.fromstring(body).tag == "{http://www.w3.org/2000/svg}svg"


async def test_each_task_has_its_own_image(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """The same task gives the same image, another one another."""
    images = []
    urls = [task.image_url for task in gateway.tasks if task.image_url]
    for url in [*urls, *urls]:
        async with http.get(url) as response:
            images.append(await response.read())
    assert images[: len(urls)] == images[len(urls) :]
    assert len(set(images)) == len(urls) > 1


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-", 206, slice(None)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=5-9", 206, slice(5, 10)),
        ("bytes=5-99999", 206, slice(5, None)),
        ("bytes=99999-", 416, slice(0, 0)),
        ("lines=1-2", 200, slice(None)),
    ],
)
async def test_an_image_can_be_resumed(
    http: aiohttp.ClientSession, url: str, wanted: str, status: int, part: slice
) -> None:
    """A range is served as RFC 9110 has it, and what is no range is ignored."""
    async with http.get(url) as response:
        image = await response.read()
    async with http.get(url, headers={"Range": wanted}) as response:
        assert response.status == status
        assert await response.read() == image[part]
    first, stop, _ = part.indices(len(image))
    expected = {
        200: None,
        206: f"bytes {first}-{stop - 1}/{len(image)}",
        416: f"bytes */{len(image)}",
    }
    assert response.headers.get("Content-Range") == expected[status]
