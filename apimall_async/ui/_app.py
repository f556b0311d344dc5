"""The page as an aiohttp application: its routes, and what it refuses."""

import math
import re
from collections.abc import Collection
from pathlib import Path

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from apimall_async import ApimallError, AsyncClient
from apimall_async.ui._answers import describe_failure, describe_window, failure_answer
from apimall_async.ui._windows import read_window


_STATIC = Path(__file__).parent / "static"
# Spelled out, because a system's own table of types may call JavaScript plain text.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = _STATIC / "index.html"
_FILES = ("cards.js", "history.js", "icon.svg", "page.css", "page.js")
_POSITION = re.compile("[0-9]{1,12}")

# Images may lie on any host, because the contract names none; nothing else may come from elsewhere, and
# with Trusted Types no string becomes markup, whichever way it is handed to the DOM.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' https: http:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(
    client: AsyncClient, *, hosts: Collection[str] | None = None, poll_interval: float = 5.0
) -> web.Application:
    """Make the page, to be served alone or below any prefix of an aiohttp service.

    The page has no login of its own: whoever reaches it sees the history. It only answers GET, is
    never framed, and gives no other site its data.

    Args:
        client: reads the history; it is used, never closed. Its RetryPolicy decides who waits while the
            gateway asks for quiet: with a small ``max_time`` (such as 2 seconds) the page is told at
            once, and counts down; with a large one it waits for the client, not knowing how long.
        hosts: the Host headers to answer to, such as ``{"127.0.0.1:8000"}``; others get 421, which is
            what protects a server without a login from DNS rebinding. None answers to all, and leaves
            that to the service, which knows its names.
        poll_interval: seconds from one look for news to the next, for each page that is being looked at.

    Raises:
        ValueError: ``poll_interval`` is no positive, finite number.

    """
    if not (poll_interval > 0 and math.isfinite(poll_interval)):
        raise ValueError(f"poll_interval must be a positive number of seconds, not {poll_interval!r}")
    middlewares = [] if hosts is None else [_answering_only_to(hosts)]
    app = web.Application(middlewares=middlewares)
    app.on_response_prepare.append(_secure)
    for path in ("", "/"):  # the first is "/history" where that is the prefix
        app.router.add_get(path, _send_index, allow_head=False)
    app.router.add_get("/api/tasks", _Tasks(client, poll_interval).answer, allow_head=False)
    for name in _FILES:
        app.router.add_get(f"/static/{name}", _File(_STATIC / name).send, allow_head=False)
    return app


def _answering_only_to(hosts: Collection[str]) -> Middleware:
    known = frozenset(host.lower() for host in hosts)

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Host", "").lower() not in known:
            raise web.HTTPMisdirectedRequest(text="This page does not answer to that Host.\n")
        return await handler(request)

    return check_host


@attrs.frozen
class _File:
    """One of the page's files."""

    path: Path

    async def send(self, _: web.Request) -> web.StreamResponse:
        """Send it; a browser asks each time whether it has changed."""
        headers = {"Content-Type": _TYPES[self.path.suffix], "Cache-Control": "no-cache"}
        return web.FileResponse(self.path, headers=headers)


@attrs.frozen
class _Tasks:
    """``GET api/tasks?position=N``: the tasks from about there on."""

    client: AsyncClient
    poll_interval: float

    async def answer(self, request: web.Request) -> web.Response:
        """Read one window of the history."""
        # Other sites may link to the page, but not ask for its data. A browser too old to tell who asks
        # still does not let them read the answer: there is no CORS header.
        if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
            return failure_answer(403, kind="cross_site", message="the history is for its own page only")
        position = request.query.get("position", "0")
        if not _POSITION.fullmatch(position):
            return failure_answer(400, kind="bad_request", message="position must be a whole number")
        try:
            window = await read_window(self.client, int(position))
        except ApimallError as error:
            return describe_failure(error)
        return describe_window(window, self.poll_interval)


async def _send_index(request: web.Request) -> web.StreamResponse:
    # The page's links are relative, and need the slash. So is this one: a proxy may have cut a prefix.
    if not request.path.endswith("/"):
        raise web.HTTPPermanentRedirect(f"./{request.rel_url.raw_name}/")
    return await _File(_INDEX).send(request)


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
