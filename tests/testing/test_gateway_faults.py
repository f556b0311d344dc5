"""Each fault, as it reaches a bare HTTP client."""

import asyncio
import json

import aiohttp
import attrs
import pytest

from apimall_async.testing import Fault, LocalGateway, RecordedRequest


PATH = "/api/v1/images/history"


async def test_faults_are_served_in_order_one_a_response(
    gateway: LocalGateway, http: aiohttp.ClientSession
) -> None:
    """The script changes the next responses but for a ``Fault()``, ends, and leaves images alone."""
    gateway.fault(Fault.error(500), Fault(), Fault.error(403))
    async with http.get("/images/none.svg") as response:
        assert response.status == 404
    statuses = []
    for _ in range(4):
        async with http.get(PATH) as response:
            statuses.append(response.status)
    assert statuses == [500, 200, 403, 200]


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        (Fault.html(502), 502, "text/html", b"<h1>"),
        (Fault.empty(), 503, "application/json", b""),
        (Fault(body=b"[]"), 200, "application/json", b"[]"),
        (Fault.error(404), 404, "application/json", b'"not_found"'),
        (Fault.error(529), 529, "application/json", b'"error"'),
    ],
)
async def test_a_response_can_be_replaced(  # noqa: PLR0917 - a table's columns
    gateway: LocalGateway,
    http: aiohttp.ClientSession,
    fault: Fault,
    status: int,
    content_type: str,
    body: bytes,
) -> None:
    """HTML, nothing, any bytes, or the contract's error."""
    gateway.fault(fault)
    async with http.get(PATH) as response:
        assert (response.status, response.content_type) == (status, content_type)
        assert body in await response.read()
        assert int(response.headers["Content-Length"]) == len(await response.read())


@pytest.mark.parametrize(
    ("retry_after", "sent"),
    [
        (None, []),
        (2, ["2"]),
        (1.5, ["1.5"]),
        ("soon", ["soon"]),
        ("", [""]),
        ((1, "9"), ["1", "9"]),
    ],
)
async def test_retry_after_is_sent_as_given(
    gateway: LocalGateway,
    http: aiohttp.ClientSession,
    retry_after: str | float | tuple[str | float, ...] | None,
    sent: list[str],
) -> None:
    """Numbers, nonsense, several headers or none."""
    gateway.fault(Fault.error(429, retry_after=retry_after))
    async with http.get(PATH) as response:
        assert response.status == 429
        assert response.headers.getall("Retry-After", []) == sent
        assert (await response.json())["error"]["message"] == "Rate limit exceeded"


async def test_headers_are_added_to_a_good_response(
    gateway: LocalGateway, http: aiohttp.ClientSession
) -> None:
    """A fault that leaves the response alone may still send headers."""
    gateway.fault(Fault(headers={"Set-Cookie": "a=b"}))
    async with http.get(PATH) as response:
        assert (response.status, response.headers["Set-Cookie"]) == (200, "a=b")


async def test_half_is_broken_json_in_whole_http(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """The body is complete for HTTP and not for JSON."""
    gateway.fault(Fault.half())
    async with http.get(PATH) as response:
        body = await response.read()
    assert body.startswith(b'{"success":true')
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_truncate_cuts_the_body(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """Content-Length promises more than comes."""
    gateway.fault(Fault.truncate())
    async with http.get(PATH) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_reset_sends_nothing(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """The connection is reset, and the journal knows of no status.

    Twice, because aiohttp by itself sends a GET again, once, whenever its connection breaks.
    """
    gateway.fault(Fault.reset(), Fault.reset())
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await http.get(PATH)
    assert [request.status for request in gateway.requests] == [None, None]


async def test_stall_sends_nothing(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """No headers come, ever; the gateway lets go when the client leaves."""
    gateway.fault(Fault.stall())
    with pytest.raises(asyncio.TimeoutError):
        await http.get(PATH, timeout=aiohttp.ClientTimeout(total=0.05))
    assert [request.status for request in gateway.requests] == [None]


async def test_stall_in_body_sends_half(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """Headers and half of the body come, then nothing."""
    gateway.fault(Fault.stall(in_body=True))
    async with http.get(PATH) as response:
        length = int(response.headers["Content-Length"])
        assert len(await response.content.readexactly(length // 2)) == length // 2
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(response.content.read(1), 0.05)


async def test_endless_never_ends(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """More comes than any page holds, as long as the client reads."""
    gateway.fault(Fault.endless())
    async with http.get(PATH) as response:
        assert "Content-Length" not in response.headers
        assert len(await response.content.readexactly(4_000_000)) == 4_000_000
        response.close()


async def test_drip_sends_byte_by_byte(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """The whole body comes, in pieces."""
    gateway.fault(Fault.drip(0.0))
    async with http.get(PATH, params={"page": "9"}) as response:
        pieces = [piece async for piece, _ in response.content.iter_chunks()]
    assert json.loads(b"".join(pieces))["data"]["page"] == 9
    assert len(pieces) > 9


async def test_cap_serves_a_smaller_limit_once(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """The cap is echoed, and gone with the next response."""
    gateway.fault(Fault.cap(2))
    seen = []
    for _ in range(2):
        async with http.get(PATH, params={"limit": "5"}) as response:
            data = (await response.json())["data"]
            seen.append((data["limit"], len(data["items"])))
    assert seen == [(2, 2), (5, 5)]


@pytest.mark.parametrize(("echo_requested", "echo"), [(False, 1), (True, 3)])
async def test_stuck_serves_one_page(
    gateway: LocalGateway, http: aiohttp.ClientSession, *, echo_requested: bool, echo: int
) -> None:
    """Page 1 is served for page 3, and says so or not."""
    gateway.fault(Fault.stuck(echo_requested=echo_requested))
    async with http.get(PATH, params={"page": "3", "limit": "2"}) as response:
        data = (await response.json())["data"]
    assert data["page"] == echo
    assert [item["task_id"] for item in data["items"]] == [task.task_id for task in gateway.tasks[:2]]


async def test_slow_and_latency_add_up(
    gateway: LocalGateway, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A response is late by the gateway's latency and its own."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("apimall_async.testing._gateway.asyncio.sleep", sleep)
    gateway.latency = 2.0
    gateway.fault(attrs.evolve(Fault.html(502), latency=1.0), Fault.slow(0.5))
    for status in (502, 200, 200):
        async with http.get(PATH) as response:
            assert response.status == status
    assert waited == [3.0, 2.5, 2.0]


async def test_rules_see_each_request_and_decide(gateway: LocalGateway, http: aiohttp.ClientSession) -> None:
    """A rule may change the history first; the first Fault wins, before the script."""
    gateway.fault(Fault.error(500))

    @gateway.rule
    def grow(request: RecordedRequest) -> None:
        if request.page == 2:
            gateway.insert_new()

    @gateway.rule
    async def refuse(request: RecordedRequest) -> Fault | None:
        await asyncio.sleep(0)
        return Fault.error(418) if request.page == 3 else None

    before = gateway.tasks
    statuses = {}
    for page in (3, 1, 2):
        async with http.get(PATH, params={"page": page, "limit": "2"}) as response:
            statuses[page] = response.status
            body = await response.json()
    assert statuses == {3: 418, 1: 500, 2: 200}
    assert [item["task_id"] for item in body["data"]["items"]] == [task.task_id for task in before[1:3]]
