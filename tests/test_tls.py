"""The way to the gateway: certificates, handshakes, and the proxies between."""

import asyncio
import contextlib
import pickle
import re
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from apimall_async import APIConnectionError, APIStatusError, AsyncClient, RetryPolicy
from apimall_async.testing import Fault, LocalGateway


QUICK = RetryPolicy(max_tries=3, wait_initial=0.01, wait_max=0.02)
KEY = "sk-secret"
AUTHORITY = trustme.CA()
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@attrs.frozen
class Secured:
    """A server of one empty page over TLS."""

    port: int
    handshakes: list[str | None] = attrs.field(factory=list)
    """The name that each client requested."""
    keys: list[str] = attrs.field(factory=list)
    """The Authorization of each request."""

    @property
    def url(self) -> str:
        """By name, as certificates have it."""
        return f"https://localhost:{self.port}"


@asynccontextmanager
async def secured(certificate: trustme.LeafCert) -> AsyncIterator[Secured]:
    """Serve with a certificate, and count."""

    async def respond(request: web.Request) -> web.Response:
        server.keys.append(request.headers["Authorization"])
        page = {"items": [], "page": 1, "limit": 20}
        return web.json_response({"success": True, "data": page, "request_id": "req_1"})

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        server.handshakes.append(name)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    context.sni_callback = note  # type: ignore[assignment]
    app = web.Application()
    app.router.add_get("/api/v1/images/history", respond)
    running = TestServer(app, scheme="https")
    await running.start_server(ssl=context)
    async with running:
        server = Secured(running.port or 0)
        yield server


@asynccontextmanager
async def trusting_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of a user's own, for an authority of the user's own."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


Meet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


@asynccontextmanager
async def met(meet: Meet) -> AsyncIterator[int]:
    """Meet each connection with a coroutine, then cut it; yield the port."""
    meetings: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError):
                await meet(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meetings.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for meeting in meetings:
            meeting.cancel()
        await asyncio.gather(*meetings, return_exceptions=True)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Carry bytes both ways, until either side has no more."""
    onward_reader, onward = await asyncio.open_connection("127.0.0.1", port)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(65_536):
            writer.write(some)
            await writer.drain()
        writer.close()

    try:
        await asyncio.gather(carry(reader, onward), carry(onward_reader, writer))
    finally:
        onward.close()


# Certificates.


async def test_an_authority_of_ones_own() -> None:
    """A session that trusts it is all it takes."""
    async with (
        secured(AUTHORITY.issue_cert("localhost")) as server,
        trusting_session() as session,
        AsyncClient(KEY, base_url=server.url, session=session, retry=None) as client,
    ):
        assert (await client.list_history()).items == ()
        assert server.keys == [f"Bearer {KEY}"]


async def test_an_authority_of_the_environments(tmp_path: Path) -> None:
    """SSL_CERT_FILE does it where no session can be passed, as to the command."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "authority.pem")
    program = (
        "import asyncio, sys; from apimall_async import AsyncClient\n"
        "print(asyncio.run(AsyncClient('sk-x', base_url=sys.argv[1], retry=None).list_history()))"
    )
    async with secured(AUTHORITY.issue_cert("localhost")) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, server.url),
            env={"SSL_CERT_FILE": str(tmp_path / "authority.pem")},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    assert printed.split() == b"<HistoryPage page=1 limit=20: 0 tasks>".split()


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (trustme.CA().issue_cert("localhost"), "unable to get local issuer certificate"),
        (AUTHORITY.issue_cert("elsewhere.example"), "Hostname mismatch, certificate is not valid for"),
        (
            AUTHORITY.issue_cert("localhost", not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1)),
            "certificate has expired",
        ),
    ],
    ids=["unknown authority", "other host", "expired"],
)
async def test_a_wrong_certificate(
    certificate: trustme.LeafCert, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is final: one handshake, no request, and an error that says why and what to do, not the key."""
    async with (
        secured(certificate) as server,
        trusting_session() as session,
        AsyncClient(KEY, base_url=server.url, session=session, retry=QUICK) as client,
    ):
        with pytest.raises(APIConnectionError) as caught:
            await client.list_history()
    start = f"the certificate of localhost:{server.port} is not trusted: {reason}"
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert str(error).startswith(start)
    assert str(error).endswith("for an authority of your own, pass a session that trusts it")
    assert not error.retryable
    assert server.handshakes == ["localhost"]
    assert not server.keys
    assert KEY not in f"{vars(caught.value)} {caplog.text}"
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_another_fingerprint() -> None:
    """A pinned certificate that is not the one is as wrong as any, and its bytes are nobody's reading."""
    connector = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(b"x" * 32))
    async with (
        secured(AUTHORITY.issue_cert("localhost")) as server,
        aiohttp.ClientSession(connector=connector) as session,
        AsyncClient(KEY, base_url=server.url, session=session, retry=QUICK) as client,
    ):
        with pytest.raises(APIConnectionError) as caught:
            await client.list_history()
    assert re.match(r"the certificate of \S+ has another fingerprint; check base_url", str(caught.value))
    assert not caught.value.retryable
    assert len(server.handshakes) == 1
    assert not server.keys


