"""``apimall ui``: the history as a page in the browser."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import click

from apimall_async import AsyncClient, RetryPolicy
from apimall_async.cli._address import address_options
from apimall_async.cli._source import check_source
from apimall_async.ui import demo_gateway, serve


# Short, because the page itself waits, and says how long.
_RETRY = RetryPolicy(max_time=5.0)


@click.command()
@address_options
@click.option(
    "--demo",
    is_flag=True,
    help="Show made-up tasks, now and then a new one, from a gateway in this process. Needs no key.",
)
@click.option(
    "--base-url",
    metavar="URL",
    help="The gateway's origin.  [default: APIMALL_BASE_URL, else https://gateway.apimall.ai]",
)
def ui(*, host: str, port: int, demo: bool, base_url: str | None) -> None:
    """Show the account's images in the browser, live, until Ctrl-C.

    The page is served on loopback: it can be read by whoever uses this machine, and by no other. The
    API key stays in this process.
    """
    check_source(demo=demo, base_url=base_url)
    asyncio.run(_serve(host, port, _demo_client() if demo else _client(base_url)))


@asynccontextmanager
async def _client(base_url: str | None) -> AsyncGenerator[AsyncClient]:
    async with AsyncClient(base_url=base_url, retry=_RETRY) as client:
        yield client


@asynccontextmanager
async def _demo_client() -> AsyncGenerator[AsyncClient]:
    async with demo_gateway() as gateway, gateway.client(retry=_RETRY) as client:
        yield client


async def _serve(host: str, port: int, source: AbstractAsyncContextManager[AsyncClient]) -> None:
    async with source as client, serve(client, host=host, port=port) as url:
        click.echo("The history page, until Ctrl-C:", err=True)
        click.echo(url)
        await asyncio.Event().wait()
