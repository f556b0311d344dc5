"""A gateway in which things happen, to show the page with."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count

import attrs

from apimall_async import ImageTask, TaskStatus
from apimall_async.testing import LocalGateway, sample_history


@asynccontextmanager
async def demo_gateway(tasks: int = 240, *, pace: float = 3.0) -> AsyncGenerator[LocalGateway]:
    """Run a gateway whose history grows: now and then a task is created, runs, and is completed or fails.

    Args:
        tasks: made for the start.
        pace: seconds that a task is pending; it runs twice as long, and about as often one is created.

    """
    now = datetime.now(UTC)
    history = [task for task in sample_history(tasks, newest=now) if task.completed_at]
    async with LocalGateway(history) as gateway:
        life = asyncio.create_task(_live(gateway, pace))
        try:
            yield gateway
        finally:
            life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life


async def _live(gateway: LocalGateway, pace: float) -> None:
    outcomes = _outcomes()
    async with asyncio.TaskGroup() as running:
        while True:
            running.create_task(_run(gateway, next(outcomes), pace))
            await asyncio.sleep(pace * random.uniform(0.8, 3))  # noqa: S311 - nothing secret here


def _outcomes() -> Generator[ImageTask]:
    """Make finished tasks without end: what those that will be created come to."""
    seeds = count(1)
    while True:
        tasks = sample_history(50, seed=next(seeds), newest=datetime.now(UTC))
        yield from [task for task in tasks if task.completed_at]


async def _run(gateway: LocalGateway, outcome: ImageTask, pace: float) -> None:
    created = attrs.evolve(
        outcome,
        created_at=datetime.now(UTC),
        status=TaskStatus.PENDING,
        image_url=None,
        credits_refunded=0,
        completed_at=None,
    )
    gateway.insert(created)
    await asyncio.sleep(pace)
    gateway.update(attrs.evolve(created, status=TaskStatus.PROCESSING))
    await asyncio.sleep(2 * pace)
    gateway.update(attrs.evolve(outcome, created_at=created.created_at, completed_at=datetime.now(UTC)))
