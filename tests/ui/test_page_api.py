"""The JSON behind the page: pages of the history by position, and errors that say what to do."""

import json
import random
from typing import Any

import aiohttp
import attrs
import pytest
from serving import served

from apimall_async import (
    ApimallError,
    APITimeoutError,
    AsyncClient,
    ClientClosedError,
    ConfigurationError,
    PaginationError,
    RetryPolicy,
)
from apimall_async.testing import Fault, LocalGateway, RateLimit, RecordedRequest
from apimall_async.ui import create_app
from apimall_async.ui._responses import describe_error


async def get(service: aiohttp.ClientSession, position: object = 0, status: int = 200) -> Any:
    """Request tasks from the page's API."""
    async with service.get("/history/api/tasks", params={"position": str(position)}) as response:
        assert response.status == status
        return await response.json()


def ids(page: Any) -> list[str]:
    """List the ids of the tasks on a page."""
    return [task["task_id"] for task in page["tasks"]]


async def test_a_task_is_sent_with_all_of_its_fields(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """As the gateway sends them, those that this version does not know among them."""
    gateway.insert(
        attrs.evolve(gateway.tasks[-1], task_id="img_new", extra={"prompt": "<b>", "seeds": [1, None]})
    )
    tasks = (await get(service))["tasks"]
    assert tasks == [task.to_dict() for task in gateway.tasks[:50]]
    assert tasks[0]["seeds"] == [1, None]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "x.svg", "https://user:password@cdn.example/"])
async def test_an_image_url_that_is_no_web_url_is_not_sent(
    service: aiohttp.ClientSession, gateway: LocalGateway, url: str
) -> None:
    """It may be script, relative to the page, or hold a password."""
    gateway.update(attrs.evolve(gateway.tasks[0], image_url=url))
    assert (await get(service))["tasks"][0]["image_url"] is None


async def test_the_first_page_is_the_newest(service: aiohttp.ClientSession, gateway: LocalGateway) -> None:
    """Without a position the newest 50 are sent, and when to look for more."""
    async with service.get("/history/api/tasks") as response:
        page = await response.json()
    assert ids(page) == [task.task_id for task in gateway.tasks[:50]]
    assert not page["end"]
    assert page["poll_interval"] == 5.0


