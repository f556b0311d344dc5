"""Behind nginx: every fault of its is tried again or a typed error, and no iteration loses a task."""

import asyncio
import gzip
import ssl
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from programs import free_port
from proxies import (
    KEY,
    PERSISTENT,
    QUICK,
    Gateway,
    Nginx,
    each_kind,
    ids,
    outlast,
    port_of,
    read,
    read_while,
)

from apimall_async import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    AsyncClient,
    InternalServerError,
    RateLimitError,
)
from apimall_async.testing import Fault, LocalGateway


pytestmark = pytest.mark.outside

StartNginx = Callable[..., Nginx]


# Limits.


@each_kind
async def test_a_rate_limit(nginx: StartNginx, behind: LocalGateway, options: dict[str, Any]) -> None:
    """Its 429s are HTML without Retry-After; an iteration finds the pace and loses nothing."""
    proxy = nginx(
        port_of(behind),
        http="limit_req_zone $binary_remote_addr zone=account:1m rate=40r/s; limit_req_status 429;",
        location="limit_req zone=account burst=2 nodelay;",
    )
    async with proxy.client() as client:
        assert await read(client, options) == ids(behind)
    statuses = proxy.statuses()
    assert 429 in statuses
    assert statuses.count(429) < statuses.count(200)


async def test_a_rate_limit_and_one_try(nginx: StartNginx, behind: LocalGateway) -> None:
    """RateLimitError, in the client's own words: none of nginx's HTML."""
    proxy = nginx(
        port_of(behind),
        http="limit_req_zone $binary_remote_addr zone=account:1m rate=1r/m; limit_req_status 429;",
        location="limit_req zone=account;",
    )
    async with proxy.client(retry=None) as client:
        await client.list_history()
        with pytest.raises(RateLimitError) as caught:
            await client.list_history()
    assert str(caught.value) == (
        "the gateway responded 429 Too Many Requests (status=429)"
        "; try again later, or allow more time for retries: RetryPolicy"
    )
    assert caught.value.retry_after is None
    assert proxy.statuses() == [200, 429]


async def test_a_limit_of_connections(nginx: StartNginx, behind: LocalGateway) -> None:
    """It refuses what is more by 503; eight pages at a time come through two connections."""
    behind.latency = 0.02
    proxy = nginx(
        port_of(behind),
        http="limit_conn_zone $binary_remote_addr zone=account:1m;",
        location="limit_conn account 2;",
    )
    async with proxy.client() as client:
        assert await read(client, {"read_ahead": 8}) == ids(behind)
    assert 503 in proxy.statuses()


async def test_a_limit_of_headers(nginx: StartNginx, behind: LocalGateway) -> None:
    """A key that is too long for it is a 400, tried once, and not repeated."""
    proxy = nginx(port_of(behind), http="client_header_buffer_size 256; large_client_header_buffers 2 1k;")
    key = "sk-" + "x" * 2_000
    async with AsyncClient(key, base_url=proxy.url, retry=PERSISTENT) as client:
        with pytest.raises(APIStatusError, match=r"400 Bad Request \(status=400\)$") as caught:
            await client.list_history()
    assert key not in repr(vars(caught.value))
    assert proxy.statuses() == [400]
    assert not behind.requests


# An upstream that fails.


async def test_no_upstream(nginx: StartNginx) -> None:
    """502, tried again, and InternalServerError when the tries are used up."""
    proxy = nginx(free_port())
    async with proxy.client(retry=QUICK) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.list_history()
    assert str(caught.value).startswith("the gateway responded 502 Bad Gateway (status=502); try again later")
    assert proxy.statuses() == [502, 502, 502]


@each_kind
async def test_an_upstream_that_is_killed(nginx: StartNginx, tmp_path: Path, options: dict[str, Any]) -> None:
    """And started again, several times during an iteration: nothing is lost, nothing comes twice."""
    with Gateway(tmp_path / "gateway", tasks=1_500, latency=0.02) as gateway:
        proxy = nginx(gateway.port)
        async with proxy.client() as client:
            seen = await read_while(gateway.restart, client, options)
    assert seen == ids(LocalGateway(1_500))
    assert proxy.statuses().count(502) >= 3


async def test_a_slow_upstream(nginx: StartNginx, behind: LocalGateway) -> None:
    """504: tried again; when the tries are used up, InternalServerError."""
    proxy = nginx(port_of(behind), location="proxy_read_timeout 100ms;")
    async with proxy.client(retry=QUICK) as client:
        behind.fault(Fault.stall())
        await client.list_history()
        behind.fault(*[Fault.stall()] * 3)
        with pytest.raises(InternalServerError, match=r"504 Gateway Time-out|504 Gateway Timeout"):
            await client.list_history()
    assert proxy.statuses() == [504, 200, 504, 504, 504]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("fault", [Fault.stall(in_body=True), Fault.truncate()], ids=["stalls", "ends"])
