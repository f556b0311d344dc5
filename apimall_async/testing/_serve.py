"""A gateway in the foreground, for other processes to talk to."""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence
from typing import get_args

from apimall_async.testing._gateway import LocalGateway
from apimall_async.testing._limits import RateLimit
from apimall_async.testing._paging import PastEnd


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until interrupted. The first line on stdout is the URL, the second the API key."""
    options = _parser().parse_args(argv)
    limit = RateLimit(options.rate, options.burst, options.retry_after) if options.rate else None
    gateway = LocalGateway(
        options.items,
        seed=options.seed,
        port=options.port,
        rate_limit=limit,
        latency=options.latency_ms / 1000,
        past_end=options.past_end,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(gateway))


async def _serve(gateway: LocalGateway) -> None:
    async with gateway:
        print(gateway.url, gateway.api_key, sep="\n", flush=True)  # noqa: T201 - its purpose
        await asyncio.Event().wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m apimall_async.testing", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument("--items", type=int, default=100, help="tasks in the history")
    parser.add_argument("--seed", type=int, default=0, help="of the history")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before each response")
    parser.add_argument("--rate", type=float, help="requests per second; none: unlimited")
    parser.add_argument("--burst", type=int, default=1, help="requests at once, within the rate")
    parser.add_argument(
        "--retry-after", type=float, help="seconds in the Retry-After of a 429; none: no such header"
    )
    parser.add_argument(
        "--past-end",
        type=lambda text: int(text) if text.isdecimal() else text,
        choices=get_args(PastEnd),
        default="empty",
        help="the response to a page behind the last one",
    )
    return parser
