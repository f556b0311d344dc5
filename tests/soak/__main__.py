"""Iterate for long, by chance, and see that nothing is lost and nothing grows: ``python tests/soak``.

A gateway in a process of its own changes its histories, its limits and its faults. Here, clients are opened
and closed, and do what users do. Between rounds all of them rest, and what the process holds is looked at.
"""

import argparse
import asyncio
import gc
import logging
import platform
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import aiohttp
import attrs
from figures import Peak, Retries, Sample, grown, growth, take
from truth import BrokenPromiseError, Gateway, Promise
from users import Score, User, make_client

from apimall_async import AsyncClient


_ROUNDS = 40
_ENOUGH_BROKEN = 20  # promises, to stop early
_LONG_ENOUGH = 20_000  # requests, to distinguish growth from warming up


@attrs.define
class Soak:
    """One run."""

    requests: int
    users: int
    scale: float
    seed: int
    until: float
    score: Score = attrs.field(factory=Score)
    samples: list[Sample] = attrs.field(factory=list[Sample])
    peak: Peak = attrs.field(factory=Peak)

    async def run(self) -> Gateway:
        """Run it, until the requests are made, the time is over, or too many promises are broken."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.note(Promise.QUIET, f"{context}"))
        async with Gateway.run(self.seed, self.scale) as gateway:
            await gateway.catch_up()
            tasks = asyncio.all_tasks()
            gc.collect()
            gc.freeze()  # what is there from the start is not looked at again
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as session,
                make_client(gateway, "sk-long") as own,
                make_client(gateway, "sk-short", session=session) as guest,
            ):
                clients = {own: "sk-long", guest: "sk-short"}
                await self._rest(gateway, clients, tasks)
                while not self._over(gateway):
                    await self._round(gateway, clients)
                    await self._rest(gateway, clients, tasks)
            await self._rest(gateway, {}, tasks)
        return gateway

    def note(self, promise: Promise, text: str) -> None:
        """Take note of a promise that was broken."""
        self.score.broken.append((promise, text))

    @property
    def _hopeless(self) -> bool:
        return len(self.score.broken) >= _ENOUGH_BROKEN

    def _over(self, gateway: Gateway) -> bool:
        return self._hopeless or gateway.counts["requests"] >= self.requests or time.monotonic() > self.until

    async def _round(self, gateway: Gateway, clients: dict[AsyncClient, str]) -> None:
        rng = random.Random(f"{self.seed} {len(self.samples)}")
        share = -(-self.requests // _ROUNDS)
        enough = min(self.requests, gateway.counts["requests"] + share)
        watching = asyncio.create_task(self.peak.watch())

        def over() -> bool:
            return gateway.counts["requests"] >= enough or self._over(gateway)

        async def keep_on(use: Callable[[], Awaitable[None]]) -> None:
            while not over():
                await use()
                await gateway.catch_up()

        users = [User(gateway, self.score, random.Random(rng.random())) for _ in range(self.users)]
        uses = [
            *(partial(user.come_and_go, over) for user in users),
            *(partial(users[0].crowd, client, key) for client, key in clients.items()),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for use in uses:
                    group.create_task(keep_on(use))
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _rest(
        self, gateway: Gateway, clients: Iterable[AsyncClient], tasks: Iterable[asyncio.Task[Any]]
    ) -> None:
        await gateway.level()
        try:
            sample = await take(list(clients), set(tasks), requests=gateway.counts["requests"])
        except BrokenPromiseError as broken:
            self.note(broken.promise, str(broken))
            return
        self.samples.append(sample)
        sys.stderr.write(f"{sample.requests} requests, {sample.rss:.1f} MiB, {sample.blocks} blocks\n")

    def check(self) -> None:
        """Compare the quiet points."""
        for sample in self.samples[1:]:
            if more := sample.fds - self.samples[0].fds:
                self.note(Promise.CLEAN, f"{more} file descriptors more at {sample}")
        if (
            self.requests < _LONG_ENOUGH
        ):  # what the last iterations leave to the collector is much beside so few
            return
        for text in grown(self.samples):
            self.note(Promise.BOUNDED, text)
        # At the first the long-lived clients were not used yet, and at the last they are closed.
        for sample in self.samples[2:-1]:
            if sample.watched != self.samples[1].watched:
                self.note(Promise.CLEAN, f"{sample.watched} instead of {self.samples[1].watched}")


def main() -> None:
    """Run, print a table in Markdown, and fail if a promise was broken."""
    parser = argparse.ArgumentParser("tests/soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000, help="to make (default: 200000)")
    parser.add_argument("--minutes", type=float, default=60.0, help="to take at most (default: 60)")
    parser.add_argument("--users", type=int, default=6, help="at a time (default: 6)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the histories' lengths (default: 1)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="of what chance decides")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    soak = Soak(options.requests, options.users, options.scale, options.seed, until)
    warnings.simplefilter("error", ResourceWarning)
    warnings.simplefilter("error", RuntimeWarning)
    sys.unraisablehook = lambda raised: soak.note(Promise.QUIET, f"{raised.exc_value!r}, {raised.object!r}")
    retries = Retries()
    logger = logging.getLogger("apimall_async")
    logger.addHandler(retries)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    began = time.monotonic()
    gateway = asyncio.run(soak.run())
    gc.collect()
    soak.check()
    report(soak, gateway, retries.count, time.monotonic() - began)
    if soak.score.broken:
        sys.exit(1)


def report(soak: Soak, gateway: Gateway, retries: int, seconds: float) -> None:
    """Print what was done and what came of it."""
    score, counts, samples, peak = soak.score, gateway.counts, soak.samples, soak.peak
    quarters = [samples[round((len(samples) - 1) * part / 4)] for part in range(5)]
    rows = [
        ("Python, aiohttp", f"{platform.python_version()}, {aiohttp.__version__}"),
        ("seed", str(soak.seed)),
        ("wall time", f"{seconds / 60:.1f} min"),
        ("requests", counts["requests"]),
        ("clients opened and closed", score.clients),
        ("uses", listed(score.uses)),
        ("… of which checked task by task", f"{score.checked:,}, {score.checked_plain:,} of them plain"),
        ("ends", listed(score.ends)),
        ("tasks yielded", score.tasks),
        ("tasks created, deleted", f"{counts['creations']:,}, {counts['deletions']:,}"),
        ("faults", listed(gateway.faults)),
        ("retries", retries),
        (
            "RSS in MiB at 0, 25, 50, 75, 100 %; at most",
            f"{', '.join(f'{s.rss:.1f}' for s in quarters)}; {peak.rss:.1f}",
        ),
        (
            "blocks of Python's allocator at 0, 25, 50, 75, 100 %",
            ", ".join(f"{s.blocks:,}" for s in quarters),
        ),
        ("file descriptors before, after; at most", f"{samples[0].fds}, {samples[-1].fds}; {peak.fds}"),
        ("sockets at each of the quiet points, but for idle ones in a pool; at most", f"0; {peak.sockets}"),
        ("asyncio tasks at each of the quiet points, but for the soak's own; at most", f"0; {peak.tasks}"),
        ("quiet points", len(samples)),
    ]
    if len(samples) >= 8:
        rss, blocks = growth(samples)
        rows.append(("growth from the second quarter to the last", f"{rss:+.2f} MiB, {blocks:+,.0f} blocks"))
    write("| what | figure |\n|---|---|")
    for name, figure in rows:
        write(f"| {name} | {figure if isinstance(figure, str) else format(figure, ',')} |")
    write("\n| promise | times broken |\n|---|---|")
    broken = Counter(promise for promise, _ in score.broken)
    for promise in Promise:
        write(f"| {promise} | {broken[promise]} |")
    for promise, text in score.broken[:_ENOUGH_BROKEN]:
        write(f"\n**Broken**: {promise}: {text}")


def listed(counts: dict[str, int]) -> str:
    """Spell counts, with their sum."""
    parts = [f"{name} {count:,}" for name, count in sorted(counts.items())]
    return f"{sum(counts.values()):,}: {', '.join(parts)}"


def write(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
