"""``apimall export``: the whole history into a file, in one run or in several."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import click

from apimall_async import ApimallError, ImageTask, Page, PaginationError
from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._conversion import Record
from apimall_async._untrusted import printable
from apimall_async.cli._checkpoint import Checkpoint, open_checkpoint
from apimall_async.cli._files import KINDS, File
from apimall_async.cli._overlap import Overlap
from apimall_async.cli._progress import ReadStats, show_progress
from apimall_async.cli._source import Source, source_options
from apimall_async.cli._text import count


_KNOWN = 200  # the last tasks read, one of which has to be found to go on

_EPILOG = """\b
Examples:
  apimall export tasks.jsonl
  apimall export tasks.parquet --read-ahead 16
  apimall export tasks.csv --resume

What was read is kept in FILE.part until FILE is whole. So a run may end at any time, in any way, and
--resume goes on: FILE then holds every task once, newest first, those created meanwhile too. A task
read before stays as it was then.

Fields that this version does not know are kept: in jsonl under their own names, in csv and parquet in
the column "extra", as JSON. csv is what "apimall history" writes. parquet has times in UTC to the
microsecond, and needs pip install 'apimall-async[parquet]'.

See "apimall --help" for the API key and the exit codes.
"""

_logger = logging.getLogger("apimall_async.cli")


@click.command(epilog=_EPILOG)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--resume", is_flag=True, help="Go on where a run ended early; begin if there was none.")
@click.option("--overwrite", is_flag=True, help="Begin anew, and replace FILE when all is read.")
@click.option(
    "--read-ahead",
    type=click.IntRange(0, 64),
    default=8,
    show_default=True,
    metavar="N",
    help="Pages to prefetch.",
)
@source_options
@click.option("--verbose", "-v", is_flag=True, help="Show the library's log on stderr.")
def export(
    *, source: Source, file: Path, resume: bool, overwrite: bool, read_ahead: int, verbose: bool
) -> None:
    """Write all tasks of the account to FILE: .jsonl, .csv or .parquet, by its name.

    The iteration is exact: no task is missed if others are created or deleted during the read.
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on, --overwrite begins anew: choose one")
    target = _Target(file, _find_kind(file), ImageTask, replace=resume or overwrite)
    if file.exists() and not target.replace:
        raise click.UsageError(f"{_name(file)} exists: --overwrite replaces it")
    if file.exists() and resume and not target.part.exists():
        click.echo(f"{_name(file)} is whole already", err=True)
        return
    stats = ReadStats()
    with open_checkpoint(target.part) as checkpoint:
        if overwrite:
            checkpoint.clear()
        elif len(checkpoint) and not resume:
            raise click.UsageError(f"{_name(target.part)} is of an unfinished run: --resume or --overwrite")
        try:
            asyncio.run(_export(source, target, checkpoint, read_ahead, stats, verbose=verbose))
        except BaseException:
            if len(checkpoint):
                kept = count(len(checkpoint), "task")
                click.echo(f"{kept} kept in {_name(target.part)}: go on with --resume", err=True)
            raise
        written = count(len(checkpoint), "task")
        click.echo(f"{_name(file)}: {written}, {count(stats.pages, 'page')} read", err=True)


async def _export(
    source: Source,
    target: "_Target",
    checkpoint: Checkpoint,
    read_ahead: int,
    stats: ReadStats,
    *,
    verbose: bool,
) -> None:
    with show_progress(stats, verbose=verbose) as progress:

        def on_page(page: Page[Any]) -> None:
            stats.add(len(page.items), [])
            progress.update()

        async with source.client() as client:
            await _Reader(client.iter_history_pages, checkpoint, read_ahead, on_page).complete()
        _logger.info("writing %s", _name(target.file))
        await target.write(checkpoint)


def _find_kind(file: Path) -> Callable[[Path, type[Record]], File]:
    suffix = file.suffix.lower()
    if suffix not in KINDS:
        raise click.UsageError(f"FILE must end in {', '.join(KINDS)}")
    if suffix == ".parquet" and not find_spec("pyarrow"):
        raise click.UsageError("parquet needs an extra: pip install 'apimall-async[parquet]'")
    return KINDS[suffix]


def _name(path: Path) -> str:
    return printable(path.name)


