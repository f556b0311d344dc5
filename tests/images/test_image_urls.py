"""URLs: which are requested, and that each arrives as it was given."""

import asyncio
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from image_host import KEY, Host, files, make_task, response, sends
from yarl import URL

from apimall_async import APIError, APIResponseValidationError, AsyncClient
from apimall_async._images._urls import parse_url


EXACT = [
    "/a.png?type=image%2Fpng&e=9",
    "/by%40me%3a8/a%27b'.png",
    "/a?Expires=1&Signature=a~b-c_d%2B%2f%3D&Key-Pair-Id=K",
    "/a?x=%7Eb+c%20d;e=[f]&&=",
    "//a//b/./../c%2E%2e",
    "/a?",
    "/a?b?c",
    "/%",
    "/%zz%E9",
    '/"<>\\^`{|}',
    "/a;b=c,d!$&()*",
]


@pytest.mark.parametrize("target", EXACT)
@pytest.mark.parametrize("redirected", [False, True])
async def test_a_url_arrives_byte_for_byte(
    client: AsyncClient, host: Host, tmp_path: Path, target: str, *, redirected: bool
) -> None:
    """Whatever is signed of it: escapes are neither undone nor made, and dots stay; so in redirects."""
    if redirected:
        host.script += [sends(response(302, b"", {"Location": target.replace("//", f"{host.url}//", 1)}))]
    await client.download(make_task(host.url + ("/first" if redirected else target)), tmp_path)
    assert host.requests[-1][""] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", "/"),
        ("?a=%2F", "/?a=%2F"),
        ("/a#b?c", "/a"),
        ("/a b\N{LATIN SMALL LETTER E WITH ACUTE}?\N{SNOWMAN}%2F", "/a%20b%C3%A9?%E2%98%83%2F"),
        ("/a\r\nHost: b\t\0", "/a%0D%0AHost:%20b%09%00"),
        ("/" + "a" * 7000, "/" + "a" * 7000),
    ],
)
async def test_what_http_cannot_hold_is_escaped(
    client: AsyncClient, host: Host, tmp_path: Path, given: str, sent: str
) -> None:
    """Spaces, controls and letters beyond ASCII; a fragment is not sent."""
    await client.download(make_task(host.url + given), tmp_path)
    assert host.requests[0][""] == f"GET {sent} HTTP/1.1"


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("c%2F'?d=%27", "/a%2Fb/c%2F'?d=%27"),
        ("../c%2f?", "/c%2f?"),
        ("../../.", "/"),
        (".//c/..", "/a%2Fb//"),
        ("?d=%2F", "/a%2Fb/x?d=%2F"),
        ("/../c%2F", "/../c%2F"),
        ("", "/a%2Fb/x?y=z"),
        ("#d", "/a%2Fb/x?y=z"),
        ("\N{SNOWMAN}\udcff", "/a%2Fb/%E2%98%83%FF"),
        ("//{host}/%2f", "/%2f"),
        ("HTTP://{host}/%2f#", "/%2f"),
    ],
)
async def test_a_redirect_may_be_relative(
    client: AsyncClient, host: Host, tmp_path: Path, location: str, sent: str
) -> None:
    """To the URL that was redirected (RFC 3986, 5.2)."""
    location = location.replace("{host}", host.url.removeprefix("http://"))
    line = location.encode("utf-8", "surrogateescape").decode("latin-1")
    host.script += [sends(response(301, b"", {"Location": line}).replace(b"Location: \r", b"Location:\r"))]
    if not location:
        host.script[0] = sends(b"HTTP/1.1 301 X\r\nContent-Length: 0\r\nLocation:\r\n\r\n")
    await client.download(make_task(host.url + "/a%2Fb/x?y=z"), tmp_path)
    assert host.requests[-1][""] == f"GET {sent} HTTP/1.1"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "ftp://host.test/x.png",
        "//host.test/x.png",
        "/x.png",
        "http://",
        "http://[::1",
        "http://host.test:99999/",
        "http://user@host.test/",
        "http://:password@host.test/",
        "http://host.test\\@127.0.0.1/",
        "http://xn--a/",
    ],
)
async def test_a_url_that_is_not_plain_http_is_refused(
    client: AsyncClient, host: Host, tmp_path: Path, url: str
) -> None:
    """Neither as an image_url, nor as the target of a redirect; no error repeats it."""
    with pytest.raises(APIResponseValidationError) as caught:
        await client.download(make_task(url), tmp_path)
    assert url not in str(caught.value)
    if url in {"/x.png", "//host.test/x.png", "http://"}:
        return  # in a redirect, it is relative to the host's own
    host.script += [sends(response(302, b"", {"Location": url}))]
    with pytest.raises(APIResponseValidationError):
        await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {}


async def test_redirects_are_limited(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """Five are followed."""
    host.script += [sends(response(307, b"", {"Location": "/again"}))] * 6
    with pytest.raises(APIResponseValidationError, match="more than 5 times"):
        await client.download(make_task(host.url), tmp_path)
    assert len(host.requests) == 6


def test_no_redirect_leads_from_https_to_http() -> None:
    """From http to https is allowed."""
    with pytest.raises(APIResponseValidationError, match="from https to http"):
        parse_url("http://host.test/", URL("https://host.test/"))
    assert parse_url("https://host.test/", URL("http://host.test/")).scheme == "https"


@given(st.one_of(st.text(), st.text().map("http://127.0.0.1:9".__add__), st.text().map("http://".__add__)))
@example("http://127.0.0.1:9/\ud800")
@example("http://\ud800.test/")
@example("http://host\0.test/")
@example("http://\N{LATIN SMALL LETTER E WITH ACUTE}" + "e" * 70)
@example("http://" + "a" * 300)
@example("http://..")
@example("http://[::1]]/")
@example("http://127.0.0.1:9/" + "%" * 9)
def test_whatever_a_url_holds_is_an_error_for_this_image(url: str) -> None:
    """It has a type, so that a program can go on with the next image."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async def check() -> None:
        async with AsyncClient(KEY, base_url="http://127.0.0.1:9") as client:
            with TemporaryDirectory() as directory, pytest.raises(APIError):
                await client.download(make_task(url), directory, timeout=0.5)

    if url:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", fail)
            asyncio.run(check())


async def test_a_url_of_which_a_library_makes_an_error_late(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As yarl does for a host's name that cannot be decoded: only when the name is read."""
    host = URL.host

    def decode(url: URL) -> str | None:
        if "host.test" in str(url):
            raise UnicodeError("no such label")
        return host.__get__(url)

    monkeypatch.setattr(URL, "host", property(decode))
    with pytest.raises(APIResponseValidationError):
        await client.download(make_task("http://host.test/"), tmp_path)
