"""Write the history of each of many accounts to a Parquet file, on a Dask cluster.

    python many_accounts.py accounts.txt keys/ histories/ --scheduler tls://10.0.0.5:8786

accounts.txt has the name of one account per line. keys/ and histories/ are directories of the workers:
keys/NAME has the key of an account, and nobody else may read it (mode 0600); histories/NAME.parquet is the
result. Without --scheduler this machine is the cluster. The exit code is 1 if an account could not be read.

Needs ``pip install distributed pyarrow``.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import attrs
import pyarrow as pa
from distributed import Client
from pyarrow import parquet

from apimall_async import AsyncClient, ImageTask, RetryPolicy


BATCH = 8  # accounts that a worker reads at the same time; if it dies, they are all read again
ROWS = 10_000  # in memory at a time, for each account
RETRY = RetryPolicy(max_tries=20, max_time=3600.0)
TIME, TEXT, NUMBER = pa.timestamp("us", tz="UTC"), pa.string(), pa.int64()
COLUMNS = {"created_at": TIME, "completed_at": TIME, "credits_used": NUMBER, "credits_refunded": NUMBER}
SCHEMA = pa.schema([(field.name, COLUMNS.get(field.name, TEXT)) for field in attrs.fields(ImageTask)])


@attrs.frozen
class Job:
    """What a worker gets. It has no key in it: whatever Dask transports is stored in the scheduler, too."""

    keys: Path
    histories: Path
    retry: RetryPolicy


@attrs.frozen
class Summary:
    """The result of one account."""

    account: str
    tasks: int = 0
    credits: int = 0
    error: Exception | None = None


def read_batch(accounts: list[str], job: Job) -> list[Summary]:
    """Read some accounts at the same time: Dask calls this in a worker."""
    return asyncio.run(read_together(accounts, job))


async def read_together(accounts: list[str], job: Job) -> list[Summary]:
    """Share one session, without cookies: no cookie of one account is sent with the key of another."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        return await asyncio.gather(*[read_account(account, job, session) for account in accounts])


async def read_account(account: str, job: Job, session: aiohttp.ClientSession) -> Summary:
    """Read one account, with a client of its own."""
    try:
        key = read_key(job.keys / account)
        async with AsyncClient(key, session=session, retry=job.retry) as client:
            return await write_history(client, account, job.histories)
    except Exception as error:  # noqa: BLE001 - an error of one account is reported, and stops no other
        return Summary(account, error=error)


def read_key(path: Path) -> str:
    """Read a key, if nobody else can read it."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise PermissionError(f"others may read {path}: chmod 600")
    return path.read_text().strip()


async def write_history(client: AsyncClient, account: str, directory: Path) -> Summary:
    """Write to a file of this attempt alone: a worker that Dask has given up may be writing, too."""
    part = directory / f"{account}.{uuid4().hex}.part"
    tasks = credits_used = 0
    try:
        with parquet.ParquetWriter(part, SCHEMA) as file:
            async for rows in groups(client):
                file.write_table(pa.Table.from_pylist([to_row(task) for task in rows], SCHEMA))
                tasks += len(rows)
                credits_used += sum(task.credits_used - (task.credits_refunded or 0) for task in rows)
        part.replace(directory / f"{account}.parquet")
    finally:
        part.unlink(missing_ok=True)
    return Summary(account, tasks, credits_used)


def to_row(task: ImageTask) -> dict[str, Any]:
    """Make a row of a task; the fields that this version does not know are one column, as JSON."""
    return attrs.asdict(task, recurse=False) | {"extra": json.dumps(dict(task.extra))}


async def groups(client: AsyncClient) -> AsyncIterator[list[ImageTask]]:
    """Collect pages, to write many rows at a time."""
    rows: list[ImageTask] = []
    async with aclosing(client.iter_history_pages(exact=True, read_ahead=4)) as pages:
        async for page in pages:
            rows += page.items
            if len(rows) >= ROWS:
                yield rows
                rows = []
    yield rows


def main() -> int:
    """Map over the accounts, and print the result of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("accounts", "keys", "histories"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--scheduler", help="address of the cluster")
    parser.add_argument("--workers", type=int, help="processes on this machine, without --scheduler")
    options = parser.parse_args()
    accounts = options.accounts.read_text().split()
    job = Job(options.keys.absolute(), options.histories.absolute(), RETRY)
    local = {"n_workers": options.workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(options.scheduler, **({} if options.scheduler else local)) as cluster:
        batches = [accounts[start : start + BATCH] for start in range(0, len(accounts), BATCH)]
        # Of a pure function, Dask would remember the results.
        futures = cluster.map(read_batch, batches, job=job, pure=False)
        summaries: list[Summary] = []
        for future, batch in zip(futures, batches, strict=True):
            try:
                summaries += future.result()
            except Exception as error:  # noqa: BLE001 - from Dask: this batch has ended several workers
                summaries += [Summary(account, error=error) for account in batch]
    for one in summaries:
        outcome = f"{type(one.error).__name__}: {one.error}" if one.error else "ok"
        print(f"{one.account:24} {one.tasks:9} tasks {one.credits:12} credits  {outcome}")
    return 1 if any(one.error for one in summaries) else 0


if __name__ == "__main__":
    sys.exit(main())
