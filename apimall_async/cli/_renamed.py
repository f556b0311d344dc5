"""Options that had another name in version 0.1."""

from collections.abc import Callable
from typing import Any

import click


def renamed(old: str, new: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Refuse an option's old name, and name the new one."""

    def refuse(_: click.Context, __: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise click.UsageError(f"{old} is now {new}")

    return click.option(old, hidden=True, is_eager=True, expose_value=False, callback=refuse)
