"""Which tasks are wanted. The endpoint knows no filter: every page is read, and filtered here."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from typing import TypeVar

import attrs
import click

from apimall_async import ImageTask, TaskStatus


T = TypeVar("T")


@attrs.frozen
class Filters:
    """The values of ``filter_options``. Different ones must all match."""

    statuses: frozenset[str]
    models: frozenset[str]
    since: datetime | None

    def __bool__(self) -> bool:
        return bool(self.statuses or self.models or self.since)

    def choose(self, tasks: Iterable[ImageTask]) -> list[ImageTask]:
        """Keep those that match."""
        return [task for task in tasks if self._matches(task)]

    def _matches(self, task: ImageTask) -> bool:
        # ``since`` only filters. It must not end the iteration at the first older task: newest first is
        # likely, but the contract does not promise it.
        return (
            (not self.statuses or task.status in self.statuses)
            and (not self.models or task.model in self.models)
            and (not self.since or task.created_at >= self.since)
        )


class Moment(click.ParamType[datetime]):
    """A date or a time in ISO 8601; without an offset, local, as the times of the table are."""

    name = "when"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        try:
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no ISO 8601 date or time, such as 2026-03-12", param, ctx)


def filter_options(command: Callable[..., T]) -> Callable[..., T]:
    """Give a subcommand these options; it gets their values as ``filters``."""
    known = ", ".join(TaskStatus)

    @click.option(
        "--status",
        multiple=True,
        metavar="STATUS",
        help=f"Only tasks of this status: {known}, or a newer one. May be repeated.",
    )
    @click.option(
        "--model", multiple=True, metavar="MODEL", help="Only tasks of this model. May be repeated."
    )
    @click.option(
        "--since",
        type=Moment(),
        metavar="WHEN",
        help="Only tasks created at or after this ISO 8601 date or time; local unless it has an offset.",
    )
    @wraps(command)
    def with_filters(
        *, status: tuple[str, ...], model: tuple[str, ...], since: datetime | None, **options: object
    ) -> T:
        filters = Filters(frozenset(status), frozenset(model), since)
        return command(filters=filters, **options)

    return with_filters
