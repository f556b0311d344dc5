"""What a client is given, checked before any request. An error says what to do, and never the key."""

import ipaddress
import math
import os
from base64 import b64encode
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, cast
from urllib.request import getproxies, proxy_bypass

import attrs
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from apimall_async._errors import ConfigurationError
from apimall_async._redaction import Secret
from apimall_async._retry import DEFAULT_CALL, DEFAULT_ITERATION, RetryPlan, RetryPolicy


GATEWAY = "https://gateway.apimall.ai"
_MAX_SECONDS = 1e9
_SOCKS_HINT = (
    "; for one of SOCKS, install aiohttp-socks, and pass session=aiohttp.ClientSession("
    "connector=aiohttp_socks.ProxyConnector.from_url('socks5://proxy:1080', rdns=True))"
)


class Default(Enum):
    """What an argument is that was not passed, where None means something."""

    DEFAULT = "..."

    def __repr__(self) -> str:
        """Keep signatures short."""
        return self.value


def find_api_key(api_key: object) -> str:
    """Return ``api_key``, else the environment's.

    Raises:
        ConfigurationError: there is none, or none that an HTTP header can carry.

    """
    key = os.environ.get("APIMALL_API_KEY") if api_key is None else api_key
    if key is None:
        problem = "no API key"
    elif not isinstance(key, str) or not key:
        problem = "the API key is empty or not a string"
    elif not all("!" <= character <= "~" for character in key):
        problem = "the API key holds spaces, control or non-ASCII characters"
    else:
        return key
    raise ConfigurationError(f"{problem}: pass api_key= to AsyncClient, or set APIMALL_API_KEY")


def find_base_url(base_url: str | URL | None) -> URL:
    """Return ``base_url``, else the environment's, else the vendor's.

    Raises:
        ConfigurationError: not a URL that a key may be sent to.

    """
    url = _parse(base_url or os.environ.get("APIMALL_BASE_URL") or GATEWAY)
    if problem := _problem_of(url):
        raise ConfigurationError(f"base_url {problem}; it is the gateway's origin, such as {GATEWAY}")
    return url


def _parse(url: object) -> URL:
    """Return an empty URL for what is none."""
    try:
        parsed = URL(cast("str", url))
        seen = parsed.host, parsed.user  # yarl finds some of what is wrong only now
    except Exception:  # noqa: BLE001 - yarl and idna raise errors of many kinds
        return URL()
    return parsed if any(seen) else URL()


def _problem_of(url: URL) -> str | None:
    if url.scheme not in {"http", "https"} or not url.host or "%" in url.host:
        return "must begin with https:// and a host"
    if url.scheme == "http" and not is_loopback(url):
        return "must be https, unless it names this machine: the key would cross the network in the clear"
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        return "must hold no user, password, query or fragment"
    return None


def is_loopback(url: URL) -> bool:
    """Whether ``url`` names this machine."""
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return url.host == "localhost"


def find_proxy(url: URL, proxy: str | None, *, from_environment: bool) -> URL | None:
    """Return ``proxy``, else the environment's for ``url`` (HTTPS_PROXY, NO_PROXY), or None.

    The environment sends no request to this machine through a proxy: over plain http it would see
    the key.

    Raises:
        ConfigurationError: not the URL of an http(s) proxy. It may hold a password, so it is not shown.

    """
    source = "proxy="
    if proxy is None and from_environment:
        if is_loopback(url) or proxy_bypass(f"{url.host}:{url.port}"):
            return None
        source, proxy = "the environment's proxy", getproxies().get(url.scheme)
        if proxy and "://" not in proxy:  # as curl takes it, too
            proxy = f"http://{proxy}"
    if proxy is None:
        return None
    found = _parse(proxy)
    if found.scheme not in {"http", "https"} or not found.host:
        hint = _SOCKS_HINT if found.scheme.startswith("socks") else ""
        raise ConfigurationError(
            f"{source} must be the URL of an http(s) proxy, such as http://proxy:3128{hint}"
        )
    return found


class Proxy(NamedTuple):
    """A proxy, or none: its URL without user and password, the header that has them, and what to hide."""

    url: URL | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    secrets: tuple[Secret, ...] = ()


def split_proxy(proxy: URL | None) -> Proxy:
    """Take user and password out of a proxy's URL: a header can be hidden where tools show variables."""
    if proxy is None or proxy.user is None:
        return Proxy(proxy)
    password = proxy.password or ""
    login = Secret(b64encode(f"{proxy.user}:{password}".encode()).decode())
    header = {"Proxy-Authorization": Secret(f"Basic {login}")}
    return Proxy(proxy.with_user(None), header, (Secret(password), login))


def check_session(session: object) -> None:
    """Raise ConfigurationError unless it is a session that the client can use, or None."""
    if session is None or isinstance(session, ClientSession):
        return
    kind = (
        f"the class {session.__name__}" if isinstance(session, type) else f"of type {type(session).__name__}"
    )
    raise ConfigurationError(
        f"session must be an aiohttp.ClientSession, not {kind}; where something wraps one, pass what it wraps"
    )


def make_timeout(timeout: float | ClientTimeout | None) -> ClientTimeout:
    """Return aiohttp's form of ``timeout``.

    Raises:
        ConfigurationError: not a positive, finite number of seconds, a ClientTimeout, or None.

    """
    if isinstance(timeout, ClientTimeout):
        return timeout
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is None or (number and 0 < timeout <= _MAX_SECONDS):
        return ClientTimeout(timeout, ceil_threshold=math.inf)  # aiohttp would round long ones up
    raise ConfigurationError(
        f"timeout must be a positive number of seconds, a ClientTimeout or None, not {timeout!r}"
    )


def make_retry_plans(retry: RetryPolicy | Default | None) -> tuple[RetryPlan, RetryPlan]:
    """Choose the plan of a call for one page, and that of each page of an iteration.

    Raises:
        ConfigurationError: not a RetryPolicy, or None.

    """
    if isinstance(retry, RetryPolicy):
        return RetryPlan(retry), RetryPlan(retry)
    if retry is None:
        return attrs.evolve(DEFAULT_CALL, once=True), attrs.evolve(DEFAULT_ITERATION, once=True)
    if retry is Default.DEFAULT:
        return DEFAULT_CALL, DEFAULT_ITERATION
    raise ConfigurationError(f"retry must be a RetryPolicy or None, not {retry!r}")