async def test_an_upstream_that_fails_in_a_body(
    nginx: StartNginx, behind: LocalGateway, fault: Fault, zipped: bool
) -> None:
    """By then nginx has sent 200: a cut response, which is no shorter page, but tried again."""
    gzipping = "gzip on; gzip_types application/json; gzip_proxied any;" if zipped else ""
    proxy = nginx(port_of(behind), http=gzipping, location="proxy_read_timeout 100ms;")
    await outlast(proxy, behind, fault, APIConnectionError, "ClientPayloadError")


# Nginx itself.


@each_kind
async def test_nginx_reloads(nginx: StartNginx, behind: LocalGateway, options: dict[str, Any]) -> None:
    """Its old workers close the connections that the client would use next: nothing is lost."""
    behind.latency = 0.01
    proxy = nginx(port_of(behind))
    async with proxy.client() as client:
        seen = await read_while(proxy.reload, client, options)
    assert seen == ids(behind)
    connections = {response.split()[2] for response in proxy.responses()}
    assert len(connections) > 3


@each_kind
async def test_nginx_is_killed(nginx: StartNginx, behind: LocalGateway, options: dict[str, Any]) -> None:
    """And started again, several times during an iteration: refused and cut connections lose nothing."""
    behind.latency = 0.01
    proxy = nginx(port_of(behind))
    async with proxy.client() as client:
        seen = await read_while(proxy.restart, client, options)
    assert seen == ids(behind)


async def test_connections_that_are_not_kept_for_long(nginx: StartNginx, behind: LocalGateway) -> None:
    """A reader that takes its time finds them closed, each time anew."""
    proxy = nginx(port_of(behind), http="keepalive_timeout 40ms;")
    seen = []
    async with proxy.client() as client:
        async for page in client.iter_history_pages(max_items=750):
            seen += [task.task_id for task in page.items]
            await asyncio.sleep(0.039 + len(seen) % 500 / 250_000)  # about as long as they are kept
    assert seen == ids(behind)[:750]
    assert len({response.split()[2] for response in proxy.responses()}) > 5


# What it does to responses.


async def test_gzip(nginx: StartNginx, behind: LocalGateway) -> None:
    """Pages that nginx packs are read as they are."""
    proxy = nginx(port_of(behind), http="gzip on; gzip_types application/json; gzip_proxied any;")
    async with proxy.client() as client:
        assert await read(client, {}) == ids(behind)
    ratios = [response.split()[3] for response in proxy.responses()]
    assert all(float(ratio) > 2 for ratio in ratios[:-1])


async def test_a_gzip_bomb(nginx: StartNginx, behind: LocalGateway) -> None:
    """64 MB in 64 KB are given up at a bound, once, and not in memory."""
    body = gzip.compress(b" " * (64 * 2**20))
    behind.fault(Fault(), Fault(status=200, body=body, headers={"Content-Encoding": "gzip"}))
    proxy = nginx(port_of(behind))
    async with proxy.client() as client:
        await client.list_history(limit=1)
        tracemalloc.start()
        try:
            with pytest.raises(APIResponseValidationError, match="a page of more than 2097152 bytes"):
                await client.list_history()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 16 * 2**20
    assert len(behind.requests) == 2


async def test_a_redirect(nginx: StartNginx, behind: LocalGateway) -> None:
    """One to https is for browsers: it is not followed, the error says why, and one request was sent."""
    proxy = nginx(port_of(behind), location="return 301 https://$host$request_uri;")
    async with proxy.client() as client:
        with pytest.raises(APIStatusError) as caught:
            await client.list_history()
    assert str(caught.value) == (
        "the gateway responded 301 Moved Permanently (status=301)"
        "; redirects are not followed, the key would go along: check base_url"
    )
    assert proxy.statuses() == [301]


# TLS.


async def test_tls(nginx: StartNginx, behind: LocalGateway, tmp_path: Path) -> None:
    """An authority of one's own, reloads meanwhile, and plain http where TLS should be."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    proxy = nginx(
        port_of(behind),
        listen="ssl",
        server=f"ssl_certificate {tmp_path}/pem; ssl_certificate_key {tmp_path}/pem;",
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    secure = proxy.url.replace("http://127.0.0.1", "https://localhost")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        client = AsyncClient(KEY, base_url=secure, session=session, retry=PERSISTENT)
        seen = await read_while(proxy.reload, client, {"read_ahead": 4})
    assert seen == ids(behind)
    async with proxy.client() as plain:
        with pytest.raises(APIStatusError, match="400 Bad Request"):
            await plain.list_history()
