"""A LocalGateway in a process of its own. Its histories change and its responses fail, by chance.

Takes a seed, and a factor for the lengths of its histories. Its first line is the URL. Further lines report
what happens to the histories, as it happens. For each line on stdin it writes one with the counts so far;
"level" also gives the histories their first lengths again. It ends with its stdin, and so with its parent.
"""

import asyncio
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from apimall_async.testing import Fault, History, LocalGateway, RateLimit, RecordedRequest


ACCOUNTS = {"sk-short": 60, "sk-long": 1200, "sk-kept": 500}
"""The keys, and about how many tasks each has."""
KEPT = "sk-kept"
"""The one that nothing is deleted from while somebody reads."""

_PASSING: dict[str, Callable[[], Fault]] = {
    "429": lambda: Fault.error(429),
    "429 with Retry-After": lambda: Fault.error(429, retry_after="0.02"),
    "429 in HTML": lambda: Fault.html(429),
    "500": lambda: Fault.error(500),
    "502 in HTML": lambda: Fault.html(502),
    "503 with Retry-After": lambda: Fault.html(503, retry_after=0.02),
    "503, empty": lambda: Fault.empty(503),
    "truncated body": Fault.truncate,
    "reset": Fault.reset,
    "silence": Fault.stall,
    "silence in the body": lambda: Fault.stall(in_body=True),
    "a late response": lambda: Fault.slow(0.1),
    "a smaller limit": lambda: Fault.cap(20),
    "another page, in disguise": lambda: Fault.stuck(echo_requested=True),
}
_LASTING: dict[str, Callable[[], Fault]] = {
    "401": lambda: Fault.error(401),
    "403": lambda: Fault.error(403),
    "404": lambda: Fault.error(404),
    "half the JSON": Fault.half,
    "HTML as a page": lambda: Fault.html(200),
    "endless body": Fault.endless,
    "another page": Fault.stuck,
}
_LASTING_SHARE = 0.004  # of all faults: each ends an iteration


@attrs.frozen
class Chances:
    """What is likely for a while."""

    creations: float
    deletions: float
    faults: float

    @classmethod
    def draw(cls, rng: random.Random) -> "Chances":
        """Draw others: nothing at all is as likely as much."""
        return cls(
            creations=rng.choice((0, 0.05, 0.3)),
            deletions=rng.choice((0, 0, 0.05, 0.3)),
            faults=rng.choice((0, 0.01, 0.05, 0.15)),
        )


class Account:
    """One history, which stays about as long as it is."""

    def __init__(self, history: History, key: str, rng: random.Random) -> None:
        self._history = history
        self._key = key
        self._size = len(history)
        self._rng = rng
        self._ids = [task.task_id for task in reversed(self._history.tasks)]  # oldest first
        self._report("created", self._ids, time.monotonic())

    def create(self) -> int:
        """Create some."""
        sizes = (1, 1, 3) if self._key == KEPT else (1, 1, 3, 60)
        n = self._rng.choice(sizes) + max(0, self._size - len(self._ids)) // 20
        self._create(n)
        return n

    def _create(self, n: int) -> None:
        before = time.monotonic()
        created = [task.task_id for task in reversed(self._history.insert_new(n))]
        self._ids += created
        self._report("created", created, before)

    def delete(self) -> int:
        """Delete some: here and there, or neighbours; once in a while all."""
        if self._key == KEPT:
            return 0
        n = self._rng.choice((1, 1, 2, 30)) + max(0, len(self._ids) - self._size) // 20
        n = len(self._ids) if self._rng.random() < 0.002 else min(n, len(self._ids))
        if self._rng.random() < 0.5:
            gone = self._rng.sample(self._ids, n)
        else:
            begin = self._rng.randint(0, len(self._ids) - n)
            gone = self._ids[begin : begin + n]
        self._delete(gone)
        return n

    def level(self) -> None:
        """Delete the oldest that are too many, or create as many as are missing."""
        if len(self._ids) < self._size:
            self._create(self._size - len(self._ids))
        self._delete(self._ids[: -self._size])

    def _delete(self, gone: list[str]) -> None:
        before = time.monotonic()
        self._history.delete(*gone)
        deleted = frozenset(gone)
        self._ids = [task_id for task_id in self._ids if task_id not in deleted]
        self._report("deleted", gone, before)

    def lie(self) -> None:
        """Report that a response was another page than it says."""
        self._report("lied", [], time.monotonic())

    def _report(self, what: str, ids: list[str], before: float) -> None:
        write({"what": what, "key": self._key, "ids": ids, "from": before, "to": time.monotonic()})


class World:
    """Decides what happens at each request."""

    def __init__(self, gateway: LocalGateway, seed: int) -> None:
        self._gateway = gateway
        self._rng = random.Random(seed)
        self._chances = Chances(0, 0, 0)
        self._until = 0.0
        self._accounts = {
            key: Account(history, key, self._rng)
            for key, history in gateway.accounts.items()
            if key in ACCOUNTS
        }
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        gateway.rule(self._rule)

    def level(self) -> None:
        """Give the histories their first lengths again."""
        for account in self._accounts.values():
            account.level()

    def _rule(self, request: RecordedRequest) -> Fault | None:
        self.counts["requests"] += 1
        if request.received_at > self._until:
            self._change(request.received_at)
        account = self._accounts[request.headers["Authorization"].removeprefix("Bearer ")]
        if self._rng.random() < self._chances.creations:
            self.counts["creations"] += account.create()
        if self._rng.random() < self._chances.deletions:
            self.counts["deletions"] += account.delete()
        if self._rng.random() >= self._chances.faults:
            return None
        kinds = _LASTING if self._rng.random() < _LASTING_SHARE else _PASSING
        name = self._rng.choice(list(kinds))
        self.faults[name] += 1
        if name == "another page, in disguise":
            account.lie()
        return kinds[name]()

    def _change(self, now: float) -> None:
        """Change the chances, and the limits of the gateway."""
        self._chances = Chances.draw(self._rng)
        self._until = now + self._rng.uniform(0.3, 2.0)
        self._gateway.latency = self._rng.choice((0, 0, 0.002, 0.02))
        self._gateway.rate_limit = self._rng.choice(
            (None, None, None, RateLimit(500, 30, 0.05), RateLimit(500, 30))
        )
        self._gateway.max_limit = self._rng.choice((50, 50, 50, 30))
        self._gateway.requests.clear()  # the journal is not read


def write(what: Any) -> None:
    """Write a line to the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _is_news(record: logging.LogRecord) -> bool:
    """Distinguish a fault of the gateway's own from a client that left before its response was sent."""
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


async def main(seed: int, scale: float) -> None:
    """Serve until stdin ends."""
    logging.getLogger("aiohttp.server").addFilter(_is_news)
    sizes = {key: round(size * scale) for key, size in ACCOUNTS.items()}
    gateway = LocalGateway(0, api_key="sk-unused", accounts=sizes, seed=seed)
    async with gateway:
        write(gateway.url)
        world = World(gateway, seed)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line == "level\n":
                world.level()
            write({"what": "counts", "counts": world.counts, "faults": world.faults})


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
