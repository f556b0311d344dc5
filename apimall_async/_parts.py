"""What a client is made of: one transport, one guard, and the limits of time and tries of what it sends."""

import sys

import aiohttp
import attrs
from multidict import CIMultiDict
from yarl import URL

from apimall_async._fetcher import Fetcher
from apimall_async._guard import Guard
from apimall_async._redaction import Redactor, Secret
from apimall_async._retry import RetryPolicy
from apimall_async._settings import (
    Default,
    check_session,
    find_api_key,
    find_base_url,
    find_proxy,
    make_retry_plans,
    make_timeout,
    split_proxy,
)
from apimall_async._transport import Transport
from apimall_async._version import __version__


_USER_AGENT = (
    f"apimall-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor}"
    f" aiohttp/{'.'.join(aiohttp.__version__.split('.')[:2])}"
)


@attrs.frozen(eq=False, repr=False)
class Parts:
    """What a client is made of."""

    base_url: URL
    redactor: Redactor
    transport: Transport
    calls: Fetcher
    """Fetches a page that somebody waits for."""
    iterations: Fetcher
    """Fetches the pages of iterations."""
    is_view: bool = False
    """Whether another client has the same ones, with other limits."""

    @classmethod
    def make(
        cls,
        api_key: str | None,
        base_url: str | URL | None,
        *,
        session: aiohttp.ClientSession | None,
        timeout: float | aiohttp.ClientTimeout | None,
        retry: RetryPolicy | Default | None,
        proxy: str | None,
    ) -> "Parts":
        """Check what a client is given, and make them."""
        check_session(session)
        key = find_api_key(api_key)
        url = find_base_url(base_url)
        through = split_proxy(find_proxy(url, proxy, from_environment=session is None))
        limit = make_timeout(timeout)
        call, iteration = make_retry_plans(retry)
        headers = {
            "Authorization": Secret(f"Bearer {key}"),
            "Accept": "application/json",
            "User-Agent": _USER_AGENT,
        }
        if url.scheme == "http":  # there is no tunnel: the proxy reads the request itself
            headers |= through.headers
        redactor = Redactor(key)
        transport = Transport(session, CIMultiDict(headers), redactor, through)
        calls = Fetcher(url, transport, Guard(iteration.policy), redactor, limit, call)
        return cls(url, redactor, transport, calls, attrs.evolve(calls, plan=iteration))

    def with_options(
        self, timeout: float | aiohttp.ClientTimeout | Default | None, retry: RetryPolicy | Default | None
    ) -> "Parts":
        """Return the same ones with other limits."""
        calls, iterations = self.calls, self.iterations
        if timeout is not Default.DEFAULT:
            limit = make_timeout(timeout)
            calls, iterations = attrs.evolve(calls, timeout=limit), attrs.evolve(iterations, timeout=limit)
        if retry is not Default.DEFAULT:
            call, iteration = make_retry_plans(retry)
            calls, iterations = attrs.evolve(calls, plan=call), attrs.evolve(iterations, plan=iteration)
        return attrs.evolve(self, calls=calls, iterations=iterations, is_view=True)
