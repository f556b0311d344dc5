"""``apimall gateway``: a stand-in for the gateway, to develop without a key."""

import asyncio
import math
from typing import Any, get_args

import click

from apimall_async.cli._address import address_options
from apimall_async.cli._text import count
from apimall_async.testing import LocalGateway, PastEnd, RateLimit


_EPILOG = """\b
Example, in one shell:
  apimall gateway --items 5000 --rate 5 --retry-after 2
and in another, after pasting the two lines that it prints:
  apimall history --read-ahead 4
"""


class _Number(click.FloatRange):
    """A number that is finite as well."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not finite", param, ctx)
        return number


@click.command(epilog=_EPILOG)
@address_options
@click.option(
    "--items",
    type=click.IntRange(0, 1_000_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Tasks in the history.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Of the history: the same seed, the same tasks.",
)
@click.option(
    "--latency-ms",
    type=_Number(0),
    default=0,
    show_default=True,
    metavar="MS",
    help="Before each response.",
)
@click.option(
    "--rate",
    type=_Number(0, min_open=True),
    metavar="R",
    help="Requests per second; more get a 429.  [default: unlimited]",
)
@click.option(
    "--burst",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Requests at once, within --rate.",
)
@click.option(
    "--retry-after",
    type=_Number(0),
    metavar="SECONDS",
    help="The Retry-After of a 429.  [default: no such header]",
)
@click.option(
    "--past-end",
    type=click.Choice(get_args(PastEnd)),
    default="empty",
    show_default=True,
    help="The response to a page behind the last one.",
)
def gateway(
    *,
    host: str,
    port: int,
    items: int,
    seed: int,
    latency_ms: float,
    rate: float | None,
    burst: int,
    retry_after: float | None,
    past_end: PastEnd,
) -> None:
    """Run a local gateway with made-up tasks until Ctrl-C.

    It responds as the real one does, on this machine only. Its key opens nothing else.
    """
    limit = RateLimit(rate, burst, retry_after) if rate else None
    stand_in = LocalGateway(
        items,
        seed=seed,
        host=host,
        port=port,
        rate_limit=limit,
        latency=latency_ms / 1000,
        past_end=past_end,
    )
    asyncio.run(_serve(stand_in))


async def _serve(stand_in: LocalGateway) -> None:
    async with stand_in:
        tasks = count(len(stand_in.history), "task")
        click.echo(
            f"A gateway of {tasks} at {stand_in.url}, with the key {stand_in.api_key}.\n"
            "Ctrl-C ends it. To use it, paste these lines into another shell:\n",
            err=True,
        )
        # On stdout, and alone there: a script can read them.
        click.echo(f"export APIMALL_BASE_URL={stand_in.url}")
        click.echo(f"export APIMALL_API_KEY={stand_in.api_key}")
        await asyncio.Event().wait()
