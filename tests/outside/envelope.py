"""The vendor's contract around what does the paging: a server, run as a process of its own."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from accounts import Account
from aiohttp import web

from apimall_async._contract import HISTORY_PATH


Item = dict[str, Any]
GetPage = Callable[[Account, int, int], tuple[Iterable[Item], int]]
"""Return the items of an account's page, and the page's number; or raise an exception that has a status."""


def serve(backends: Mapping[str, GetPage], port: int) -> None:
    """Serve the accounts of these back ends, until a signal ends it."""

    async def respond(request: web.Request) -> web.Response:
        account = Account.of(request.headers["Authorization"].removeprefix("Bearer "))
        page, limit = int(request.query["page"]), int(request.query["limit"])
        try:
            items, number = backends[account.backend](account, page, limit)
        except Exception as refusal:
            status = getattr(refusal, "status_code", None) or getattr(refusal, "code", None)
            if not isinstance(status, int):
                raise
            return web.Response(status=status, text=str(refusal))
        data = {
            "items": [item for item in items if account.shows(item["task_id"])],
            "page": number if account.number == "own" else page,
            "limit": limit,
        }
        return web.json_response({"success": True, "data": data, "request_id": "req_1"})

    app = web.Application()
    app.router.add_get(HISTORY_PATH, respond)
    web.run_app(app, host="127.0.0.1", port=port, print=None)