@attrs.define
class _Reader:
    """Reads what a checkpoint lacks: what was created since, and what was not reached.

    A checkpoint is one stretch of the list, without a gap, from what was the newest item to some position.
    That rests on two things. Exact iteration leaves no gap between two pages. And what is put in front of a
    checkpoint gets there only when it is known to reach down to it, in one change with all the rest of it.
    So a run that is ended again while it reads new items loses these, and nothing else; an interval of
    unread items in the middle, and the bookkeeping for it, never comes to be.
    """

    iterate_pages: Callable[..., AsyncGenerator[Page[Any]]]
    checkpoint: Checkpoint
    read_ahead: int
    on_page: Callable[[Page[Any]], None]

    async def complete(self) -> None:
        """Read until the checkpoint reaches from the newest item to the end of the list.

        Raises:
            ApimallError: the history cannot be read, or does not go with the checkpoint.

        """
        if len(self.checkpoint):
            await self._read_new()
        last = self.checkpoint.last(_KNOWN)
        start_page = max(1, -(-len(self.checkpoint) // MAX_PAGE_SIZE))
        try:
            await self._read_rest(after=last, start_page=start_page)
        except PaginationError:  # all of the last ones are gone, or they have moved
            if not last:
                raise
            await self._read_rest()

    async def _read_new(self) -> None:
        """Read from the newest item down to the checkpoint, or to what is left of it."""
        first = self.checkpoint.first
        overlap = Overlap(lambda task: self.checkpoint.knows(task, first), self.checkpoint.last(1)[0])
        with self.checkpoint.transaction():
            async with aclosing(self._pages()) as pages:
                async for page in pages:
                    self.checkpoint.prepend(overlap.new(page.items), first)
                    if overlap.reached:
                        return
            if not overlap.begun:
                # Another account's history must not be mixed with this one's.
                raise ApimallError(
                    "no task that was read before is in this history;"
                    " if the account is the same, use --overwrite"
                )

    async def _read_rest(self, **options: Any) -> None:
        """Read from where the checkpoint ends, if ``options`` say where, to where the list ends.

        Else from the newest item on: all that is known is then passed over, and what stands before it.
        """
        found = not len(self.checkpoint) or bool(options)
        async with aclosing(self._pages(**options)) as pages:
            async for page in pages:
                items = page.items if found else self.checkpoint.from_known(page.items)
                self.checkpoint.append(items)
                found |= bool(items)
        if not found:
            raise PaginationError("the history changed too fast: no page shows what was read before")

    async def _pages(self, **options: Any) -> AsyncGenerator[Page[Any]]:
        pages = self.iterate_pages(exact=True, read_ahead=self.read_ahead, **options)
        async with aclosing(pages):
            async for page in pages:
                self.on_page(page)
                yield page


@attrs.frozen
class _Target:
    """The file that is wanted, and those beside it on the way."""

    file: Path
    kind: Callable[[Path, type[Record]], File]
    record: type[Record]
    replace: bool
    """Whether a file that exists may be replaced."""

    @property
    def part(self) -> Path:
        """Where the checkpoint is."""
        return self.file.with_name(f"{self.file.name}.part")

    @property
    def draft(self) -> Path:
        """What the file is called until it is whole. Whoever has the checkpoint open may write it."""
        return self.file.with_name(f"{self.file.name}.part.tmp")

    async def write(self, checkpoint: Checkpoint) -> None:
        """Make the file of what the checkpoint holds.

        Raises:
            OSError: it cannot be written, or one has appeared that must not be replaced.

        """
        self.draft.unlink(missing_ok=True)  # of a run that was killed; or a link, which must not be followed
        try:
            with closing(self.kind(self.draft, self.record)) as out:
                for lines in checkpoint.batches():
                    out.write(lines)
                    await asyncio.sleep(0)  # to be interrupted here
            self._rename_draft()
            checkpoint.finished = True
        finally:
            self.draft.unlink(missing_ok=True)

    def _rename_draft(self) -> None:
        with self.draft.open("rb+") as draft:
            os.fsync(draft.fileno())
        if self.file.exists() and not self.replace:
            raise FileExistsError(f"{_name(self.file)} has appeared meanwhile: it was not replaced")
        self.draft.replace(self.file)
