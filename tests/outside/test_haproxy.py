"""Behind haproxy: every fault of its is tried again or a typed error, and no iteration loses a task."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from programs import free_port
from proxies import QUICK, Gateway, Haproxy, each_kind, ids, outlast, port_of, read, read_while

from apimall_async import APIConnectionError, InternalServerError, RateLimitError
from apimall_async.testing import Fault, LocalGateway


pytestmark = pytest.mark.outside

StartHaproxy = Callable[..., Haproxy]

# Every other request, in turn, in one of five ways. A silent drop leaves the client waiting for nothing.
CUTS = """
  http-request set-var(proc.n) var(proc.n),add(1)
  http-request set-var(txn.turn) var(proc.n),mod(10)
  http-request silent-drop if { var(txn.turn) -m int 1 }
  http-request reject if { var(txn.turn) -m int 3 }
  http-request deny deny_status 408 if { var(txn.turn) -m int 5 }
  http-request deny deny_status 500 if { var(txn.turn) -m int 7 }
  http-response silent-drop if { var(txn.turn) -m int 9 }
"""


# Limits.


async def test_a_queue_that_is_too_long(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """One connection to the gateway and six iterations: who waits too long gets 503, and all come through."""
    behind.latency = 0.005
    proxy = haproxy(port_of(behind), backend="timeout queue 20ms", server="maxconn 1")
    kinds = [{}, {"exact": True}, {"read_ahead": 4}] * 2
    async with proxy.client() as client, proxy.client() as other:
        readers = [read(client if number % 2 else other, kind) for number, kind in enumerate(kinds)]
        for seen in await asyncio.gather(*readers):
            assert seen == ids(behind)
    responses = Counter(response.rpartition(" ")[0] for response in proxy.responses())
    assert responses["503 sQ"] > 2


@each_kind
async def test_a_rate_limit(haproxy: StartHaproxy, behind: LocalGateway, options: dict[str, Any]) -> None:
    """A stick table counts what it refuses, too; an iteration finds a pace and loses nothing."""
    proxy = haproxy(
        port_of(behind),
        frontend="""
          stick-table type string len 64 size 1k expire 10s store http_req_rate(500ms)
          http-request track-sc0 req.hdr(Authorization)
          http-request deny deny_status 429 if { sc_http_req_rate(0) gt 15 }
        """,
    )
    async with proxy.client() as client:
        assert await read(client, options) == ids(behind)
    statuses = proxy.statuses()
    assert 429 in statuses
    assert statuses.count(429) < statuses.count(200)


async def test_a_rate_limit_and_one_try(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """RateLimitError with what haproxy was configured to say of the wait, and none of its HTML."""
    proxy = haproxy(
        port_of(behind),
        frontend="http-request deny deny_status 429 hdr Retry-After 7",
    )
    async with proxy.client(retry=None) as client:
        with pytest.raises(RateLimitError) as caught:
            await client.list_history()
    assert caught.value.retry_after == 7
    assert str(caught.value) == (
        "the gateway responded 429 Too Many Requests (status=429, retry_after=7.0)"
        "; try again later, or allow more time for retries: RetryPolicy"
    )
    assert not behind.requests


# An upstream that fails.


async def test_no_upstream(haproxy: StartHaproxy, tmp_path: Path) -> None:
    """503 with a page of one's own: tried again, then InternalServerError, without the page."""
    page = tmp_path / "503.http"
    page.write_text(
        "HTTP/1.0 503 We are moving\r\nContent-Type: text/html\r\n\r\n<html>Back at <b>noon</b></html>"
    )
    proxy = haproxy(free_port(), defaults=f"errorfile 503 {page}")
    async with proxy.client(retry=QUICK) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.list_history()
    assert str(caught.value).startswith(
        "the gateway responded 503 Service Unavailable (status=503); try again"
    )
    assert "noon" not in repr(vars(caught.value))
    assert proxy.statuses() == [503, 503, 503]


async def test_an_upstream_that_is_killed(haproxy: StartHaproxy, tmp_path: Path) -> None:
    """And started again, several times during an iteration: nothing is lost, nothing comes twice."""
    with Gateway(tmp_path / "gateway", tasks=1_500, latency=0.02) as gateway:
        proxy = haproxy(gateway.port)
        async with proxy.client() as client:
            assert await read_while(gateway.restart, client, {"read_ahead": 8}) == ids(LocalGateway(1_500))
    assert proxy.statuses().count(503) >= 3


