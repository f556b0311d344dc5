"""The JSON behind the page: windows of the history, and errors that say what to do."""

from typing import Any

import aiohttp
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import served

from apimall_async import AsyncClient, ConfigurationError, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, RateLimit
from apimall_async.ui import create_app
from apimall_async.ui._answers import describe_failure, web_url
from apimall_async.ui._windows import choose_page


async def ask(service: aiohttp.ClientSession, position: object = 0, status: int = 200) -> Any:
    """Ask the page's API."""
    async with service.get("/history/api/tasks", params={"position": str(position)}) as response:
        assert response.status == status
        return await response.json()


def ids(answer: Any) -> list[str]:
    """Tell which tasks an answer shows."""
    return [task["task_id"] for task in answer["tasks"]]


@given(position=st.integers(0, 10**12), limit=st.integers(1, 50))
def test_a_page_covers_the_position_and_no_other_reaches_further(position: int, limit: int) -> None:
    """Whatever the limit: the window shows the task asked for, and the most behind it."""
    page, size = choose_page(position, limit)
    assert 1 <= size <= limit
    assert (page - 1) * size <= position < page * size
    assert all((position // other + 1) * other <= page * size for other in range(1, limit + 1))


async def test_a_task_is_told_with_all_its_fields(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """Under the API's own names, with times in ISO 8601."""
    task = next(task for task in gateway.tasks if task.completed_at and task.image_url)
    told = next(told for told in (await ask(service))["tasks"] if told["task_id"] == task.task_id)
    assert task.completed_at
    assert told == attrs.asdict(task) | {
        "created_at": task.created_at.isoformat(),
        "completed_at": task.completed_at.isoformat(),
    }


async def test_the_first_window_is_the_newest_page(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """Without a position the newest 50 are told, and when to ask again."""
    async with service.get("/history/api/tasks") as response:
        answer = await response.json()
    assert ids(answer) == [task.task_id for task in gateway.tasks[:50]]
    assert not answer["end"]
    assert answer["poll_interval"] == 5.0


async def test_asking_for_the_last_task_held_leads_to_the_end(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """As the browser does it: the known task in each window proves that none was skipped."""
    answer = await ask(service)
    held = ids(answer)
    while not answer["end"]:
        answer = await ask(service, len(held) - 1)
        shown = ids(answer)
        held += shown[shown.index(held[-1]) + 1 :]
    assert held == [task.task_id for task in gateway.tasks]


async def test_a_window_beyond_the_end_is_empty(service: aiohttp.ClientSession) -> None:
    """Tasks may have been deleted: no error, the browser looks further back."""
    answer = await ask(service, 10_000)
    assert answer["tasks"] == []
    assert answer["end"]


async def test_a_gateway_that_caps_the_limit_is_asked_anew(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """Its pages begin elsewhere, so the window is chosen again by the limit that it echoes."""
    gateway.max_limit = 20
    answer = await ask(service, 49)
    assert gateway.tasks[49].task_id in ids(answer)
    assert len(gateway.requests) == 2


async def test_a_gateway_that_serves_another_page_is_an_error(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """The browser would look for its place in vain."""
    gateway.fault(Fault.stuck(), Fault.stuck())
    error = (await ask(service, 60, 502))["error"]
    assert error["kind"] == "pages_unreadable"
    assert error["request_id"]


@pytest.mark.parametrize("position", ["", "-1", "1.5", "x", "1e3", " 1", "٣", "9" * 13])
async def test_a_position_that_is_none_is_refused(
    service: aiohttp.ClientSession, gateway: LocalGateway, position: str
) -> None:
    """What is no whole number of a sane size does not reach the gateway."""
    assert (await ask(service, position, 400))["error"]["kind"] == "bad_request"
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
        (Fault.half(), 502, "bad_answer", False),
        (Fault.stall(), 504, "timeout", True),
    ],
)
async def test_each_failure_is_told_by_kind_status_and_advice(
    gateway: LocalGateway, fault: Fault, status: int, kind: str, *, retryable: bool
) -> None:
    """The reader of the page is never sent to a login: a refused key is a bad gateway."""
    gateway.rule(lambda _: fault)
    retry = RetryPolicy(max_time=0.0, max_tries=1)
    async with gateway.client(retry=retry, timeout=0.3) as client, served(client, "/history") as service:
        error = (await ask(service, 0, status))["error"]
    assert error["kind"] == kind
    assert error["retryable"] is retryable
    assert error["message"]
    assert error["advice"]
    assert error["retry_after"] is None


async def test_a_rate_limit_is_told_with_the_wait(
    service: aiohttp.ClientSession, gateway: LocalGateway
) -> None:
    """The second request is held back by the client's guard: the gateway does not see it."""
    gateway.rate_limit = RateLimit(0.1, 1, retry_after=3)
    await ask(service)
    for _ in range(2):
        async with service.get("/history/api/tasks") as response:
            assert response.status == 429
            assert response.headers["Retry-After"] in {"3", "4"}
            error = (await response.json())["error"]
        assert 2.5 < error["retry_after"] < 3.1
    assert len(gateway.requests) == 2


async def test_a_client_that_was_closed_is_told(service: aiohttp.ClientSession, client: AsyncClient) -> None:
    """As while the service shuts down."""
    await client.close()
    assert (await ask(service, 0, 503))["error"]["kind"] == "closed"


def test_any_other_error_of_the_library_has_an_answer() -> None:
    """One that does not exist yet must not be a 500 without words."""
    assert describe_failure(ConfigurationError("no")).status == 502


async def test_errors_never_show_the_key(service: aiohttp.ClientSession, gateway: LocalGateway) -> None:
    """Even if the gateway repeats it in each field that is shown."""
    body = f'{{"error":{{"message":"key {gateway.api_key}","code":"{gateway.api_key}"}}}}'
    gateway.fault(Fault(status=401, body=body.encode()))
    async with service.get("/history/api/tasks") as response:
        text = await response.text()
    assert "[API key]" in text
    assert gateway.api_key not in text


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example/a.webp",
        "http://127.0.0.1:8000/images/1.svg?x=1#y",
        "HTTPS://cdn.example",
        "https://[::1]:80/x",
    ],
)
def test_web_urls_pass(url: str) -> None:
    """As they are: the browser spells them its own way."""
    assert web_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        " https://cdn.example/",
        "https:cdn.example",
        "https:///x",
        "data:image/svg+xml,<svg onload=alert(1)>",
        "//cdn.example/x",
        "/images/x.svg",
        "file:///etc/passwd",
        "blob:https://x/1",
        "https://user:secret@cdn.example/",
        "https://cdn.example/\n<script>",
        "http\u017f://cdn.example/",
    ],
)
def test_other_urls_do_not(url: str | None) -> None:
    """Whatever could be script, a file, relative to the page, or hold a password."""
    assert web_url(url) is None


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_poll_interval_that_is_none_is_refused(client: AsyncClient, seconds: float) -> None:
    """A page must neither hammer nor sleep for good."""
    with pytest.raises(ValueError, match="poll_interval"):
        create_app(client, poll_interval=seconds)