async def test_the_position_of_the_last_task_leads_to_the_end(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """As the browser does it: the known task on each page proves that none was skipped."""
    page = await get(service)
    known = ids(page)
    while not page["end"]:
        page = await get(service, len(known) - 1)
        shown = ids(page)
        known += shown[shown.index(known[-1]) + 1 :]
    assert known == [task.task_id for task in gateway.tasks]


async def test_a_page_beyond_the_end_is_empty(service: aiohttp.ClientSession) -> None:
    """Tasks may have been deleted: no error, the browser looks further back."""
    page = await get(service, 10_000)
    assert page["tasks"] == []
    assert page["end"]


async def read_all(service: aiohttp.ClientSession) -> list[str]:
    """Read the history as the browser does, and look further on where nothing new comes."""
    known: list[str] = []
    further, end = 0, False
    while not end:
        page = await get(service, max(0, len(known) - 1 + further))
        new = [one for one in ids(page) if one not in known]
        assert new or page["end"] or further < 400, "nothing comes any more"
        further += 0 if new else 20
        known += new
        end = page["end"]
    return known


PAST_END = ["empty", "empty-as-last", "last", "last-as-requested", "null", "missing", 400, 404, 410, 416, 422]


@pytest.mark.parametrize("past_end", PAST_END)
@pytest.mark.parametrize("tasks", [0, 1, 49, 50, 98, 100, 120])
async def test_the_end_is_found_on_every_back_end(past_end: Any, tasks: int) -> None:
    """Whatever it sends for a page behind the last one."""
    gateway = LocalGateway(tasks, past_end=past_end)
    async with gateway, gateway.client() as client, served(client, "/history") as service:
        assert await read_all(service) == [task.task_id for task in gateway.tasks]
        assert (await get(service, max(0, tasks - 1)))["end"]
        far = await get(service, 10_000)
        assert set(ids(far)) <= {task.task_id for task in gateway.tasks[-50:]}


@pytest.mark.parametrize("share", [0.01, 0.2])
async def test_a_short_page_in_the_middle_is_not_the_end(share: float) -> None:
    """If rows are hidden after a page was cut, what follows it is read, too."""
    gateway = LocalGateway(400)
    chance = random.Random(1)
    gateway.hidden = {task.task_id for task in gateway.tasks if chance.random() < share}
    async with gateway, gateway.client() as client, served(client, "/history") as service:
        shown = [task.task_id for task in gateway.tasks if task.task_id not in gateway.hidden]
        assert await read_all(service) == shown


async def test_looking_for_new_tasks_is_one_request(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """Without a position, which the page requests all the time, nobody looks behind a short page."""
    gateway.delete(*[task.task_id for task in gateway.tasks[5:]])
    async with service.get("/history/api/tasks") as response:
        page = await response.json()
    assert (len(page["tasks"]), page["end"], len(gateway.requests)) == (5, False, 1)
    assert (await get(service, 4))["end"]


async def test_a_passing_404_is_not_the_end(service: aiohttp.ClientSession, gateway: LocalGateway) -> None:
    """A proxy may send one now and then: the page is there when it is looked for again."""
    gateway.fault(Fault.error(404))
    assert (await get(service, 60, 502))["error"]["kind"] == "not_found"


async def test_a_limit_that_is_echoed_too_large_does_no_harm(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """The gateway's own maximum, say, whatever was requested and served."""

    @gateway.rule
    def echo_100(request: RecordedRequest) -> Fault:
        start = ((request.page or 1) - 1) * request.limit
        items = [task.to_dict() for task in gateway.tasks[start : start + request.limit]]
        data = {"items": items, "page": request.page, "limit": 100}
        return Fault(body=json.dumps({"success": True, "data": data, "request_id": "r"}).encode())

    assert await read_all(service) == [task.task_id for task in gateway.tasks]


async def test_where_the_limit_is_capped_another_page_is_chosen(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """The gateway's pages begin elsewhere then, so one is chosen again by the limit that it echoes."""
    gateway.max_limit = 20
    page = await get(service, 49)
    assert gateway.tasks[49].task_id in ids(page)
    assert len(gateway.requests) == 2


async def test_a_gateway_that_serves_another_page_is_an_error(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """The browser would look for a known task in vain."""
    gateway.fault(Fault.stuck(), Fault.stuck())
    error = (await get(service, 60, 502))["error"]
    assert error["kind"] == "pages_unreadable"
    assert error["request_id"]


@pytest.mark.parametrize("position", ["", "-1", "1.5", "x", "1e3", " 1", "٣", "9" * 13])
async def test_a_position_that_is_none_is_refused(
    service: aiohttp.ClientSession, gateway: LocalGateway, position: str
) -> None:
    """What is no whole number of a sane size does not reach the gateway."""
    assert (await get(service, position, 400))["error"]["kind"] == "bad_request"
    assert not gateway.requests


@pytest.mark.parametrize(
    ("fault", "status", "kind", "retryable"),
    [
        (Fault.error(401), 502, "key_refused", False),
        (Fault.error(403), 502, "no_access", False),
        (Fault.error(404), 502, "not_found", False),
        (Fault.error(418), 502, "failed", False),
        (Fault.error(429), 429, "rate_limited", True),
        (Fault.html(503), 502, "gateway_failed", True),
        (Fault.reset(), 502, "unreachable", True),
        (Fault.half(), 502, "bad_response", True),
        (Fault(body=b"[]"), 502, "bad_response", False),
        (Fault.stall(), 504, "timeout", True),
    ],
)
async def test_each_error_is_sent_with_kind_and_status(
    gateway: LocalGateway, fault: Fault, status: int, kind: str, *, retryable: bool
) -> None:
    """The reader of the page is never sent to a login: a refused key is a bad gateway."""
    gateway.rule(lambda _: fault)
    retry = RetryPolicy(max_time=0.0, max_tries=1)
    async with gateway.client(retry=retry, timeout=0.3) as client, served(client, "/history") as service:
        error = (await get(service, 0, status))["error"]
    assert error["kind"] == kind
    assert error["retryable"] is retryable
    assert error["message"]
    assert error["retry_after"] is None


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (APITimeoutError("no"), "Check the network, or allow more time: timeout= of the page's client."),
        (PaginationError("no"), "Reload the page to read the history from its start."),
        (ClientClosedError("no"), ""),
    ],
)
def test_the_advice_is_the_librarys_hint(error: ApimallError, advice: str) -> None:
    """As a sentence, and with other names for the settings than Python's."""
    assert json.loads(describe_error(error).text or "")["error"]["advice"] == advice


async def test_a_rate_limit_is_sent_with_the_wait(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """The second request is held back by the client's guard: the gateway does not see it."""
    gateway.rate_limit = RateLimit(0.1, 1, retry_after=3)
    await get(service)
    for _ in range(2):
        async with service.get("/history/api/tasks") as response:
            assert response.status == 429
            assert response.headers["Retry-After"] in {"3", "4"}
            error = (await response.json())["error"]
        assert 2.5 < error["retry_after"] < 3.1
    assert len(gateway.requests) == 2


async def test_a_closed_client_is_an_error_of_its_own(
    service: aiohttp.ClientSession, client: AsyncClient
) -> None:
    """As while the service shuts down."""
    await client.close()
    assert (await get(service, 0, 503))["error"]["kind"] == "closed"


def test_any_other_error_of_the_library_has_a_response() -> None:
    """One that does not exist yet must not be a 500 without words."""
    assert describe_error(ConfigurationError("no")).status == 502


async def test_errors_never_show_the_key(service: aiohttp.ClientSession, gateway: LocalGateway) -> None:
    """Even if the gateway repeats it in each field that is shown."""
    body = f'{{"error":{{"message":"key {gateway.api_key}","code":"{gateway.api_key}"}}}}'
    gateway.fault(Fault(status=401, body=body.encode()))
    async with service.get("/history/api/tasks") as response:
        text = await response.text()
    assert "[API key]" in text
    assert gateway.api_key not in text


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_poll_interval_that_is_none_is_refused(client: AsyncClient, seconds: float) -> None:
    """A page must neither hammer nor sleep for good."""
    with pytest.raises(ValueError, match="poll_interval"):
        create_app(client, poll_interval=seconds)