# Handshakes.


async def test_no_tls_where_it_should_be() -> None:
    """Plain http on an https port is an APIConnectionError that names TLS; the key was not sent."""
    received = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65_536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with (
        met(plain) as port,
        AsyncClient(KEY, base_url=f"https://localhost:{port}", retry=QUICK) as client,
    ):
        with pytest.raises(APIConnectionError, match=rf"^cannot connect to localhost:{port}: \[SSL"):
            await client.list_history()
    assert len(received) == 3
    assert KEY.encode() not in b"".join(received)


async def test_a_handshake_that_is_cut() -> None:
    """It is tried again, as any cut connection; if it goes on, the error says more than None."""
    cuts = 2

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cuts
        cuts -= 1
        if cuts >= 0:
            await reader.read(65_536)
        else:
            await relay(reader, writer, server.port)

    async with (
        secured(AUTHORITY.issue_cert("localhost")) as server,
        met(meet) as port,
        trusting_session() as session,
        AsyncClient(KEY, base_url=f"https://localhost:{port}", session=session, retry=QUICK) as client,
    ):
        await client.list_history()
        assert cuts == -1
        assert len(server.keys) == 1
        cuts = 3
        other = AsyncClient(KEY, base_url=f"https://127.0.0.1:{port}", retry=QUICK)
        with pytest.raises(APIConnectionError, match=rf"^cannot connect to 127.0.0.1:{port}: \S.*Reset"):
            await other.list_history()
        assert cuts == 0
        await other.close()


# Proxies.


async def test_through_a_proxy() -> None:
    """With ``proxy=``, TLS reaches through to the gateway: the proxy learns its name, not the key."""
    received = []

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await relay(reader, writer, server.port)

    async with (
        secured(AUTHORITY.issue_cert("localhost")) as server,
        met(connect) as port,
        trusting_session() as session,
    ):
        proxy = f"http://me:secret@127.0.0.1:{port}"
        async with AsyncClient(KEY, base_url=server.url, session=session, proxy=proxy, retry=None) as client:
            await client.list_history()
        async with AsyncClient(KEY, base_url=server.url, proxy=proxy, retry=QUICK) as client:
            with pytest.raises(APIConnectionError, match=r"^the certificate of localhost:\d+ is not"):
                await client.list_history()
    assert server.keys == [f"Bearer {KEY}"]
    assert len(received) == 2
    assert received[0].startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic" in received[0]
    assert KEY.encode() not in received[0]


@pytest.mark.parametrize(
    ("response", "tries"), [("407 Who are you", 1), ("403 No", 1), ("429 Slower", 3), ("503 Busy", 3)]
)
async def test_a_proxy_that_refuses(response: str, tries: int) -> None:
    """Its refusal is final, its outage is not; the error has the proxy's reason, and not its password."""
    received = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {response}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    async with met(refuse) as port:
        proxy = f"http://me:secret@127.0.0.1:{port}"
        async with AsyncClient(KEY, proxy=proxy, retry=QUICK) as client:
            with pytest.raises(APIConnectionError) as caught:
                await client.list_history()
    assert str(caught.value) == f"the proxy responded {response}; check the network, the proxy and base_url"
    assert "secret" not in repr(vars(caught.value))
    assert len(received) == tries


async def test_a_proxy_that_is_not_there() -> None:
    """The error says that it is the proxy, not the gateway."""
    async with AsyncClient(KEY, proxy="http://me:secret@127.0.0.1:9", retry=QUICK) as client:
        with pytest.raises(APIConnectionError, match=r"^cannot connect to the proxy 127.0.0.1:9: ") as caught:
            await client.list_history()
    assert "secret" not in str(caught.value)


async def test_a_proxy_that_redirects(gateway: LocalGateway) -> None:
    """The error says that it was not followed, and why."""
    gateway.fault(Fault.html(301))
    async with gateway.client(retry=QUICK) as client:
        with pytest.raises(APIStatusError, match="redirects are not followed, the key would go along: check"):
            await client.list_history()
    assert len(gateway.requests) == 1


async def test_a_proxy_that_did_not_wait_for_the_request(gateway: LocalGateway) -> None:
    """408 is about the connection (RFC 9110, 15.5.9): another one may do."""
    gateway.fault(Fault.html(408))
    async with gateway.client(retry=QUICK) as client:
        await client.list_history()
    assert [request.status for request in gateway.requests] == [408, 200]
