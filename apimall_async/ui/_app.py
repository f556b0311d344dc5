"""The page as an aiohttp application: its routes, and what it refuses."""

import math
import re
from collections.abc import Collection
from pathlib import Path

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from apimall_async import ApimallError, AsyncClient
from apimall_async.ui._pages import is_last, read_page_at
from apimall_async.ui._responses import describe_error, describe_page, error_response


_STATIC = Path(__file__).parent / "static"
# Spelled out, because a system's own table of types may call JavaScript plain text.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = _STATIC / "index.html"
_FILES = (
    "cards.css",
    "cards.js",
    "dom.js",
    "grid.js",
    "history.js",
    "icon.svg",
    "notices.css",
    "page.css",
    "page.js",
)
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

    The page has no login of its own: whoever reaches it sees the history. It accepts only GET, is
    never framed, and gives no other site its data.

    Args:
        client: reads the history; it is used, never closed. Its RetryPolicy decides who waits while the
            gateway limits the rate: with a small ``max_time`` (such as 5 seconds) the page learns of it
            at once, and counts down; with a large one it waits for the client, not knowing how long.
        hosts: the Host headers to accept, such as ``{"127.0.0.1:8000"}``; others get 421, which is
            what protects a server without a login from DNS rebinding. None accepts all, and leaves
            that to the service, which knows its names.
        poll_interval: seconds from one look for new tasks to the next, for each page in sight.

    Raises:
        ValueError: ``poll_interval`` is no positive, finite number.

    """
    if not (poll_interval > 0 and math.isfinite(poll_interval)):
        raise ValueError(f"poll_interval must be a positive number of seconds, not {poll_interval!r}")
    middlewares = [] if hosts is None else [_only_for(hosts)]
    app = web.Application(middlewares=middlewares)
    app.on_response_prepare.append(_secure)
    for path in ("", "/"):  # the first is "/history" where that is the prefix
        app.router.add_get(path, _send_index, allow_head=False)
    app.router.add_get("/api/tasks", _Tasks(client, poll_interval).respond, allow_head=False)
    for name in _FILES:
        app.router.add_get(f"/static/{name}", _File(_STATIC / name).send, allow_head=False)
    return app


def _only_for(hosts: Collection[str]) -> Middleware:
    known = frozenset(host.lower() for host in hosts)

    @web.middleware
    async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Host", "").lower() not in known:
            raise web.HTTPMisdirectedRequest(text="This page does not accept that Host.\n")
        return await handler(request)

    return check_host


@attrs.frozen
class _File:
    """One of the page's files."""

    path: Path

    async def send(self, _: web.Request) -> web.StreamResponse:
        """Send it; a browser checks each time whether it has changed."""
        headers = {"Content-Type": _TYPES[self.path.suffix], "Cache-Control": "no-cache"}
        return web.FileResponse(self.path, headers=headers)


@attrs.frozen
class _Tasks:
    """``GET api/tasks?position=N``: the tasks from about there on, and whether they are the last ones.

    Without a position, which is how the page looks for new tasks all the time, the newest; and not whether
    these are the last ones, because that may take more requests.
    """

    client: AsyncClient
    poll_interval: float

    async def respond(self, request: web.Request) -> web.Response:
        """Read one page of the history."""
        # Other sites may link to the page, but not request its data. A browser too old to send this header
        # still does not let them read the response: there is no CORS header.
        if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
            return error_response(403, kind="cross_site", message="the history is for its own page only")
        position = request.query.get("position")
        if position is not None and not _POSITION.fullmatch(position):
            return error_response(400, kind="bad_request", message="position must be a whole number")
        try:
            page = await read_page_at(self.client, int(position or 0))
            end = position is not None and await is_last(self.client, page)
        except ApimallError as error:
            return describe_error(error)
        return describe_page(page, self.poll_interval, end=end)


async def _send_index(request: web.Request) -> web.StreamResponse:
    # The page's links are relative, and need the slash. So is this one: a proxy may have cut a prefix.
    if not request.path.endswith("/"):
        raise web.HTTPPermanentRedirect(f"./{request.rel_url.raw_name}/")
    return await _File(_INDEX).send(request)


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
