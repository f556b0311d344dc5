"""Sessions of packages that people use: one that caches, one through a SOCKS proxy."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp_client_cache
import pytest
from aiohttp import ClientSession
from aiohttp_socks import ProxyConnector

from apimall_async import APIConnectionError, ConfigurationError, RetryPolicy
from apimall_async.testing import LocalGateway


TWICE = RetryPolicy(max_tries=2, wait_initial=0.0)


async def test_aiohttp_client_cache() -> None:
    """No account reads what another one has put into the cache; an old page is not taken for a new one."""
    async with LocalGateway(0, accounts={"sk-north": 5, "sk-south": 7}) as gateway:
        cache = aiohttp_client_cache.CacheBackend(expire_after=60)
        with warnings.catch_warnings(action="ignore"):  # its class derives from aiohttp's
            session = aiohttp_client_cache.CachedSession(cache=cache)
        async with session:
            assert len(await gateway.client("sk-north", session=session).list_history()) == 5
            for key in ("sk-south", "sk-north", "sk-wrong"):
                with pytest.raises(ConfigurationError, match="pass a session without a cache"):
                    await gateway.client(key, session=session).list_history()
        assert len(gateway.requests) == 1


@asynccontextmanager
async def socks_proxy(*replies: int | None) -> AsyncIterator[str]:
    """Run a SOCKS5 proxy that sends these replies, then connects; None cuts the connection."""
    script = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\5\0")
        await reader.readexactly(4)  # the address is of IPv4
        address = await reader.readexactly(6)
        reply = script.pop(0) if script else 0
        if reply is not None:
            writer.write(b"\5%c\0\1" % reply + address)
        if reply == 0:
            host = ".".join(map(str, address[:4]))
            inside, outside = await asyncio.open_connection(host, int.from_bytes(address[4:]))
            await asyncio.gather(pump(reader, outside), pump(inside, writer))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"socks5://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on to their end."""
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("reply", [1, 3, 4, 5, 6, None])
async def test_a_fault_of_a_socks_proxy_that_passes(gateway: LocalGateway, reply: int | None) -> None:
    """It is tried again."""
    async with (
        socks_proxy(reply) as url,
        ClientSession(connector=ProxyConnector.from_url(url)) as session,
    ):
        assert len(await gateway.client(session=session, retry=TWICE).list_history()) == 20


@pytest.mark.parametrize("reply", [2, 7, 8])
async def test_a_socks_proxy_that_refuses(gateway: LocalGateway, reply: int) -> None:
    """Its ruleset does not change from one try to the next."""
    async with (
        socks_proxy(reply) as url,
        ClientSession(connector=ProxyConnector.from_url(url)) as session,
    ):
        with pytest.raises(APIConnectionError, match="ProxyError") as caught:
            await gateway.client(session=session).list_history()
    assert not caught.value.retryable
    assert not gateway.requests


async def test_a_socks_proxy_that_is_not_there(gateway: LocalGateway) -> None:
    """That passes, too; the password is in no error."""
    async with socks_proxy() as url:
        with_password = url.replace("//", "//me:hunter2@")
    async with ClientSession(connector=ProxyConnector.from_url(with_password)) as session:
        with pytest.raises(APIConnectionError, match="ProxyConnectionError") as caught:
            await gateway.client(session=session, retry=TWICE).list_history()
    assert caught.value.retryable
    assert not caught.value.connected
    assert "hunter2" not in repr(vars(caught.value))