async def test_a_slow_upstream(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """504: tried again; when the tries are used up, InternalServerError."""
    proxy = haproxy(port_of(behind), backend="timeout server 100ms")
    async with proxy.client(retry=QUICK) as client:
        behind.fault(Fault.stall())
        await client.list_history()
        behind.fault(*[Fault.stall()] * 3)
        with pytest.raises(InternalServerError, match=r"504 Gateway Time"):
            await client.list_history()
    assert proxy.statuses() == [504, 200, 504, 504, 504]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "fault", [Fault.stall(in_body=True), Fault.truncate(), Fault.reset()], ids=["stalls", "ends", "resets"]
)
async def test_an_upstream_that_fails_in_a_response(
    haproxy: StartHaproxy, behind: LocalGateway, fault: Fault, zipped: bool
) -> None:
    """A cut response is no shorter page: it is tried again, and an error in the end."""
    gzipping = "compression algo gzip\ncompression type application/json\n" if zipped else ""
    proxy = haproxy(port_of(behind), backend=f"{gzipping} timeout server 100ms")
    await outlast(proxy, behind, fault, (APIConnectionError, InternalServerError))


async def test_an_upstream_that_dies_in_a_body(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """And comes back: the page is read whole."""
    behind.fault(Fault.drip(0.001))
    proxy = haproxy(port_of(behind))
    async with proxy.client() as client:
        reading = asyncio.create_task(client.list_history(limit=50))
        while not behind.requests:
            await asyncio.sleep(0.01)
        await behind.close()
        await behind.start()
        assert (await reading).items == tuple(behind.tasks[:50])


# Haproxy itself.


@each_kind
async def test_requests_are_cut(haproxy: StartHaproxy, behind: LocalGateway, options: dict[str, Any]) -> None:
    """Every other, silently or not, before or after the gateway responded: nothing is lost."""
    proxy = haproxy(port_of(behind), frontend=CUTS)
    async with proxy.client(timeout=0.1) as client:
        assert await read(client, options) == ids(behind)
    responses = Counter(response.split()[0] for response in proxy.responses())
    assert responses.keys() >= {"200", "408", "500"}
    assert sum(responses.values()) > 1.6 * responses["200"]


async def test_connections_are_cut(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """Rejected as they open, as many as are open; those that stay read everything."""
    proxy = haproxy(
        port_of(behind),
        frontend="""
          tcp-request connection set-var(proc.n) var(proc.n),add(1)
          tcp-request connection reject if { var(proc.n),mod(3) -m int 0 }
          http-after-response set-header Connection close
        """,
    )
    async with proxy.client() as client:
        assert await read(client, {"read_ahead": 4}) == ids(behind)


@each_kind
async def test_the_upstream_is_taken_out(
    haproxy: StartHaproxy, behind: LocalGateway, options: dict[str, Any]
) -> None:
    """And its sessions are shut, several times during an iteration, as an operator would: nothing is lost."""
    behind.latency = 0.01
    proxy = haproxy(port_of(behind))

    def take_out() -> None:
        refusals = proxy.output.count("\n503 ")
        proxy.send("disable server inside/gateway", "shutdown sessions server inside/gateway")
        proxy.wait(lambda: proxy.output.count("\n503 ") > refusals)
        proxy.send("enable server inside/gateway")

    async with proxy.client() as client:
        assert await read_while(take_out, client, options) == ids(behind)
    assert proxy.statuses().count(503) >= 3


async def test_haproxy_is_killed(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """And started again, several times during an iteration: refused and cut connections lose nothing."""
    behind.latency = 0.01
    proxy = haproxy(port_of(behind))
    async with proxy.client() as client:
        assert await read_while(proxy.restart, client, {"read_ahead": 8}) == ids(behind)


async def test_connections_that_are_not_kept_for_long(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """A reader that takes its time finds them closed, each time anew."""
    proxy = haproxy(port_of(behind), frontend="timeout http-keep-alive 40ms")
    seen = []
    async with proxy.client() as client:
        async for page in client.iter_history_pages(max_items=750):
            seen += [task.task_id for task in page.items]
            await asyncio.sleep(0.039 + len(seen) % 500 / 250_000)  # about as long as they are kept
    assert seen == ids(behind)[:750]
    assert len({response.split()[2] for response in proxy.responses()}) > 5


async def test_a_program_that_is_too_busy_to_send(haproxy: StartHaproxy, behind: LocalGateway) -> None:
    """Its loop is busy between connecting and sending. 408 is the connection's end, not the iteration's."""
    busy = [0.2]
    statuses = []

    async def stand_still(*_: Any) -> None:
        if busy:
            time.sleep(busy.pop())  # noqa: ASYNC251 - that is what it is about

    async def note(_: object, __: object, ended: aiohttp.TraceRequestEndParams) -> None:
        statuses.append(ended.response.status)

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(stand_still)
    tracing.on_request_end.append(note)
    proxy = haproxy(port_of(behind), frontend="timeout http-request 50ms")
    async with aiohttp.ClientSession(trace_configs=[tracing]) as session:
        client = proxy.client(session=session)
        assert len((await client.list_history()).items) == 20
    assert statuses == [408, 200]
