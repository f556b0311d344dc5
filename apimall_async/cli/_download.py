"""``apimall download``: the images of the account, each as a file of its own."""

import asyncio
import logging
import math
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import attrs
import click

from apimall_async import APIError, ApimallError, AsyncClient, ImageTask
from apimall_async.cli._failures import Ending, describe
from apimall_async.cli._filters import Filters, filter_options
from apimall_async.cli._progress import Progress, showing
from apimall_async.cli._source import Source, source_options
from apimall_async.cli._text import clean_line, count


_WAITS = (0.5, 1.0, 2.0)  # seconds between two tries: one of many images is not worth more patience

_EPILOG = """\b
Examples:
  apimall download images --demo
  apimall download images --status completed --since 2026-03-01
  apimall download images --max-items 20 --at-once 8

Files are named by the tasks' ids; a suffix tells what they hold. What is there already is not asked for
again, so run it again after an interruption or a failure: it goes on, also in the middle of an image if
the image's host allows it. The API key is not sent to that host.

If an image fails, the others are downloaded all the same, and the exit code is 1 in the end.

See "apimall --help" for the API key and the exit codes.
"""

_logger = logging.getLogger("apimall_async.cli")


@attrs.define
class Images:
    """What was downloaded."""

    new: int = 0
    there: int = 0
    failed: int = 0
    size: int = 0
    """Bytes that came, also of images that are not whole."""

    def so_far(self, seconds: float) -> list[str]:
        """Images, bytes, and how fast these came."""
        if not (self.size or self.there or self.failed):
            return []
        return [*self._facts(), f"{self.size / seconds / 1e6:.1f} MB/s"]

    def __str__(self) -> str:
        return ", ".join(self._facts())

    def _facts(self) -> list[str]:
        facts = [count(self.new, "image"), f"{self.size / 1e6:.1f} MB"]
        if self.there:
            facts.append(f"{self.there} there already")
        if self.failed:
            facts.append(f"{self.failed} failed")
        return facts


@click.command(epilog=_EPILOG)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@filter_options
@click.option("--max-items", type=click.IntRange(1), metavar="N", help="Images at most.  [default: all]")
@click.option(
    "--at-once",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    metavar="N",
    help="Images under way at a time.",
)
@click.option(
    "--max-size",
    type=click.IntRange(1, 4096),
    default=64,
    show_default=True,
    metavar="MiB",
    help="Refuse an image that is larger.",
)
@source_options
@click.option("--verbose", "-v", is_flag=True, help="Show the library's log on stderr.")
@click.pass_context
def download(
    ctx: click.Context,
    *,
    source: Source,
    filters: Filters,
    directory: Path,
    max_items: int | None,
    at_once: int,
    max_size: int,
    verbose: bool,
) -> None:
    """Download the images of the account's tasks into DIRECTORY, newest first."""
    images = Images()

    async def run() -> None:
        with showing(images, verbose=verbose) as progress:
            async with source.client() as client, aclosing(_wanted(client, filters, max_items)) as tasks:
                saving = _Saving(
                    client, tasks, directory, max_size * 2**20, source.retry_for, images, progress
                )
                await saving.run(at_once)

    try:
        asyncio.run(run())
    finally:
        click.echo(f"{images} (demo)" if source.demo else images, err=True)
    if images.failed:
        ctx.exit(Ending.FAILED)


async def _wanted(client: AsyncClient, filters: Filters, most: int | None) -> AsyncGenerator[ImageTask]:
    """Choose the tasks that have an image, and are wanted."""
    left = most
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
    max_bytes: int
    retry_for: int
    images: Images
    progress: Progress
    turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    over: bool = False

    async def run(self, at_once: int) -> None:
        """Download all of them, and report those that fail.

        Raises:
            ApimallError: the history cannot be read on; what was under way by then was finished.
            OSError: files cannot be written.

        """
        endings = await asyncio.gather(*[self._work() for _ in range(at_once)], return_exceptions=True)
        for error in filter(None, endings):
            raise error

    async def _work(self) -> None:
        try:
            while task := await self._next():
                await self._save(task)
        finally:
            self.over = True  # also for the others, if it was an error

    async def _next(self) -> ImageTask | None:
        async with self.turn:
            return None if self.over else await anext(self.tasks, None)

    async def _save(self, task: ImageTask) -> None:
        came = False

        def add(size: int) -> None:
            nonlocal came
            came = True
            self.images.size += size
            self.progress.update()

        try:
            await self._patiently(task, add)
        except ApimallError as error:
            self.images.failed += 1
            with self.progress.aside(words=True):
                click.echo(f"apimall: {clean_line(f'{task.task_id}: {describe(error)}')}", err=True)
            return
        if came:
            self.images.new += 1
        else:
            self.images.there += 1
        self.progress.update()

    async def _patiently(self, task: ImageTask, on_bytes: Callable[[int], object]) -> None:
        """Download one, and try again what may succeed later: it goes on where it broke off."""
        waits = iter(_WAITS)
        while True:
            try:
                await self.client.download(task, self.directory, max_bytes=self.max_bytes, on_bytes=on_bytes)
            except APIError as error:
                wait = max(next(waits, math.inf), getattr(error, "retry_after", None) or 0.0)
                if not error.retryable or wait > self.retry_for:
                    raise
                _logger.info("trying an image again in %.1f seconds after: %s", wait, error)
            else:
                return
            await asyncio.sleep(wait * random.uniform(1, 1.25))  # noqa: S311
