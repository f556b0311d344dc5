"""Where the history comes from: the account of the key, or a gateway in this process."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar

import attrs
import click

from apimall_async import AsyncClient, RetryPolicy
from apimall_async.testing import LocalGateway, sample_history


T = TypeVar("T")

_DEMO_TASKS = 240
_DAY = 86_400  # seconds
RETRY_FOR = int(RetryPolicy().max_time)


@attrs.frozen
class Source:
    """The values of ``source_options``."""

    demo: bool
    base_url: str | None
    timeout: int
    retry_for: int | None
    """Seconds, or None for the client's own, which are few where nothing helps."""

    @property
    def _options(self) -> dict[str, Any]:
        policy = {} if self.retry_for is None else {"retry": RetryPolicy(max_time=self.retry_for)}
        return {"timeout": self.timeout, **policy}

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[AsyncClient]:
        """Open a client, and close it."""
        if not self.demo:
            async with AsyncClient(base_url=self.base_url, **self._options) as client:
                yield client
            return
        tasks = sample_history(_DEMO_TASKS, newest=datetime.now(UTC).replace(microsecond=0))
        async with (
            LocalGateway(tasks) as gateway,
            gateway.client(**self._options) as client,
        ):
            yield client


def check_source(*, demo: bool, base_url: str | None) -> None:
    """Check that the command can reach a gateway.

    Raises:
        click.UsageError: the key is missing, or two gateways are named.

    """
    if demo and base_url:
        raise click.UsageError("--demo brings a gateway of its own: leave out --base-url")
    if not (demo or os.environ.get("APIMALL_API_KEY")):
        raise click.UsageError("no API key: set APIMALL_API_KEY, or try --demo")


def source_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a subcommand these options; it gets their values, which are checked, as ``source``."""

    @click.option(
        "--demo",
        is_flag=True,
        help="Read made-up tasks from a gateway in this process. Needs no key and no network.",
    )
    @click.option(
        "--base-url",
        metavar="URL",
        help="The gateway's origin.  [default: APIMALL_BASE_URL, else https://gateway.apimall.ai]",
    )
    @click.option(
        "--timeout",
        type=click.IntRange(1, _DAY),
        default=30,
        show_default=True,
        metavar="SECONDS",
        help="For one response.",
    )
    @click.option(
        "--retry-for",
        type=click.IntRange(0, _DAY),
        metavar="SECONDS",
        help="How long to try again what may succeed later: rate limit, network, 5xx. 0: never."
        f"  [default: {RETRY_FOR}, or 10 where the gateway cannot be reached]",
    )
    @wraps(command)
    def with_source(
        *, demo: bool, base_url: str | None, timeout: int, retry_for: int | None, **options: object
    ) -> T:
        check_source(demo=demo, base_url=base_url)
        return command(source=Source(demo, base_url, timeout, retry_for), **options)

    return with_source
