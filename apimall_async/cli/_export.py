"""``apimall export``: the whole history into a file, in one run or in several."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from importlib.util import find_spec
from pathlib import Path

import attrs
import click

from apimall_async import ApimallError, AsyncClient, HistoryPage, PaginationError
from apimall_async.cli._files import KINDS, Kind
from apimall_async.cli._part import Part, open_part
from apimall_async.cli._progress import Totals, showing
from apimall_async.cli._source import Source, source_options
from apimall_async.cli._text import clean, count


_LIMIT = 50  # tasks a page
_ATTEMPTS = 5  # times that the place to go on from is looked for, while the history moves

_EPILOG = """\b
Examples:
  apimall export tasks.jsonl
  apimall export tasks.parquet --read-ahead 16
  apimall export tasks.csv --resume

What was read is kept in FILE.part until FILE is whole. So a run may end at any time, in any way, and
--resume goes on: FILE then holds every task once, newest first, those born meanwhile too. A task read
before stays as it was then.

csv is what "apimall history" writes. parquet has times in UTC to the microsecond, and needs
pip install 'apimall-async[parquet]'.

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
    help="Pages to request ahead.",
)
@source_options
@click.option("--verbose", "-v", is_flag=True, help="Show the library's log on stderr.")
def export(
    *, source: Source, file: Path, resume: bool, overwrite: bool, read_ahead: int, verbose: bool
) -> None:
    """Write all tasks of the account to FILE: .jsonl, .csv or .parquet, by its name.

    The history is walked exactly: no task is missed if others are born or deleted during the read.
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on, --overwrite begins anew: choose one")
    target = _Target(file, _find_kind(file), replace=resume or overwrite)
    if file.exists() and not target.replace:
        raise click.UsageError(f"{_name(file)} exists: --overwrite replaces it")
    if file.exists() and resume and not target.part.exists():
        click.echo(f"{_name(file)} is whole already", err=True)
        return
    totals = Totals()
    with open_part(target.part) as part:
        if overwrite:
            part.clear()
        elif len(part) and not resume:
            raise click.UsageError(f"{_name(target.part)} is of an unfinished run: --resume or --overwrite")
        try:
            asyncio.run(_export(source, target, part, read_ahead, totals, verbose=verbose))
        except BaseException:
            if len(part):
                kept = count(len(part), "task")
                click.echo(f"{kept} kept in {_name(target.part)}: go on with --resume", err=True)
            raise
        click.echo(f"{_name(file)}: {count(len(part), 'task')}, {count(totals.pages, 'page')} read", err=True)


async def _export(
    source: Source, target: "_Target", part: Part, read_ahead: int, totals: Totals, *, verbose: bool
) -> None:
    with showing(totals, verbose=verbose) as progress:

        def note(page: HistoryPage) -> None:
            totals.add(len(page.items), [])
            progress.update()

        async with source.client() as client:
            await _Reading(client, part, read_ahead, note).complete()
        _logger.info("writing %s", _name(target.file))
        await target.write(part)


def _find_kind(file: Path) -> Callable[[Path], Kind]:
    suffix = file.suffix.lower()
    if suffix not in KINDS:
        raise click.UsageError(f"FILE must end in {', '.join(KINDS)}")
    if suffix == ".parquet" and not find_spec("pyarrow"):
        raise click.UsageError("parquet needs an extra: pip install 'apimall-async[parquet]'")
    return KINDS[suffix]


def _name(path: Path) -> str:
    return clean(path.name)


@attrs.define
class _Reading:
    """Reads what a part lacks: what was born since, and what was not reached.

    A part is one stretch of the history, without a gap, from what was the head to some place. That rests
    on two things. Exact walks leave no gap between two pages. And what is put in front of a part gets
    there only when it is known to reach down to it, in one change with all the rest of it. So a run that
    is ended again while it reads what was born loses that, and nothing else; an interval of unread tasks
    in the middle, and the bookkeeping for it, never comes to be.
    """

    client: AsyncClient
    part: Part
    read_ahead: int
    note: Callable[[HistoryPage], None]
    limit: int = _LIMIT
    """Tasks a page; less once the gateway has echoed less."""

    async def complete(self) -> None:
        """Read until the part reaches from the head of the history to its end.

        Raises:
            PaginationError: the history moves too fast to find the place where to go on.

        """
        for _ in range(_ATTEMPTS):
            if len(self.part):
                await self._read_births()
            if await self._read_rest():
                return
        raise PaginationError("the history moved on too fast: no page shows what was read before")

    async def _read_births(self) -> None:
        """Read from the head to the first task that the part holds, whichever of them is still there."""
        first = self.part.first
        with self.part.transaction():
            async with aclosing(self._pages(1)) as pages:
                async for page in pages:
                    if self.part.prepend(page.items, first):
                        return
            # Another account's history must not be mixed with this one's.
            raise ApimallError(
                "no task that was read before is in this history; if the account is the same, use --overwrite"
            )

    async def _read_rest(self) -> bool:
        """Read from where the part ends to where the history ends; False if its end cannot be found.

        Any known task on a page proves the place, because the walk leaves no gap after that page. Where
        nothing changed at depth, the end is found at once. Where tasks were deleted it has moved up: step
        back, twice as far each time, at last to the head; all that is known is then passed over.
        """
        back = 0
        while True:
            page = max(1, (len(self.part) - 1) // self.limit + 1 - back)
            if await self._read_from(page):
                return True
            if page == 1:
                return False
            back = 2 * back or 1

    async def _read_from(self, start_page: int) -> bool:
        """Read from a page on that shows a known task, to the end; False if this page shows none."""
        placed = not len(self.part)
        async with aclosing(self._pages(start_page)) as pages:
            async for page in pages:
                tasks = page.items if placed else self.part.from_known(page.items)
                if not tasks:
                    return False
                self.part.append(tasks)
                placed = True
        return placed

    async def _pages(self, start_page: int) -> AsyncGenerator[HistoryPage]:
        pages = self.client.iter_history_pages(
            limit=self.limit, start_page=start_page, exact=True, read_ahead=self.read_ahead
        )
        first = True
        async with aclosing(pages):
            async for page in pages:
                if first:  # the others are of sizes that the exact walk chooses
                    self.limit, first = page.limit, False
                self.note(page)
                yield page


@attrs.frozen
class _Target:
    """The file that is wanted, and those beside it on the way."""

    file: Path
    kind: Callable[[Path], Kind]
    replace: bool
    """Whether a file that is there may go."""

    @property
    def part(self) -> Path:
        """Where what was read is kept meanwhile."""
        return self.file.with_name(f"{self.file.name}.part")

    @property
    def draft(self) -> Path:
        """What the file is called until it is whole. Whoever has the part open may write it."""
        return self.file.with_name(f"{self.file.name}.part.tmp")

    async def write(self, part: Part) -> None:
        """Make the file of the part.

        Raises:
            OSError: it cannot be written, or one has appeared that must not be replaced.

        """
        self.draft.unlink(missing_ok=True)  # of a run that was killed; or a link, which must not be followed
        try:
            with closing(self.kind(self.draft)) as out:
                for lines in part.batches():
                    out.write(lines)
                    await asyncio.sleep(0)  # to be interrupted here
            self._put_in_place()
            part.finished = True
        finally:
            self.draft.unlink(missing_ok=True)

    def _put_in_place(self) -> None:
        with self.draft.open("rb+") as draft:
            os.fsync(draft.fileno())
        if self.file.exists() and not self.replace:
            raise FileExistsError(f"{_name(self.file)} has appeared meanwhile: it was not replaced")
        self.draft.replace(self.file)
