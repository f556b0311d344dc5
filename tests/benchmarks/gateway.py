"""A LocalGateway in a process of its own that reports its responses.

Options as JSON in argv. Its first line is the URL and key. For each line on stdin it writes the responses
since the last: [when, status, key] of each. It ends with its stdin, so not later than its parent.
"""

import asyncio
import json
import math
import random
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import web

from apimall_async.testing import Fault, LocalGateway, RateLimit


_KNOWN = b'"model":'  # before it stand the unknown fields
_UNKNOWN = b'"seed":4711002305,"aspect_ratio":"16:9",'


async def main(
    rate_limit: list[float] | None = None,
    *,
    unknown_fields: bool = False,
    jitter: list[float] | None = None,
    **options: Any,
) -> None:
    """Serve until stdin ends. ``jitter``: mean and sigma of latencies that are distributed lognormally."""
    limit = RateLimit(*rate_limit) if rate_limit else None  # type: ignore[arg-type]
    async with LocalGateway(rate_limit=limit, **options) as gateway:
        if unknown_fields:
            gateway.rule(lambda _: Fault(deliver=_deliver_unknown_fields))
        if jitter:
            gateway.rule(_slow(*jitter))
        _send([gateway.url, gateway.api_key])
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while await lines.readline():
            requests, gateway.requests[:] = gateway.requests[:], []
            _send([[request.received_at, request.status, _key(request.headers)] for request in requests])


def _slow(mean: float, sigma: float) -> Callable[[object], Fault]:
    draw = random.Random(0).lognormvariate
    return lambda _: Fault.slow(draw(math.log(mean) - sigma**2 / 2, sigma))


async def _deliver_unknown_fields(_: web.BaseRequest, response: Any) -> web.StreamResponse:
    """Add two fields to each task, which no version knows."""
    body = response.body.replace(_KNOWN, _UNKNOWN + _KNOWN)
    return web.Response(status=response.status, body=body, headers=response.headers)


def _key(headers: Any) -> str:
    return headers.get("Authorization", "").removeprefix("Bearer ")


def _send(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
