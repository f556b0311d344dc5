"""What an image's host learns, and how many downloads run at a time."""

import asyncio
from pathlib import Path

import pytest
from image_host import KEY, Host, make_task, response, sends

from apimall_async import AsyncClient


async def test_the_host_learns_nothing(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """No Authorization, no cookie, no key; not even after the host has set a cookie."""
    host.script += [sends(response(302, b"", {"Location": "/2", "Set-Cookie": "a=b"}), close=False)]
    await client.download(make_task(host.url + "/1"), tmp_path)
    assert [request[""] for request in host.requests] == ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1"]
    for request in host.requests:
        assert request.keys() == {"", "host", "accept", "accept-encoding", "user-agent"}
        assert KEY not in str(request)


async def test_no_proxy_is_used(
    client: AsyncClient, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would resolve the host's name by itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await client.download(make_task(host.url), tmp_path)


async def test_many_share_connections_and_wait_for_a_slot(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """At most 16 run at a time, however many are started at once."""
    tasks = [make_task(host.url, f"img_{number}") for number in range(60)]
    paths = await asyncio.gather(*[client.download(task, tmp_path) for task in tasks])
    assert len(set(paths)) == 60
    assert host.most_open <= 16
    assert host.connections < 60
