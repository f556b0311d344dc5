"""A page or a task as HTML for notebooks, which run whatever markup an output holds.

So what the gateway sends becomes escaped text, or the URL of an image, and nothing else. Notebooks have
themes: colours are inherited. They style each cell of every table, too: so each is styled here again.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from itertools import islice
from typing import Any

from apimall_async._decoding import wire_fields
from apimall_async._untrusted import web_url


MAX_ROWS = 50
"""Tasks that a table shows; a page by the contract has no more."""

_MAX_TEXT = 200  # characters of one field
_MAX_NAME = 40  # characters of an unknown field's name
_MAX_EXTRA = 50  # unknown fields of one task

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


def page_table(page: int, tasks: Sequence[Any]) -> str:
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


def task_card(task: Any) -> str:
    """Show all fields of a task beside its image, those unknown to this version at the end."""
    known = {field.name: getattr(task, field.name) for field in wire_fields(task.__class__)}
    fields = {name: _value(value) for name, value in known.items()} | {"status": _status(task.status)}
    rows = [_line(name, value) for name, value in fields.items()]
    extra = islice(task.extra.items(), _MAX_EXTRA)
    rows += [_line(_text(name, _MAX_NAME), _text(value)) for name, value in extra]
    if len(task.extra) > _MAX_EXTRA:
        rows.append(_line("…", f"and {len(task.extra) - _MAX_EXTRA} more"))
    image = _image(task.image_url, 160)
    return (
        f'<div class="{_NO_MATH}" style="display:flex;flex-wrap:wrap;gap:8px 16px">{image}'
        f'<table style="{_TABLE};flex:1 1 18em;max-width:45em"><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _line(name: str, value: str) -> str:
    return f'<tr><th scope="row" style="{_NAME}">{name}</th><td style="{_VALUE}">{value}</td></tr>'


def _row(task: Any) -> str:
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


def _summary(tasks: Sequence[Any]) -> str:
    used = sum(task.credits_used for task in tasks)
    refunded = sum(task.credits_refunded or 0 for task in tasks)
    count = f"{len(tasks)} task{'s' * (len(tasks) != 1)}"
    return f"{count}, {used} credits" + (f", {refunded} refunded" if refunded else "")


def _image(url: str | None, size: int) -> str:
    source = web_url(url)
    if not source:
        return ""
    return (
        f'<img src="{escape(source)}" alt="" width="{size}" height="{size}" loading="lazy" '
        f'referrerpolicy="no-referrer" style="width:{size}px;height:{size}px;{_IMAGE}">'
    )


def _status(status: str) -> str:
    colour = _DOTS.get(status, _UNDER_WAY)
    return f'<span aria-hidden="true" style="color:{colour}">●</span>&nbsp;{_text(status)}'


def _value(value: object) -> str:
    return _moment(value) if isinstance(value, datetime) else _text(value)


def _moment(moment: datetime) -> str:
    return _text(f"{moment:%Y-%m-%d %H:%M:%S\N{NO-BREAK SPACE}%Z}")


def _text(value: object, most: int = _MAX_TEXT) -> str:
    text = str(value)
    return escape(text if len(text) <= most else f"{text[:most]}…")
