"""What the page's server refuses, and what it makes browsers refuse."""

import aiohttp
import pytest
from serving import served

from apimall_async import AsyncClient


PATHS = ["/history/", "/history/api/tasks", "/history/static/page.js", "/history/nowhere"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_is_locked_down(service: aiohttp.ClientSession, path: str) -> None:
    """Errors too: a browser runs what it is shown, whatever the status."""
    async with service.get(path) as response:
        headers = response.headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' https: http:"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", PATHS[:3])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"])
async def test_only_get_is_answered(service: aiohttp.ClientSession, path: str, method: str) -> None:
    """Nothing here can be changed, so nothing can be forged."""
    async with service.request(method, path) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET"


async def test_the_history_is_kept_by_no_cache(service: aiohttp.ClientSession) -> None:
    """The data is not stored, the files are checked anew by their ETag."""
    async with service.get("/history/api/tasks") as response:
        assert response.headers["Cache-Control"] == "no-store"
    async with service.get("/history/static/page.css") as response:
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["ETag"]


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
)
async def test_other_sites_get_no_data(service: aiohttp.ClientSession, site: str, status: int) -> None:
    """Nor does a page on another port of this machine, which is the same site."""
    headers = {"Sec-Fetch-Site": site}
    async with service.get("/history/api/tasks", headers=headers) as response:
        assert response.status == status
        body = await response.json()
    assert ("tasks" in body) is (status == 200)


async def test_other_sites_may_link_to_the_page(service: aiohttp.ClientSession) -> None:
    """A link from a chat or a dashboard works."""
    async with service.get("/history/", headers={"Sec-Fetch-Site": "cross-site"}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("page.example:8000", 200),
        ("PAGE.example:8000", 200),
        ("page.example", 421),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/tasks", "/static/page.js", "/nowhere"])
async def test_only_the_hosts_named_are_answered_to(
    client: AsyncClient, host: str, path: str, status: int
) -> None:
    """A name that was rebound to this address gets nothing, neither data nor page."""
    async with (
        served(client, hosts={"Page.example:8000"}) as service,
        service.get(path, headers={"Host": host}) as response,
    ):
        assert response.status == (404 if (status, path) == (200, "/nowhere") else status)


async def test_the_prefix_without_its_slash_leads_to_the_page(service: aiohttp.ClientSession) -> None:
    """By a relative link, so that it works behind a proxy that cuts another prefix."""
    async with service.get("/history", allow_redirects=False) as response:
        assert response.status == 308
        assert response.headers["Location"] == "./history/"
    async with service.get("/history") as response:
        assert response.status == 200
        assert response.url.path == "/history/"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_the_files_have_their_types(service: aiohttp.ClientSession, name: str, kind: str) -> None:
    """With nosniff, a script of another type does not run."""
    async with service.get(f"/history/static/{name}") as response:
        assert response.content_type == kind


@pytest.mark.parametrize("path", ["../_app.py", "%2e%2e/_app.py", "..%2f_app.py", "index.html", ""])
async def test_no_other_file_is_served(service: aiohttp.ClientSession, path: str) -> None:
    """The files are named one by one, so there is no path to climb."""
    async with service.get(f"/history/static/{path}") as response:
        assert response.status == 404


async def test_the_page_loads_nothing_from_elsewhere(service: aiohttp.ClientSession) -> None:
    """And holds no inline script, style or handler, which the policy would refuse."""
    async with service.get("/history/") as response:
        page = await response.text()
    for word in ("https:", "http:", "<style", "style=", " on", "<script>"):
        assert word not in page.replace("http-equiv", "").replace(" on ", ""), word
