"""Iterating over accounts in databases that put tasks of one time in an order of their own for each page."""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from builds import Options
from report import Target, table, write


sys.path.append(str(Path(__file__).parent.parent / "outside"))

import backends
from accounts import LENGTHS, TABLES, Account, outcome


KINDS: dict[str, dict[str, Any]] = {"plain": {}, "exact": {"exact": True}}


def paging(options: Options) -> list[Target]:
    """Read 200 accounts of 60 to 300 tasks, of which 1 to 10 at a time have the same created_at."""
    count = 20 if options.quick else 200
    write(f"## Reading {count} accounts in databases, ORDER BY created_at DESC\n")
    if missing := backends.missing():
        write(f"Not measured: {', '.join(missing)} not installed (nox -s outside needs them, too).\n")
        return []
    with tempfile.TemporaryDirectory() as home, backends.tables(Path(home), 1 + count) as url:
        results = {
            (database, kind): asyncio.run(_read(url, database, LENGTHS[1 : 1 + count], KINDS[kind]))
            for database in TABLES
            for kind in KINDS
        }
    write("60 to 300 tasks each, 1 to 10 at a time of one created_at. Nothing is created or deleted.\n")
    table(
        ["", "right", "lost in silence", "raised", "requests"],
        [
            [f"{database}, {kind}", *(f"{found[what]}" for what in ("right", "lost", "raised", "requests"))]
            for (database, kind), found in results.items()
        ],
    )
    return [
        Target(f"{database}, {kind}: read exactly", f"{count}", f"{found['right']}", found["right"] == count)
        for (database, kind), found in results.items()
        if kind != "plain"
    ]


async def _read(url: str, database: str, lengths: list[int], options: dict[str, Any]) -> Counter[str]:
    """Count what came of it, and the requests."""
    found: Counter[str] = Counter()

    async def count(*_: Any) -> None:
        found["requests"] += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(count)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        for length in lengths:
            result = await outcome(url, Account(database, length), session, **options)
            found[result.split()[0]] += 1
    return found
