"""Gateways that are a function of page and limit, and what an iteration over one of them reads."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from simulation import make_task

from apimall_async import HistoryPage, ImageTask, PaginationError
from apimall_async._pagination import Options, Stats, iterate_pages


Respond = Callable[[int, int], HistoryPage]

FIRST = tuple(make_task(number) for number in range(50))
"""A page of tasks."""


def page_of(tasks: Sequence[ImageTask], page: int, limit: int) -> HistoryPage:
    """Make the page that a gateway with these tasks sends."""
    return HistoryPage(tuple(tasks[(page - 1) * limit : page * limit]), page, limit, "req")


def read(respond: Respond, options: Options) -> list[ImageTask]:
    """Iterate to the end."""
    tasks: list[ImageTask] = []
    asyncio.run(_read(respond, options, tasks))
    return tasks


def read_until_error(respond: Respond, options: Options) -> tuple[int, int]:
    """Return how many tasks were read, by how many requests, until PaginationError."""
    tasks: list[ImageTask] = []
    requests = 0

    def count(page: int, limit: int) -> HistoryPage:
        nonlocal requests
        requests += 1
        return respond(page, limit)

    with pytest.raises(PaginationError):
        asyncio.run(_read(count, options, tasks))
    return len(tasks), requests


async def _read(respond: Respond, options: Options, tasks: list[ImageTask]) -> None:
    async def fetch(page: int, limit: int) -> HistoryPage:
        await asyncio.sleep(0)
        return respond(page, limit)

    async for page in iterate_pages(fetch, options, Stats()):
        tasks += page.items
