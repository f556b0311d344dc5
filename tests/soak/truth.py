"""What was there, and when, as the gateway's process reports it: what was read is checked with it."""

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any, Self

import attrs


class Promise(StrEnum):
    """What must hold, whatever happens."""

    ONCE = "no task is yielded twice"
    NONE_LOST = "no task is lost"
    ORDER = "tasks are yielded in the history's order"
    APART = "no task of another account is yielded"
    TYPED = "what goes wrong is a typed error"
    END = "every use ends"
    CANCELLED = "no cancellation is lost"
    QUIET = "no error is reported by asyncio or the interpreter"
    CLEAN = "no asyncio task, socket, file descriptor or slot of a pool is left at quiet points"
    BOUNDED = "memory does not grow"


class BrokenPromiseError(Exception):
    """Something happened that must not."""

    def __init__(self, promise: Promise, text: str) -> None:
        super().__init__(text)
        self.promise = promise


@attrs.define
class _Life:
    number: int  # in the order of creation
    created: float  # when it surely was there
    deleted: float = inf  # until when it surely was


class Ledger:
    """The life of each task of one account, until it is forgotten."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        self._created = 0
        self._moves: deque[tuple[float, float]] = (
            deque()
        )  # deletions and lies: when, at the earliest and latest

    def note(self, event: dict[str, Any]) -> None:
        """Take note of what the gateway reports."""
        for task_id in event["ids"]:
            if event["what"] == "created":
                self._created += 1
                self._lives[task_id] = _Life(self._created, event["to"])
            else:
                self._lives[task_id].deleted = event["from"]
        if event["what"] != "created":
            self._moves.append((event["from"], event["to"]))

    def forget(self) -> None:
        """Forget deleted tasks."""
        self._lives = {task_id: life for task_id, life in self._lives.items() if life.deleted == inf}
        self._moves.clear()

    def only_created(self, begin: float, end: float) -> bool:
        """Whether nothing was deleted, and no response was a lie, between the two moments."""
        return all(latest < begin or earliest > end for earliest, latest in self._moves)

    def check(
        self,
        ids: Sequence[str],
        begin: float,
        end: float,
        *,
        whole: bool,
        ordered: bool,
        from_newest: bool = True,
    ) -> None:
        """Check what one iteration yielded between two moments, all of it known.

        Args:
            ids: what it yielded.
            begin: when it began.
            end: when it ended.
            whole: it says that it read to the end of the history; else what it read is checked up to there.
            ordered: it promises the history's order, of those that are there from its begin to its end.
            from_newest: it began with the newest.

        Raises:
            BrokenPromiseError: one is lost, or was yielded out of order.

        """
        lives = [self._lives[task_id] for task_id in ids]
        stayed = [life.number for life in lives if life.created <= begin and life.deleted >= end]
        if ordered and stayed != sorted(stayed, reverse=True):
            raise BrokenPromiseError(Promise.ORDER, "tasks were yielded in another order")
        numbers = [life.number for life in lives]
        first = inf if from_newest else max(numbers, default=-inf)
        last = -inf if whole else min(numbers, default=inf)
        seen = set(ids)
        lost = [
            task_id
            for task_id, life in self._lives.items()
            if life.created <= begin
            and life.deleted >= end
            and last <= life.number <= first
            and task_id not in seen
        ]
        if lost:
            raise BrokenPromiseError(Promise.NONE_LOST, f"{len(lost)} tasks were lost, such as {lost[0]}")

    def check_known(self, ids: Sequence[str]) -> None:
        """Check what any iteration owes.

        Raises:
            BrokenPromiseError: one was yielded twice, or is not this account's.

        """
        if len(set(ids)) < len(ids):
            raise BrokenPromiseError(Promise.ONCE, "a task was yielded twice")
        if others := set(ids) - self._lives.keys():
            raise BrokenPromiseError(Promise.APART, f"{len(others)} of them, such as {others.pop()}")


class Gateway:
    """The gateway's process, and what it reported."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url
        self.ledgers: dict[str, Ledger] = {}
        self.counts: dict[str, int] = {"requests": 0, "creations": 0, "deletions": 0}
        self.faults: dict[str, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    @classmethod
    @asynccontextmanager
    async def run(cls, seed: int, scale: float) -> AsyncGenerator[Self]:
        """Run one; it ends with the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            Path(__file__).with_name("gateway.py"),
            str(seed),
            str(scale),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
            start_new_session=True,  # Ctrl-C is for the parent, who ends this
        )
        assert process.stdin
        assert process.stdout
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError("the gateway did not start: see its traceback above")
        gateway = cls(process, json.loads(line))
        listening = asyncio.create_task(gateway._listen(process.stdout))
        try:
            yield gateway
        finally:
            process.stdin.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await listening

    async def level(self) -> None:
        """Give the histories their first lengths again, and forget deleted tasks. Only while nobody reads."""
        await self.catch_up(b"level\n")
        for ledger in self.ledgers.values():
            ledger.forget()

    async def catch_up(self, order: bytes = b"\n") -> None:
        """Return once all is known that had happened before the call."""
        assert self._process.stdin
        if self._process.stdin.is_closing() or self._process.returncode is not None:
            raise RuntimeError("the gateway ended: see its traceback above")
        counted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(counted)
        self._process.stdin.write(order)
        await counted

    async def _listen(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            event = json.loads(line)
            if event["what"] == "counts":
                self.counts |= event["counts"]
                self.faults = event["faults"]
                counted = self._waiting.popleft()
                if not counted.done():
                    counted.set_result(None)
            else:
                self.ledgers.setdefault(event["key"], Ledger()).note(event)
        for counted in self._waiting:
            if not counted.done():
                counted.set_exception(RuntimeError("the gateway ended: see its traceback above"))


def now() -> float:
    """Return the time by the clock that all processes of a system share."""
    return time.monotonic()
