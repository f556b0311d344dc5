"""What the process holds: at quiet points, when no iteration is under way, and at most."""

import asyncio
import gc
import logging
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from statistics import median
from typing import Any

import aiohttp
import attrs
import psutil
from truth import BrokenPromiseError, Promise

from apimall_async import AsyncClient, HistoryPage, ImageTask
from apimall_async._connections import _slots
from apimall_async._pagination._exact import ExactIteration


_WATCHED = (
    AsyncClient,
    aiohttp.ClientSession,
    aiohttp.ClientResponse,
    HistoryPage,
    ImageTask,
    ExactIteration,
)
_SETTLE = 250  # looks, 20 ms apart, until what was dropped has to be gone
# From the second quarter to the last. The allocator's blocks are what Python's objects take, of any kind; a
# client's record of its last 4096 responses fills slowly. RSS also has what the heap keeps of a large page.
_BLOCK_GROWTH = 5_000
_RSS_GROWTH = 8.0  # MiB

_process = psutil.Process()


@attrs.frozen
class Sample:
    """One quiet point."""

    requests: int
    rss: float
    """MiB."""
    blocks: int
    """Of Python's allocator."""
    watched: dict[str, int]
    fds: int
    """But for those of pooled connections."""


def _handles() -> int:
    return _process.num_handles() if psutil.WINDOWS else _process.num_fds()


async def take(
    clients: Collection[AsyncClient], tasks: Collection[asyncio.Task[Any]], *, requests: int
) -> Sample:
    """Take a sample once nothing is left but these tasks and these clients' idle connections.

    Raises:
        BrokenPromiseError: something stays.

    """
    for _ in range(_SETTLE):
        gc.collect()
        pooled = sum(_idle(client) for client in clients)
        running = asyncio.all_tasks() - set(tasks)
        sockets = _sockets() - pooled
        if not (sockets or running):
            break
        await asyncio.sleep(0.02)
    else:
        raise BrokenPromiseError(Promise.CLEAN, f"{sockets} sockets, {len(running)} tasks: {running}")
    if taken := sum(_taken_slots(client) for client in clients):
        raise BrokenPromiseError(Promise.CLEAN, f"{taken} slots of pools are taken, and no request is there")
    counts = Counter(map(type, gc.get_objects()))
    return Sample(
        requests=requests,
        rss=_process.memory_info().rss / 2**20,
        blocks=sys.getallocatedblocks(),
        watched={kind.__name__: counts[kind] for kind in _WATCHED},
        fds=_handles() - pooled,
    )


@attrs.define
class Peak:
    """The most that there was at any moment that was looked at."""

    rss: float = 0.0
    fds: int = 0
    sockets: int = 0
    tasks: int = 0

    async def watch(self) -> None:
        """Look, twice a second."""
        while True:
            self.rss = max(self.rss, _process.memory_info().rss / 2**20)
            self.fds = max(self.fds, _handles())
            self.sockets = max(self.sockets, _sockets())
            self.tasks = max(self.tasks, len(asyncio.all_tasks()))
            await asyncio.sleep(0.5)


def _sockets() -> int:
    return len(_process.net_connections("tcp"))


def _idle(client: AsyncClient) -> int:
    connector = _connector(client)
    return sum(len(idle) for idle in connector._conns.values()) if connector else 0


def _connector(client: AsyncClient) -> Any:
    connections = client._parts.transport._connections.find()
    return connections.session.connector if connections and not connections.session.closed else None


def _taken_slots(client: AsyncClient) -> int:
    connector = _connector(client)
    if connector not in _slots:
        return 0
    free = _slots[connector]._value  # type: ignore[attr-defined]
    return connector.limit - free + len(connector._acquired)


def growth(samples: Sequence[Sample]) -> tuple[float, float]:
    """Return by how many MiB and blocks the process grew from the second quarter to the last."""
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return (
        median(sample.rss for sample in last) - median(sample.rss for sample in second),
        median(sample.blocks for sample in last) - median(sample.blocks for sample in second),
    )


def grown(samples: Sequence[Sample]) -> list[str]:
    """List what grew by more than what is tolerated."""
    rss, blocks = growth(samples)
    broken = []
    if rss > _RSS_GROWTH:
        broken.append(f"the memory grew by {rss:.1f} MiB, more than {_RSS_GROWTH}")
    if blocks > _BLOCK_GROWTH:
        broken.append(f"the allocator's blocks grew by {blocks:.0f}, more than {_BLOCK_GROWTH}")
    return broken


class Retries(logging.Handler):
    """Counts the client's log records of retries."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += record.msg.startswith("retry")
