"""``apimall history``: the tasks of the account, as a table or for another program."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import attrs
import click

from apimall_async import HistoryPage, ImageTask
from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async.cli._filters import Filters, filter_options
from apimall_async.cli._formats import FORMATS
from apimall_async.cli._progress import ReadStats, show_progress
from apimall_async.cli._renamed import renamed
from apimall_async.cli._source import Source, source_options


_EPILOG = """\b
Examples:
  apimall history --demo
  apimall history --limit 20
  apimall history --status failed --since 2026-03-01
  apimall history --exact --read-ahead 4 --format csv > history.csv
  apimall history --format jsonl | jq -r .image_url

The table shows local time and the columns that the terminal has room for; written to a file or a pipe,
all of them, uncut. json, jsonl and csv have every field under the API's names, and times in UTC; fields
that this version does not know are in the column "extra" of csv, as JSON. In csv, text that a spreadsheet
would take for a formula gets an apostrophe in front. Characters that could steer a terminal are escaped in
json and jsonl, and replaced elsewhere.

See "apimall --help" for the API key and the exit codes.
"""


@attrs.frozen(kw_only=True)
class _Iteration:
    """How to iterate over the history: what ``iter_history_pages`` takes."""

    page_size: int
    start_page: int
    exact: bool
    read_ahead: int


@click.command(epilog=_EPILOG)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Rows at most.  [default: all]")
@click.option(
    "--page",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="The page to start with.",
)
@click.option(
    "--page-size",
    type=click.IntRange(1, MAX_PAGE_SIZE),
    default=MAX_PAGE_SIZE,
    show_default=True,
    metavar="N",
    help=f"Tasks a page, 1 to {MAX_PAGE_SIZE}. More is faster.",
)
@filter_options
@click.option(
    "--format",
    "-f",
    "form",
    type=click.Choice(list(FORMATS)),
    default="table",
    show_default=True,
    help="All are written page by page; json is one array.",
)
@click.option("--exact", is_flag=True, help="Miss no task even if others are deleted during the read.")
@click.option(
    "--read-ahead",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    metavar="N",
    help="Pages to prefetch. Faster; implies --exact.",
)
@source_options
@renamed("--max-items", "--limit")
@click.option("--verbose", "-v", is_flag=True, help="Show the library's log on stderr.")
def history(
    *,
    source: Source,
    filters: Filters,
    limit: int | None,
    page: int,
    page_size: int,
    exact: bool,
    read_ahead: int,
    form: str,
    verbose: bool,
) -> None:
    """Show the account's image tasks."""
    iteration = _Iteration(page_size=page_size, start_page=page, exact=exact, read_ahead=read_ahead)
    stats = ReadStats()
    asyncio.run(_show(_Reader(source, iteration, filters, limit), form, stats, verbose=verbose))
    click.echo(f"{stats} (demo)" if source.demo else stats, err=True)


@attrs.frozen
class _Reader:
    source: Source
    iteration: _Iteration
    filters: Filters
    limit: int | None

    async def pages(self) -> AsyncGenerator[tuple[HistoryPage, list[ImageTask]]]:
        """Yield pages, and of each the tasks that are wanted."""
        left = sys.maxsize if self.limit is None else self.limit
        # Nobody knows how much must be read to find so many that match.
        enough = None if self.filters else self.limit
        async with (
            self.source.client() as client,
            aclosing(client.iter_history_pages(max_items=enough, **attrs.asdict(self.iteration))) as pages,
        ):
            async for page in pages:
                tasks = self.filters.choose(page.items)[:left]
                left -= len(tasks)
                yield page, tasks
                if not left:
                    return


async def _show(reader: _Reader, form: str, stats: ReadStats, *, verbose: bool) -> None:
    out = sys.stdout
    rows = FORMATS[form](out)
    with show_progress(stats, verbose=verbose) as progress:
        async with aclosing(reader.pages()) as pages:
            async for page, tasks in pages:
                stats.add(len(page.items), tasks)
                with progress.paused():
                    out.write(rows.page(tasks))
                    out.flush()
    out.write(rows.end())
    out.flush()
