"""What users do with a client, by chance: read, iterate, break, raise, cancel, close it in an iteration."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import aiohttp
import attrs
from truth import BrokenPromiseError, Gateway, Ledger, Promise, now

from apimall_async import ApimallError, AsyncClient, HistoryPage, ImageTask, RetryPolicy


POLICY = RetryPolicy(max_tries=8, max_time=20.0, wait_initial=0.005, wait_max=0.1)
TIMEOUT = 0.5  # seconds of one attempt
STUCK = 120.0  # seconds that nothing takes that makes headway

_KINDS: list[dict[str, Any]] = [{}, {}, {"exact": True}, *({"read_ahead": n} for n in (1, 2, 4, 8))]
_ENDS = ["end", "end", "end", "break", "raise", "cancel", "cancel", "time out", "sibling"]


class WhimError(Exception):
    """The consumer's own error."""


@attrs.define
class Score:
    """What was done, and what came of it."""

    uses: Counter[str] = attrs.field(factory=Counter[str])
    ends: Counter[str] = attrs.field(factory=Counter[str])
    tasks: int = 0
    checked: int = 0
    checked_plain: int = 0
    clients: int = 0
    broken: list[tuple[Promise, str]] = attrs.field(factory=list[tuple[Promise, str]])


class User:
    """Uses clients of one account at a time."""

    def __init__(self, gateway: Gateway, score: Score, rng: random.Random) -> None:
        self._gateway = gateway
        self._score = score
        self._rng = rng

    async def come_and_go(self, over: Callable[[], bool]) -> None:
        """Open a client, use it for a while or until it is over, and close it while it is being used."""
        key = self._rng.choice(list(self._gateway.ledgers))
        options: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            if self._rng.random() < 0.5:
                connector = aiohttp.TCPConnector(limit=self._rng.choice((1, 3, 10)))
                options["session"] = await stack.enter_async_context(
                    aiohttp.ClientSession(connector=connector)
                )
            client = make_client(self._gateway, key, **options)
            self._score.clients += 1
            async with client:
                for _ in range(self._rng.randint(1, 3)):
                    if not over():
                        await self.crowd(client, key)
                uses = asyncio.ensure_future(self.crowd(client, key))
                await asyncio.sleep(self._rng.choice((0, 0, 0.01, 0.1)))
            await uses

    async def crowd(self, client: AsyncClient, key: str) -> None:
        """Use a client several times at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._rng.randint(1, 8)):
                group.create_task(self.use(client, key))

    async def use(self, client: AsyncClient, key: str) -> None:
        """Use a client once, and check what came of it."""
        ledger = self._gateway.ledgers[key]
        kind = self._rng.choice(_KINDS)
        reading = _Reading(client, kind, self._rng)
        try:
            await self._use(reading, ledger)
        except BrokenPromiseError as broken:
            self._score.broken.append((broken.promise, f"{reading}: {broken}"))

    async def _use(self, reading: "_Reading", ledger: Ledger) -> None:
        begin = now()
        try:
            async with asyncio.timeout(STUCK):
                how = await reading.run()
        except TimeoutError:
            raise BrokenPromiseError(Promise.END, "stuck") from None
        except BrokenPromiseError:
            raise
        except Exception as error:
            raise BrokenPromiseError(Promise.TYPED, repr(error)) from error
        end = now()
        await self._gateway.catch_up()
        self._score.uses[reading.name] += 1
        self._score.ends[how] += 1
        self._score.tasks += len(reading.ids)
        self._check(ledger, reading, begin, end, complete=how == "complete")

    def _check(
        self, ledger: Ledger, reading: "_Reading", begin: float, end: float, *, complete: bool
    ) -> None:
        ledger.check_known(reading.ids)
        whole = complete and reading.unlimited
        if reading.plain and not (ledger.only_created(begin, end) and (whole or reading.from_newest)):
            return  # it promises no more
        self._score.checked += 1
        self._score.checked_plain += reading.plain
        ledger.check(
            reading.ids, begin, end, whole=whole, ordered=not reading.plain, from_newest=reading.from_newest
        )


class _Reading:
    """One use of a client, from its call to its end."""

    def __init__(self, client: AsyncClient, kind: dict[str, Any], rng: random.Random) -> None:
        self.ids: list[str] = []
        self._client = client
        self._rng = rng
        self._one_page = rng.random() < 0.15
        self._by_pages = rng.random() < 0.3
        self._options = {"page_size": rng.choice((50, 50, 50, 20, 13)), **kind}
        if rng.random() < 0.2:
            self._options["max_items"] = rng.choice((0, 1, 30, 120))
        if rng.random() < 0.15:
            self._options["start_page"] = rng.randint(2, 6)
        self._end = rng.choice(_ENDS)
        self._leave_at = rng.randint(1, 400)
        self._pause = rng.choice((0.0, 0.0, 0.002, 0.02))

    def __str__(self) -> str:
        return f"{self.name} {self._options} ({self._end})"

    @property
    def name(self) -> str:
        """What is used."""
        if self._one_page:
            return "list_history"
        kind = "plain" if self.plain else f"read_ahead={self._options.get('read_ahead', 0)}"
        return f"{'iter_history_pages' if self._by_pages else 'iter_history'}, {kind}"

    @property
    def plain(self) -> bool:
        """Whether it is an iteration that can overlook deletions."""
        return not (self._one_page or self._options.keys() & {"exact", "read_ahead"})

    @property
    def from_newest(self) -> bool:
        """Whether it begins with the newest task."""
        return not self._one_page and "start_page" not in self._options

    @property
    def unlimited(self) -> bool:
        """Whether its end is that of the history."""
        return not self._one_page and "max_items" not in self._options

    async def run(self) -> str:
        """Read, and return how it ended."""
        ways = {"cancel": self._cancelled, "time out": self._timed_out, "sibling": self._beside_a_sibling}
        try:
            return await ways.get(self._end, self._read)()
        except WhimError:
            return "consumer's own error"
        except ApimallError as error:
            return type(error).__name__

    def _moment(self) -> float:
        return self._rng.choice((0.0, 0.003, 0.02, 0.1, 0.4)) * self._rng.random()

    async def _cancelled(self) -> str:
        reading = asyncio.create_task(self._read())
        await asyncio.wait([reading], timeout=self._moment())
        was_running = reading.cancel()
        await asyncio.wait([reading])
        if reading.cancelled():
            return "cancelled"
        if was_running:
            raise BrokenPromiseError(Promise.CANCELLED, f"{reading}")
        return reading.result()

    async def _timed_out(self) -> str:
        try:
            async with asyncio.timeout(self._moment()):
                return await self._read()
        except TimeoutError:
            return "asyncio.timeout"

    async def _beside_a_sibling(self) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read())
                group.create_task(self._fail())
        except* (WhimError, ApimallError):
            pass
        return "cancelled by its TaskGroup" if reading.cancelled() else reading.result()

    async def _fail(self) -> None:
        await asyncio.sleep(self._moment())
        raise WhimError

    async def _read(self) -> str:
        if self._one_page:
            page = await self._client.list_history(self._rng.randint(1, 5), self._options["page_size"])
            self.ids = [task.task_id for task in page.items]
            return "complete"
        iterate = self._client.iter_history_pages if self._by_pages else self._client.iter_history
        iteration: Any = iterate(**self._options)
        if self._rng.random() < 0.5:
            async with aclosing(iteration):
                return await self._consume(iteration)
        return await self._consume(iteration)

    async def _consume(self, iteration: AsyncGenerator[ImageTask | HistoryPage]) -> str:
        async for item in iteration:
            tasks = item.items if isinstance(item, HistoryPage) else (item,)
            self.ids += [task.task_id for task in tasks]
            if len(self.ids) >= self._leave_at and self._end == "break":
                return "broke off"
            if len(self.ids) >= self._leave_at and self._end == "raise":
                raise WhimError
            if self._pause and self._rng.random() < 0.05:
                await asyncio.sleep(self._pause)
        return "complete"


def make_client(gateway: Gateway, key: str, **options: Any) -> AsyncClient:
    """Make a client of one account, with waits short enough for a soak."""
    return AsyncClient(key, base_url=gateway.url, timeout=TIMEOUT, retry=POLICY, **options)
