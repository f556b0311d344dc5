"""What was there, and when: as the gateway's process tells it, for walks to be judged by."""

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

    ONCE = "no task comes out twice"
    NONE_LOST = "no task is lost"
    ORDER = "tasks come out in the history's order"
    APART = "no task of another account comes out"
    TYPED = "what goes wrong is a typed error"
    END = "every use ends"
    CANCELLED = "no cancellation is swallowed"
    QUIET = "no complaint of asyncio's or the interpreter's"
    CLEAN = "no task, socket, file descriptor or place in a pool is left at quiet points"
    BOUNDED = "memory does not grow"


class BrokenPromiseError(Exception):
    """Something happened that must not."""

    def __init__(self, promise: Promise, text: str) -> None:
        super().__init__(text)
        self.promise = promise


@attrs.define
class _Life:
    number: int  # counted by births
    born: float  # when it surely was there
    gone: float = inf  # until when it surely was


class Ledger:
    """The life of each task of one account, until it is forgotten."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        self._born = 0
        self._moves: deque[tuple[float, float]] = (
            deque()
        )  # deletions and lies: when, at the earliest and latest

    def note(self, event: dict[str, Any]) -> None:
        """Take note of what the gateway tells."""
        for task_id in event["ids"]:
            if event["what"] == "born":
                self._born += 1
                self._lives[task_id] = _Life(self._born, event["to"])
            else:
                self._lives[task_id].gone = event["from"]
        if event["what"] != "born":
            self._moves.append((event["from"], event["to"]))

    def forget(self) -> None:
        """Forget the dead."""
        self._lives = {task_id: life for task_id, life in self._lives.items() if life.gone == inf}
        self._moves.clear()

    def only_births(self, begin: float, end: float) -> bool:
        """Whether nothing was deleted, and no answer was a lie, between the two moments."""
        return all(latest < begin or earliest > end for earliest, latest in self._moves)

    def judge(
        self,
        ids: Sequence[str],
        begin: float,
        end: float,
        *,
        whole: bool,
        ordered: bool,
        from_head: bool = True,
    ) -> None:
        """Judge what one walk yielded between two moments, all of it there to be seen.

        Args:
            ids: what it yielded.
            begin: when it began.
            end: when it ended.
            whole: it says that it read to the end of the history; else what it read is judged up to there.
            ordered: it promises the history's order, of those that are there from its begin to its end.
            from_head: it began with the newest.

        Raises:
            BrokenPromiseError: one is lost, or came out of order.

        """
        lives = [self._lives[task_id] for task_id in ids]
        stayed = [life.number for life in lives if life.born <= begin and life.gone >= end]
        if ordered and stayed != sorted(stayed, reverse=True):
            raise BrokenPromiseError(Promise.ORDER, "tasks came out in another order")
        numbers = [life.number for life in lives]
        first = inf if from_head else max(numbers, default=-inf)
        last = -inf if whole else min(numbers, default=inf)
        seen = set(ids)
        lost = [
            task_id
            for task_id, life in self._lives.items()
            if life.born <= begin
            and life.gone >= end
            and last <= life.number <= first
            and task_id not in seen
        ]
        if lost:
            raise BrokenPromiseError(Promise.NONE_LOST, f"{len(lost)} tasks were lost, such as {lost[0]}")

    def check_known(self, ids: Sequence[str]) -> None:
        """Judge what any walk owes.

        Raises:
            BrokenPromiseError: one came out twice, or is not this account's.

        """
        if len(set(ids)) < len(ids):
            raise BrokenPromiseError(Promise.ONCE, "a task came out twice")
        if strangers := set(ids) - self._lives.keys():
            raise BrokenPromiseError(Promise.APART, f"{len(strangers)} of them, such as {strangers.pop()}")


class Gateway:
    """The gateway's process, and what it told."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url
        self.ledgers: dict[str, Ledger] = {}
        self.counts: dict[str, int] = {"requests": 0, "births": 0, "deletions": 0}
        self.faults: dict[str, int] = {}
        self._asked: deque[asyncio.Future[None]] = deque()

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
        """Give the histories their first lengths again, and forget the dead. Only while nobody walks."""
        await self.catch_up(b"level\n")
        for ledger in self.ledgers.values():
            ledger.forget()

    async def catch_up(self, order: bytes = b"\n") -> None:
        """Return once all is known that had happened before the call."""
        assert self._process.stdin
        if self._process.stdin.is_closing() or self._process.returncode is not None:
            raise RuntimeError("the gateway ended: see its traceback above")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self._process.stdin.write(order)
        await answer

    async def _listen(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            event = json.loads(line)
            if event["what"] == "counts":
                self.counts |= event["counts"]
                self.faults = event["faults"]
                answer = self._asked.popleft()
                if not answer.done():
                    answer.set_result(None)
            else:
                self.ledgers.setdefault(event["key"], Ledger()).note(event)
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(RuntimeError("the gateway ended: see its traceback above"))


def now() -> float:
    """Tell the time by the clock that all processes of a system share."""
    return time.monotonic()
