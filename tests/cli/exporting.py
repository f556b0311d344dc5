"""A gateway to export from, and what an exported file must hold."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from apimall_async import ImageTask
from apimall_async.testing import Fault, LocalGateway


def ids(tasks: Sequence[ImageTask]) -> list[str]:
    """List the ids."""
    return [task.task_id for task in tasks]


def read_ids(file: str | Path) -> list[str]:
    """Read the ids of an exported .jsonl."""
    return [json.loads(line)["task_id"] for line in Path(file).read_text().splitlines()]


def check(written: list[str], gateway: LocalGateway, ever: list[str]) -> None:
    """Every task that stayed, once, newest first; besides these only such as were read and then deleted."""
    assert len(set(written)) == len(written), "a task was written twice"
    now = ids(gateway.tasks)
    assert [one for one in written if one in set(now)] == now, "a task is missing, or out of order"
    positions = [ever.index(one) for one in written]
    assert positions == sorted(positions), "a deleted task is out of order"


@contextmanager
def serving(tasks: int | Sequence[ImageTask], **options: Any) -> Generator[LocalGateway]:
    """Run a gateway that the environment names."""
    with LocalGateway(tasks, **options).in_thread() as gateway, pytest.MonkeyPatch.context() as patch:
        patch.setenv("APIMALL_API_KEY", gateway.api_key)
        patch.setenv("APIMALL_BASE_URL", gateway.url)
        yield gateway


def break_after(gateway: LocalGateway, responses: int) -> None:
    """Let so many requests pass, and refuse the next."""
    gateway.fault(*[Fault()] * responses, Fault.error(401))
