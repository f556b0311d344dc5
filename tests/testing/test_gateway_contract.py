"""What the vendor's page says, checked on the stand-in over a socket."""

import re
from typing import Any

import aiohttp
import pytest

from apimall_async import HistoryPage
from apimall_async.testing import LocalGateway, sample_history


PATH = "/api/v1/images/history"


async def request(
    http: aiohttp.ClientSession, path: str = PATH, method: str = "GET", **options: Any
) -> tuple[int, dict[str, Any]]:
    """Send a request; return status and JSON."""
    async with http.request(method, path, **options) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


async def test_a_page_is_the_contracts_envelope(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """A page has the contract's fields, and is page 1 of limit 20 where the request has neither."""
    status, body = await request(http)
    assert status == 200
    assert list(body) == ["success", "data", "request_id"]
    assert body["success"] is True
    assert (body["data"]["page"], body["data"]["limit"]) == (1, 20)
    assert [item["task_id"] for item in body["data"]["items"]] == [task.task_id for task in gateway.tasks]
    fields = "task_id model source created_at status image_url credits_used credits_refunded completed_at"
    assert set(body["data"]["items"][0]) == set(fields.split())


async def test_an_item_spells_its_values_as_the_contract_does(http: aiohttp.ClientSession) -> None:
    """Moments are UTC to the millisecond with a Z; what is missing is null."""
    _, body = await request(http)
    newest, *_, oldest = body["data"]["items"]
    assert newest["created_at"] == "2026-03-12T09:30:00.000Z"
    assert (newest["status"], newest["image_url"], newest["completed_at"]) == (
        "pending",
        None,
        None,
    )
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", oldest["completed_at"])


async def test_the_client_reads_what_the_gateway_holds(gateway: LocalGateway) -> None:
    """What AsyncClient returns equals ``gateway.tasks``, to the microsecond."""
    precise = sample_history(1, seed=1, newest=gateway.tasks[0].created_at.replace(microsecond=1))[0]
    gateway.insert(precise)
    async with gateway.client() as client:
        page = await client.list_history()
    assert page == HistoryPage(tuple(gateway.tasks), 1, 20, page.request_id)
    assert page.items[0] == precise


async def test_pages_are_ranges_of_the_history(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """Page p of limit n starts at task (p - 1) * n; past the end a page is empty."""
    ids = [task.task_id for task in gateway.tasks]
    pages = {}
    for page in (1, 2, 3, 4, 2**63 - 1):
        _, body = await request(http, params={"page": page, "limit": 3})
        assert (body["data"]["page"], body["data"]["limit"]) == (page, 3)
        pages[page] = [item["task_id"] for item in body["data"]["items"]]
    assert pages == {1: ids[:3], 2: ids[3:6], 3: ids[6:], 4: [], 2**63 - 1: []}


@pytest.mark.parametrize("name", ["page", "limit"])
@pytest.mark.parametrize("value", ["0", "-1", "", "x", "1.0", " 1", "1_0", "\u0667", "9" * 5000])
async def test_page_and_limit_are_integers_in_range(
    http: aiohttp.ClientSession, name: str, value: str
) -> None:
    """Anything else is a 400 that names the parameter."""
    status, body = await request(http, params={name: value})
    assert (status, body["error"]["code"]) == (400, "bad_request")
    assert body["error"]["message"].startswith(f"{name} must be an integer from 1 ")


async def test_a_limit_may_be_50_and_not_51(http: aiohttp.ClientSession) -> None:
    """The contract's range includes its ends."""
    assert (await request(http, params={"limit": "50"}))[0] == 200
    assert (await request(http, params={"limit": "51"}))[0] == 400


async def test_max_limit_caps_and_says_so(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """A capped limit is served and echoed; the default limit is capped, too."""
    gateway.max_limit = 2
    for query in ({"limit": "50"}, {}):
        _, body = await request(http, params=query)
        assert (len(body["data"]["items"]), body["data"]["limit"]) == (2, 2)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic {key}", "{key}"])
async def test_a_key_is_required(gateway: LocalGateway, header: str) -> None:
    """Without the right Bearer key the response is the contract's example error."""
    headers = {"Authorization": header.format(key=gateway.api_key)} if header else {}
    async with aiohttp.ClientSession(gateway.url, headers=headers) as http:
        status, body = await request(http)
    assert (status, body["success"]) == (401, False)
    assert body["error"] == {"code": "unauthorized", "message": "Unauthorized"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "message"),
    [
        ("GET", PATH, {"Host": "evil.example"}, 403, "Request made on a non-gateway host"),
        ("GET", "/", {}, 404, "Resource not found"),
        ("GET", PATH + "/", {}, 404, "Resource not found"),
        ("GET", "/images/img_none.svg", {}, 404, "Resource not found"),
        ("POST", PATH, {}, 405, "Method Not Allowed"),
    ],
)
async def test_what_is_not_offered_is_refused(  # noqa: PLR0917 - a table's columns
    http: aiohttp.ClientSession,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    message: str,
) -> None:
    """Other hosts, paths and methods get the contract's error envelope."""
    got, body = await request(http, path, method, headers=headers)
    assert (got, body["error"]["message"]) == (status, message)


async def test_further_hosts_can_be_allowed() -> None:
    """A proxy may pass its own Host header on."""
    async with LocalGateway(1, hosts=["proxy:80"]) as gateway:
        headers = {"Authorization": f"Bearer {gateway.api_key}", "Host": "proxy:80"}
        async with aiohttp.ClientSession(gateway.url, headers=headers) as http:
            assert (await request(http))[0] == 200


async def test_every_response_has_a_request_id_of_its_own(http: aiohttp.ClientSession) -> None:
    """``req_`` and 26 characters, on errors too, and never one twice."""
    responses = [await request(http, path) for path in (PATH, PATH, "/nowhere", PATH + "?page=0")]
    ids = {body["request_id"] for _, body in responses}
    assert len(ids) == 4
    assert all(re.fullmatch(r"req_[0-9A-Z]{26}", request_id) for request_id in ids)


async def test_each_account_has_its_own_history() -> None:
    """A key opens its own account's tasks and no other's."""
    other = sample_history(3, seed=9)
    async with LocalGateway(2, accounts={"sk-other": other, "sk-empty": 0}) as gateway:
        async with gateway.client() as client:
            assert len((await client.list_history()).items) == 2
        async with gateway.client("sk-other") as client:
            page = await client.list_history()
        async with gateway.client("sk-empty") as client:
            assert not (await client.list_history()).items
    assert list(page.items) == gateway.accounts["sk-other"].tasks
    assert [task.task_id for task in page.items] == [task.task_id for task in other]


async def test_the_journal_has_requests_and_responses(
    gateway: LocalGateway, http: aiohttp.ClientSession
) -> None:
    """Each request is kept in order, with its query, headers, status and time."""
    await request(http, params={"page": "2", "limit": "5", "x": "y"})
    await request(http, params={"limit": "0"})
    await request(http, "/nowhere", "DELETE")
    good, bad, lost = gateway.requests
    assert (good.method, good.path, good.query["x"]) == ("GET", PATH, "y")
    assert (good.page, good.limit, good.status, good.tasks) == (2, 5, 200, 2)
    assert good.headers["authorization"] == f"Bearer {gateway.api_key}"
    assert (bad.page, bad.limit, bad.status, bad.tasks) == (None, None, 400, 0)
    assert (lost.method, lost.path, lost.page, lost.status) == ("DELETE", "/nowhere", None, 404)
    assert good.received_at <= bad.received_at <= lost.received_at


async def test_the_journal_is_bounded(
    gateway: LocalGateway, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that runs for weeks forgets the older half of a full journal."""
    monkeypatch.setattr("apimall_async.testing._gateway._JOURNAL", 4)
    for page in range(1, 7):
        await request(http, params={"page": page})
    assert [request.page for request in gateway.requests] == [3, 4, 5, 6]
