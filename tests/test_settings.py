"""What a client is given is checked when it is made; an error says what to do, never the key."""

import math
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from apimall_async import AsyncClient, ConfigurationError, RetryPolicy
from apimall_async._settings import find_base_url, find_proxy, is_loopback


@pytest.mark.parametrize("key", ["", " ", "sk a", "sk\n", "sk\x00", "schlüssel", "sk-\x7f", 7])
def test_an_unusable_key(key: Any) -> None:
    """A key that a header cannot carry is refused at once, both ways to give one are named, not the key."""
    with pytest.raises(ConfigurationError) as caught:
        AsyncClient(key)
    text = str(caught.value)
    assert "api_key=" in text
    assert "APIMALL_API_KEY" in text
    assert not str(key).strip() or str(key) not in text


def test_no_key() -> None:
    """Without a key there is no client, and the error is a ValueError too."""
    with pytest.raises(ValueError, match="no API key: pass api_key= to AsyncClient, or set APIMALL_API_KEY"):
        AsyncClient()


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and base URL come from the environment where they are not given."""
    monkeypatch.setenv("APIMALL_API_KEY", "sk-environment")
    monkeypatch.setenv("APIMALL_BASE_URL", "https://staging.example")
    assert repr(AsyncClient()) == "<AsyncClient https://staging.example open>"
    assert repr(AsyncClient(base_url="https://other.example")) == "<AsyncClient https://other.example open>"
    monkeypatch.setenv("APIMALL_API_KEY", "")
    with pytest.raises(ConfigurationError, match="is empty"):
        AsyncClient()


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        (None, "https://gateway.apimall.ai"),
        ("", "https://gateway.apimall.ai"),
        ("https://gateway.apimall.ai/", "https://gateway.apimall.ai/"),
        (URL("https://proxy.example/apimall/"), "https://proxy.example/apimall/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_a_base_url(base_url: str | URL | None, url: str) -> None:
    """Https to anywhere, with a path or without; plain http to this machine alone."""
    assert find_base_url(base_url) == URL(url)


@pytest.mark.parametrize(
    "base_url",
    [
        "gateway.apimall.ai",
        "ftp://gateway.apimall.ai",
        "http://gateway.apimall.ai",
        "http://127.0.0.1.example",
        "http://10.0.0.1",
        "https://user:secret@gateway.apimall.ai",
        "https://gateway.apimall.ai?x=1",
        "https://gateway.apimall.ai#x",
        "https://",
        "http://[::1",
        "http://.[::1]@/:8",
        "https://xn--a",
        "https://[fe80:1%25eth0]",
        "http://gateway.localhost",
        7,
    ],
)
def test_a_base_url_that_must_not_get_the_key(base_url: Any) -> None:
    """In the clear, to another scheme, or with what an origin does not have: refused."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        AsyncClient("sk-x", base_url=base_url)
    assert "secret" not in str(caught.value)


@given(st.text())
def test_any_base_url(base_url: str) -> None:
    """Whatever is given: a URL that https or loopback protects, or a ConfigurationError."""
    try:
        url = find_base_url(base_url)
    except ConfigurationError:
        return
    assert url.scheme == "https" or is_loopback(url)


@pytest.mark.parametrize("proxy", ["127.0.0.1:9", 5, "http://user:secret@[::1", "socks5://proxy:1", ""])
def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch, proxy: Any) -> None:
    """It is refused at once, wherever it comes from, and not shown: it may hold a password."""
    with pytest.raises(ConfigurationError, match="proxy= must be the URL") as caught:
        AsyncClient("sk-x", proxy=proxy)
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@proxy:1")
    with pytest.raises(ConfigurationError, match="the environment's proxy must be the URL") as caught:
        AsyncClient("sk-x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h"])
def test_a_socks_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """It needs a session of the caller's, and the error says which; with one, it is not looked at."""
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://user:secret@proxy:1")
    with pytest.raises(ConfigurationError, match="aiohttp-socks, and pass session=") as caught:
        AsyncClient("sk-x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("session", [object(), "a session", aiohttp.ClientSession, aiohttp.BaseConnector])
def test_a_session_that_is_none(session: Any) -> None:
    """It is refused when the client is made, not by the first request; the error says what to pass."""
    with pytest.raises(ConfigurationError, match=r"session must be an aiohttp\.ClientSession, not "):
        AsyncClient("sk-x", session=session)


class Configured(AsyncClient):
    """A client that gets its key from somewhere else."""

    def __init__(self) -> None:
        """Fail to get it."""
        raise LookupError(repr(self))


def test_a_client_that_could_not_be_made_has_a_repr() -> None:
    """Tools that report the error show it; and neither arguments nor inner frames are behind it."""
    with pytest.raises(ConfigurationError) as caught:
        AsyncClient(
            "sk-secret-1\n", base_url="https://me:secret-2@gateway.test", proxy="http://me:secret-3@["
        )
    assert caught.value.__traceback__
    frame = caught.value.__traceback__.tb_next
    assert frame
    assert frame.tb_next is None
    assert "secret" not in repr(frame.tb_frame.f_locals)
    assert "<AsyncClient not made>" in repr(frame.tb_frame.f_locals)
    with pytest.raises(LookupError, match="<Configured not made>"):
        Configured()


@pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan, 10**400, "30", True])
def test_a_timeout_that_is_none(timeout: Any) -> None:
    """A timeout is a positive number of seconds."""
    with pytest.raises(ConfigurationError, match="timeout"):
        AsyncClient("sk-x", timeout=timeout)


def test_timeouts_that_are() -> None:
    """Seconds, aiohttp's own form, or None."""
    for timeout in (1, 2.5, None, aiohttp.ClientTimeout(sock_read=3)):
        AsyncClient("sk-x", timeout=timeout)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_tries": 0},
        {"max_tries": 2.0},
        {"max_tries": True},
        {"max_time": -1},
        {"max_time": math.nan},
        {"wait_initial": "1"},
        {"wait_initial": math.inf},
        {"wait_max": 10**400},
    ],
)
def test_a_policy_out_of_range(arguments: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RetryPolicy(**arguments)


def test_a_policy_without_an_end() -> None:
    """``max_time`` may be infinite."""
    assert RetryPolicy(max_time=math.inf).max_time == math.inf


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "https://gateway.apimall.ai", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://gateway.apimall.ai", "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128"}, "https://gateway.apimall.ai", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://gateway.apimall.ai", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "apimall.ai"}, "https://gateway.apimall.ai", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, "https://gateway.apimall.ai", None),
        ({"HTTPS_PROXY": "proxy:3128"}, "https://gateway.apimall.ai", "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://127.0.0.1:8080", None),
    ],
)
def test_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    """HTTPS_PROXY and NO_PROXY count; this machine is never reached through a proxy."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = find_proxy(URL(url), None, from_environment=True)
    assert found == (URL(proxy) if proxy else None)
    assert find_proxy(URL(url), None, from_environment=False) is None
