"""A page or a task as HTML for notebooks, which run whatever markup an output holds.

So what the gateway sends becomes escaped text, or the URL of an image, and nothing else. Notebooks have
themes: colours are inherited. They style each cell of every table, too: so each is styled here again.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Protocol


MAX_ROWS = 50
"""Tasks that a table shows; a page by the contract has no more."""

_MAX_TEXT = 200  # characters of one field
_WEB_URL = re.compile(r"https?://[^\s/\\?#@]+([/?#]\S*)?", re.IGNORECASE | re.ASCII)  # without a login

_NO_MATH = "tex2jax_ignore mathjax_ignore"  # Jupyter typesets $…$ in outputs, and its links can be scripts
_TABLE = "width:auto;margin:0;border:0;border-collapse:collapse;table-layout:auto;font-size:13px"
_RULED = "padding:5px 10px 5px 0;border:solid #8884;border-width:1px 0 0"  # on white and on black alike
_CELL = f"{_RULED};text-align:left"
_NUMBER = f"{_RULED};text-align:right"
_NAME = f"{_CELL};vertical-align:top;font-weight:400;opacity:.7;white-space:nowrap"
_VALUE = f"{_CELL};overflow-wrap:anywhere"
_TASK = "min-width:9em;max-width:26em;overflow-wrap:anywhere"
_STATUS = "min-width:7em;max-width:26em;overflow-wrap:anywhere"
_MINOR = "opacity:.7;font-size:12px"
_CAPTION = f"caption-side:top;padding:0 0 5px;color:inherit;text-align:left;{_MINOR}"
_DOTS = {"completed": "#2f9e44", "failed": "#e03131"}
_UNDER_WAY = "#f08c00"
_IMAGE = "flex:none;margin:0;border-radius:6px;object-fit:cover;background:#8882"
_NO_IMAGE = '<div style="width:46px;height:46px;border-radius:6px;border:1px dashed #8888"></div>'


class _Task(Protocol):
    """What is shown of a task. It is _models.ImageTask, which imports this module."""

    @property
    def task_id(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def status(self) -> str: ...
    @property
    def credits_used(self) -> int: ...
    @property
    def image_url(self) -> str | None: ...
    @property
    def credits_refunded(self) -> int | None: ...
    @property
    def completed_at(self) -> datetime | None: ...


def page_table(page: int, tasks: Sequence[_Task]) -> str:
    """Show a page as a table, a task a row, with thumbnails."""
    heads = {"image": _CELL, "task": _CELL, "status": _CELL, "credits": _NUMBER}
    head = "".join([f'<th scope="col" style="{style}">{name}</th>' for name, style in heads.items()])
    rows = [head, *map(_row, tasks[:MAX_ROWS])]
    if len(tasks) > MAX_ROWS:
        rows.append(f'<td colspan="4" style="{_CELL}">… and {len(tasks) - MAX_ROWS} more</td>')
    return (
        f'<div class="{_NO_MATH}" style="overflow-x:auto"><table style="{_TABLE}">'
        f'<caption style="{_CAPTION}">page {_text(page)}: {_summary(tasks)}</caption>'
        f"<tbody>{''.join([f'<tr>{row}</tr>' for row in rows])}</tbody></table></div>"
    )


def task_card(task: _Task) -> str:
    """Show all of a task beside its image."""
    fields = {
        "task_id": _text(task.task_id),
        "status": _status(task.status),
        "model": _text(task.model),
        "source": _text(task.source),
        "created_at": _moment(task.created_at),
        "completed_at": _moment(task.completed_at),
        "credits_used": _text(task.credits_used),
        "credits_refunded": _text(task.credits_refunded),
        "image_url": _text(task.image_url),
    }
    rows = [
        f'<tr><th scope="row" style="{_NAME}">{name}</th><td style="{_VALUE}">{value}</td></tr>'
        for name, value in fields.items()
    ]
    image = _image(task.image_url, 160)
    return (
        f'<div class="{_NO_MATH}" style="display:flex;flex-wrap:wrap;gap:8px 16px">{image}'
        f'<table style="{_TABLE};flex:1 1 18em;max-width:45em"><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _row(task: _Task) -> str:
    spent = _text(task.credits_used)
    if task.credits_refunded:
        spent += f'<div style="{_MINOR}">{_text(task.credits_refunded)} refunded</div>'
    return (
        f'<td style="{_CELL}">{_image(task.image_url, 48) or _NO_IMAGE}</td>'
        f'<td style="{_CELL}"><div style="{_TASK}"><span style="font-family:monospace">{_text(task.task_id)}'
        f'</span><div style="{_MINOR}">{_text(task.model)} · {_text(task.source)}</div></div></td>'
        f'<td style="{_CELL}"><div style="{_STATUS}">{_status(task.status)}'
        f'<div style="{_MINOR}">{_moment(task.created_at)}</div></div></td>'
        f'<td style="{_NUMBER}">{spent}</td>'
    )


def _summary(tasks: Sequence[_Task]) -> str:
    used = sum(task.credits_used for task in tasks)
    refunded = sum(task.credits_refunded or 0 for task in tasks)
    count = f"{len(tasks)} task{'s' * (len(tasks) != 1)}"
    return f"{count}, {used} credits" + (f", {refunded} refunded" if refunded else "")


def _image(url: str | None, size: int) -> str:
    if not url or not _WEB_URL.fullmatch(url):
        return ""
    return (
        f'<img src="{escape(url)}" alt="" width="{size}" height="{size}" loading="lazy" '
        f'referrerpolicy="no-referrer" style="width:{size}px;height:{size}px;{_IMAGE}">'
    )


def _status(status: str) -> str:
    colour = _DOTS.get(status, _UNDER_WAY)
    return f'<span aria-hidden="true" style="color:{colour}">●</span>&nbsp;{_text(status)}'


def _moment(moment: datetime | None) -> str:
    return _text(moment and f"{moment:%Y-%m-%d %H:%M:%S\N{NO-BREAK SPACE}%Z}")


def _text(value: object) -> str:
    text = str(value)
    return escape(text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…")
