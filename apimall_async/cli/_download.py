"""``apimall download``: the images of the account, each as a file of its own."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from pathlib import Path

import attrs
import click

from apimall_async import APIError, ApimallError, AsyncClient, ImageTask
from apimall_async._untrusted import printable_line
from apimall_async.cli._errors import ExitCode, describe
from apimall_async.cli._filters import Filters, filter_options
from apimall_async.cli._manifest import Entry, Manifest
from apimall_async.cli._progress import Progress, show_progress
from apimall_async.cli._renamed import renamed
from apimall_async.cli._source import RETRY_FOR, Source, source_options
from apimall_async.cli._text import count


_WAITS = (0.5, 1.0, 2.0)  # seconds between two tries: one of many images is not worth a longer wait

_EPILOG = """\b
Examples:
  apimall download images --demo
  apimall download images --status completed --since 2026-03-01
  apimall download images --limit 20 --concurrency 8
  apimall download images --manifest images.jsonl

Files are named by the tasks' ids; a suffix says what they hold. What is there already is not requested
again, so run it again after an interruption or a failure: it goes on, also in the middle of an image if
the image's host allows it. The API key is not sent to that host.

With --manifest, FILE lists the images: task_id, file, size, sha256, type and when. An image that is
there already is compared with it, and downloaded again if it has changed.

If an image fails, the others are downloaded all the same, and the exit code is 1 in the end.

See "apimall --help" for the API key and the exit codes.
"""

_logger = logging.getLogger("apimall_async.cli")


@attrs.define
class DownloadStats:
    """What was downloaded."""

    new: int = 0
    there: int = 0
    changed: int = 0
    failed: int = 0
    size: int = 0
    """Bytes received, also of images that are not whole."""

    def so_far(self, seconds: float) -> list[str]:
        """Images, bytes, and the rate of these."""
        if not (self.size or self.there or self.failed):
            return []
        return [*self._facts(), f"{self.size / seconds / 1e6:.1f} MB/s"]

    def __str__(self) -> str:
        return ", ".join(self._facts())

    def _facts(self) -> list[str]:
        facts = [count(self.new, "image"), f"{self.size / 1e6:.1f} MB"]
        if self.there:
            facts.append(f"{self.there} there already")
        if self.changed:
            facts.append(f"{self.changed} had changed")
        if self.failed:
            facts.append(f"{self.failed} failed")
        return facts


@click.command(epilog=_EPILOG)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@filter_options
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Images at most.  [default: all]")
@click.option(
    "--concurrency",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    metavar="N",
    help="Images to download at a time.",
)
@click.option(
    "--max-size",
    type=click.IntRange(1, 4096),
    default=64,
    show_default=True,
    metavar="MiB",
    help="Refuse an image that is larger.",
)
@click.option(
    "--manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="List the images in FILE, as lines of JSON, and verify those that are there.",
)
@source_options
@renamed("--max-items", "--limit")
@renamed("--at-once", "--concurrency")
@click.option("--verbose", "-v", is_flag=True, help="Show the library's log on stderr.")
@click.pass_context
def download(
    ctx: click.Context,
    *,
    source: Source,
    filters: Filters,
    directory: Path,
    limit: int | None,
    concurrency: int,
    max_size: int,
    manifest: Path | None,
    verbose: bool,
) -> None:
    """Download the images of the account's tasks into DIRECTORY, newest first."""
    stats = DownloadStats()
    listed = Manifest(manifest) if manifest else None
    retry_for = RETRY_FOR if source.retry_for is None else source.retry_for

    async def run() -> None:
        with listed or nullcontext(), show_progress(stats, verbose=verbose) as progress:
            async with source.client() as client, aclosing(_wanted(client, filters, limit)) as tasks:
                saving = _Saving(
                    client, tasks, directory, listed, max_size * 2**20, retry_for, stats, progress
                )
                await saving.run(concurrency)

    try:
        asyncio.run(run())
    finally:
        click.echo(f"{stats} (demo)" if source.demo else stats, err=True)
    if stats.failed:
        ctx.exit(ExitCode.FAILED)


async def _wanted(client: AsyncClient, filters: Filters, limit: int | None) -> AsyncGenerator[ImageTask]:
    """Choose the tasks that have an image, and are wanted."""
    left = limit
    async with aclosing(client.iter_history_pages(exact=True)) as pages:
        async for page in pages:
            for task in filters.choose(task for task in page.items if task.image_url):
                yield task
                left = left and left - 1
                if left == 0:
                    return


@attrs.define
class _Saving:
    """Downloads images, several at a time, none of which waits for another."""

    client: AsyncClient
    tasks: AsyncGenerator[ImageTask]
    directory: Path
    manifest: Manifest | None
    max_bytes: int
    retry_for: int
    stats: DownloadStats
    progress: Progress
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    over: bool = False

    async def run(self, concurrency: int) -> None:
        """Download all of them, and report those that fail.

        Raises:
            ApimallError: the history cannot be read on; those that had begun were finished.
            OSError: files cannot be written.

        """
        results = await asyncio.gather(*[self._work() for _ in range(concurrency)], return_exceptions=True)
        for error in filter(None, results):
            raise error

    async def _work(self) -> None:
        try:
            while task := await self._next():
                await self._save(task)
        finally:
            self.over = True  # also for the others, if it was an error

    async def _next(self) -> ImageTask | None:
        async with self.lock:
            return None if self.over else await anext(self.tasks, None)

    async def _save(self, task: ImageTask) -> None:
        try:
            new = await self._download(task)
        except (ApimallError, FileExistsError) as error:  # the latter: a link is in the way of this image
            self.stats.failed += 1
            reason = error.strerror if isinstance(error, FileExistsError) else describe(error)
            self._report(task, reason)
            return
        if new:
            self.stats.new += 1
        else:
            self.stats.there += 1
        self.progress.update()

    async def _download(self, task: ImageTask) -> bool:
        """Download an image, unless it is there and has not changed; return whether it is new."""
        path, new = await self._try(task)
        if not self.manifest:
            return new
        entry = await asyncio.to_thread(Entry.of, task.task_id, path)
        known = self.manifest.get(task.task_id)
        if known and not new and not entry.holds_the_same(known):
            self.stats.changed += 1
            self._report(task, "the file has changed since it was downloaded: downloading it again")
            path, new = await self._try(task, overwrite=True)
            entry = await asyncio.to_thread(Entry.of, task.task_id, path)
        if new or not known or known.file != entry.file:
            self.manifest.add(entry)
        return new

    async def _try(self, task: ImageTask, *, overwrite: bool = False) -> tuple[Path, bool]:
        """Let the client download it; try again what may succeed later: it goes on where it broke off."""
        received = False

        def add(size: int) -> None:
            nonlocal received
            received = True
            self.stats.size += size
            self.progress.update()

        waits = iter(_WAITS)
        while True:
            try:
                path = await self.client.download(
                    task, self.directory, max_bytes=self.max_bytes, on_bytes=add, overwrite=overwrite
                )
            except APIError as error:
                wait = max(next(waits, math.inf), getattr(error, "retry_after", None) or 0.0)
                if not error.retryable or wait > self.retry_for:
                    raise
                wait *= random.uniform(1, 1.25)  # noqa: S311
                fields = {"wait": wait, "error": str(error)}
                _logger.info("retry of an image in %.0f s: %s", wait, error.message, extra=fields)
            else:
                return path, received
            await asyncio.sleep(wait)

    def _report(self, task: ImageTask, what: str | None) -> None:
        with self.progress.paused(for_stderr=True):
            click.echo(f"apimall: {printable_line(f'{task.task_id}: {what}')}", err=True)
