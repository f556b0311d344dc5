"""The accounts of the back ends. The key of an account says all about it: nothing has to be set up."""

import random
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple, Self

import aiohttp
import attrs

from apimall_async import ApimallError, AsyncClient, ImageTask
from apimall_async.testing import sample_history


TASKS = sample_history(1_000)
"""Of different times. An account behind a paginator has the first of them."""

LENGTHS = [1_000, *random.Random(0).sample(range(60, 301), 200)]
"""Of the accounts in a table, each once."""


TABLES = ["sqlite", "duckdb", "mariadb", "postgresql", "postgresql_indexed"]
"""The back ends in tables.py; all but SQLite change the order of tasks of one time from page to page."""


class Account(NamedTuple):
    """One account, and the way in which its back end responds."""

    backend: str
    length: int
    """How many tasks it has."""
    hidden: int = 0
    """How many of them the back end takes out of a page, in per cent."""
    number: str = "own"
    """Which page a response names: ``own``, what the package calls it, or the one that was ``requested``."""

    @property
    def key(self) -> str:
        """Its API key."""
        return "sk-" + ".".join(map(str, self))

    @classmethod
    def of(cls, key: str) -> Self:
        """Return the account that has this key."""
        backend, length, hidden, number = key.removeprefix("sk-").split(".")
        return cls(backend, int(length), int(hidden), number)

    def shows(self, task_id: str) -> bool:
        """Tell whether its back end leaves a task on a page."""
        return task_id not in _hidden(self.hidden)

    def tasks(self) -> list[ImageTask]:
        """Return what is to be read, newest first."""
        if self.backend in TABLES:
            return batches(self.length)
        return [task for task in TASKS[: self.length] if self.shows(task.task_id)]


@cache
def _hidden(percent: int) -> set[str]:
    rng = random.Random(percent)
    return {task.task_id for task in TASKS if rng.random() < percent / 100}


def batches(length: int) -> list[ImageTask]:
    """Make the tasks of an account in a table, newest first: 1 to 10 at a time have the same created_at."""
    rng = random.Random(length)
    rest, tasks = sample_history(length, seed=length), list[ImageTask]()
    while rest:
        size = rng.randint(1, 10)
        tasks += [attrs.evolve(task, created_at=rest[0].created_at) for task in rest[:size]]
        rest = rest[size:]
    return tasks


async def read(url: str, account: Account, session: aiohttp.ClientSession, **options: Any) -> list[ImageTask]:
    """Iterate over an account. Nothing is tried again: an error of the back end's code is seen at once."""
    client = AsyncClient(account.key, base_url=url, session=session, retry=None)
    return [task async for task in client.iter_history(**options)]


async def outcome(url: str, account: Account, session: aiohttp.ClientSession, **options: Any) -> str:
    """Iterate over an account, and tell whether all its tasks came, each once and none after an older one."""
    tasks = account.tasks()
    try:
        seen = await read(url, account, session, **options)
    except ApimallError as error:
        return f"raised {error!r}"
    if [task.created_at for task in seen] == [task.created_at for task in tasks] and set(seen) == set(tasks):
        return "right"
    return f"lost {len(tasks) - len(set(seen))}"


async def wrong(
    url: str, accounts: Iterable[Account], session: aiohttp.ClientSession, **options: Any
) -> dict[int, str]:
    """Iterate over accounts, and tell by their lengths what was not right."""
    outcomes = {account.length: await outcome(url, account, session, **options) for account in accounts}
    return {length: outcome for length, outcome in outcomes.items() if outcome != "right"}
