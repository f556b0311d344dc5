"""The page and the local gateway at other addresses and ports: IPv6, and the default port of http."""

import socket
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from apimall_async import AsyncClient
from apimall_async._addresses import host_headers, make_origin
from apimall_async.testing import LocalGateway
from apimall_async.ui import serve


PATH = "/api/v1/images/history"


def can_bind(host: str, port: int) -> bool:
    """Whether this machine has the address, and this user may listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with closing(socket.create_server((host, port), family=family)):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not can_bind("::1", 0), reason="no IPv6 loopback")
needs_port_80 = pytest.mark.skipif(not can_bind("127.0.0.1", 80), reason="port 80 is not to be had")


async def status(url: str, host: str) -> int:
    """Request a URL with a Host header."""
    async with aiohttp.ClientSession() as http, http.get(url, headers={"Host": host}) as response:
        return response.status


def test_host_headers() -> None:
    """With the port; at the default one without it, too. IPv6 has brackets, as in URLs."""
    assert host_headers(["127.0.0.1", "localhost"], 8080) == {"127.0.0.1:8080", "localhost:8080"}
    assert host_headers(["localhost"], 80) == {"localhost:80", "localhost"}
    assert host_headers(["::1"], 80) == {"[::1]:80", "[::1]"}
    assert make_origin("::1", 8080) == "http://[::1]:8080"
    assert make_origin("localhost", 80) == "http://localhost:80"


@needs_ipv6
async def test_the_page_on_ipv6(gateway: LocalGateway) -> None:
    """At the URL that it gives, under its own names alone."""
    async with gateway.client() as client, serve(client, host="::1") as url:
        port = url.rstrip("/").rpartition(":")[2]
        assert url == f"http://[::1]:{port}/"
        for host, expected in {
            f"[::1]:{port}": 200,
            f"localhost:{port}": 200,
            "[::1]": 421,
            "::1": 421,
        }.items():
            assert await status(f"{url}api/tasks", host) == expected, host


@needs_ipv6
async def test_the_gateway_on_ipv6(tmp_path: Path) -> None:
    """A client reads it at its URL, images too; another Host is refused."""
    async with LocalGateway(9, host="::1") as gateway, gateway.client() as client:
        assert gateway.url.startswith("http://[::1]:")
        page = await client.list_history()
        assert len(page) == 9
        task = next(task for task in page if task.image_url)
        assert str(task.image_url).startswith(gateway.url)
        assert (await client.download(task, tmp_path)).exists()
        assert await status(str(task.image_url), "[::1]:1") == 403


@needs_port_80
async def test_the_default_port(gateway: LocalGateway) -> None:
    """Clients leave it out of the Host header, or do not: both read page and gateway."""
    async with gateway.client() as client, serve(client, port=80) as url:
        for host, expected in {"127.0.0.1": 200, "localhost:80": 200, "rebound.example": 421}.items():
            assert await status(f"{url}api/tasks", host) == expected, host
    async with LocalGateway(3, port=80) as at_80:
        for base_url in "http://127.0.0.1", "http://localhost:80":
            async with AsyncClient(at_80.api_key, base_url=base_url) as client:
                assert len(await client.list_history()) == 3
        assert await status(at_80.url + PATH, "rebound.example") == 403
