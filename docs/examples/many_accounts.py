"""Write the history of each of many accounts to a Parquet file, on a Dask cluster.

    python many_accounts.py accounts.txt keys/ histories/ --scheduler tls://10.0.0.5:8786

accounts.txt names an account a line. keys/ and histories/ are where the workers find them: keys/NAME holds
the key of an account, and nobody else may read it (mode 0600); histories/NAME.parquet is what comes out.
Without --scheduler this machine is the cluster. Ends with 1 if there is an account that could not be read.

Needs ``pip install distributed pyarrow``.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import aiohttp
import attrs
import pyarrow as pa
from distributed import Client
from pyarrow import parquet

from apimall_async import AsyncClient, ImageTask, RetryPolicy


BATCH = 8  # accounts that a worker reads at the same time; if it dies, so many are read anew
ROWS = 10_000  # that are held in memory, of each account that is read
PATIENT = RetryPolicy(max_tries=20, max_time=3600.0)
TIME, TEXT, NUMBER = pa.timestamp("us", tz="UTC"), pa.string(), pa.int64()
COLUMNS = {"created_at": TIME, "completed_at": TIME, "credits_used": NUMBER, "credits_refunded": NUMBER}
SCHEMA = pa.schema([(field.name, COLUMNS.get(field.name, TEXT)) for field in attrs.fields(ImageTask)])


@attrs.frozen
class Job:
    """What a worker is told. It holds no key: what goes through Dask lies in its scheduler, too."""

    keys: Path
    histories: Path
    retry: RetryPolicy


@attrs.frozen
class Summary:
    """What became of one account."""

    account: str
    tasks: int = 0
    credits: int = 0
    error: Exception | None = None


def read_batch(accounts: list[str], job: Job) -> list[Summary]:
    """Read some accounts at the same time: what Dask calls, in a worker."""
    return asyncio.run(read_together(accounts, job))


async def read_together(accounts: list[str], job: Job) -> list[Summary]:
    """Share one session, without cookies: none that one account was given goes along with another's key."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        return await asyncio.gather(*[read_account(account, job, session) for account in accounts])


async def read_account(account: str, job: Job, session: aiohttp.ClientSession) -> Summary:
    """Read one account, with a client of its own."""
    try:
        key = read_key(job.keys / account)
        async with AsyncClient(key, session=session, retry=job.retry) as client:
            return await write_history(client, account, job.histories)
    except Exception as error:  # noqa: BLE001 - the trouble of one account is told, and stops no other
        return Summary(account, error=error)


def read_key(path: Path) -> str:
    """Read a key, if it is kept as one."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise PermissionError(f"others may read {path}: chmod 600")
    return path.read_text().strip()


async def write_history(client: AsyncClient, account: str, directory: Path) -> Summary:
    """Write under a name of this try alone: a worker that Dask gave up may be writing, too."""
    part = directory / f"{account}.{uuid4().hex}.part"
    tasks = credits_used = 0
    try:
        with parquet.ParquetWriter(part, SCHEMA) as file:
            async for rows in groups(client):
                file.write_table(pa.Table.from_pylist([attrs.asdict(task) for task in rows], SCHEMA))
                tasks += len(rows)
                credits_used += sum(task.credits_used - (task.credits_refunded or 0) for task in rows)
        part.replace(directory / f"{account}.parquet")
    finally:
        part.unlink(missing_ok=True)
    return Summary(account, tasks, credits_used)


async def groups(client: AsyncClient) -> AsyncIterator[list[ImageTask]]:
    """Gather pages to groups that are worth a row group of Parquet."""
    rows: list[ImageTask] = []
    async with aclosing(client.iter_history_pages(exact=True, read_ahead=4)) as pages:
        async for page in pages:
            rows += page.items
            if len(rows) >= ROWS:
                yield rows
                rows = []
    yield rows


def main() -> int:
    """Map over the accounts, and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("accounts", "keys", "histories"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--scheduler", help="address of the cluster")
    parser.add_argument("--workers", type=int, help="processes on this machine, without --scheduler")
    options = parser.parse_args()
    accounts = options.accounts.read_text().split()
    job = Job(options.keys.absolute(), options.histories.absolute(), PATIENT)
    local = {"n_workers": options.workers, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(options.scheduler, **({} if options.scheduler else local)) as cluster:
        batches = [accounts[start : start + BATCH] for start in range(0, len(accounts), BATCH)]
        futures = cluster.map(read_batch, batches, job=job, pure=False)  # pure: the same again, from memory
        summaries: list[Summary] = []
        for future, batch in zip(futures, batches, strict=True):
            try:
                summaries += future.result()
            except Exception as error:  # noqa: BLE001 - Dask's own: this batch has ended several workers
                summaries += [Summary(account, error=error) for account in batch]
    for one in summaries:
        outcome = f"{type(one.error).__name__}: {one.error}" if one.error else "ok"
        print(f"{one.account:24} {one.tasks:9} tasks {one.credits:12} credits  {outcome}")
    return 1 if any(one.error for one in summaries) else 0


if __name__ == "__main__":
    sys.exit(main())
