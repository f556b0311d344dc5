"""The table: written page by page, in columns that the terminal has room for."""

import os
from collections.abc import Callable, Sequence
from typing import Literal, TextIO

import attrs
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from apimall_async import ImageTask, TaskStatus
from apimall_async._untrusted import printable, web_url
from apimall_async.cli._text import in_local_zone


_GAP = "  "
_STYLES: dict[str, str] = {
    TaskStatus.PENDING: "yellow",
    TaskStatus.PROCESSING: "yellow",
    TaskStatus.COMPLETED: "green",
    TaskStatus.FAILED: "red",
}


@attrs.frozen
class _Column:
    title: str
    least: int
    """Cells wide at least."""
    most: int
    show: Callable[[ImageTask], Text]
    whole: bool = False
    """Longer values stick out, rather than being cut."""
    align: Literal["left", "right"] = "left"

    def width_for(self, rows: Sequence[Text]) -> int:
        """Choose a width, by the first page; the column keeps it."""
        widest = max([cell_len(self.title), *[cell_len(cell.plain) for cell in rows]])
        return max(self.least, min(widest, self.most))

    def fit(self, cell: Text, width: int, *, cut: bool) -> Text:
        if cut and not self.whole:
            cell.truncate(width, overflow="ellipsis")
        missing = max(0, width - cell.cell_len)
        if self.align == "right":
            cell.pad_left(missing)
        else:
            cell.pad_right(missing)
        return cell


def _status(task: ImageTask) -> Text:
    return Text(printable(task.status), _STYLES.get(task.status, ""))


def _created(task: ImageTask) -> Text:
    return Text(f"{in_local_zone(task.created_at):%Y-%m-%d %H:%M}")


def _refunded(task: ImageTask) -> Text:
    return Text(str(task.credits_refunded or ""))


def _image(task: ImageTask) -> Text:
    url = printable(task.image_url or "")
    # A cut URL can be opened all the same, where the terminal knows links.
    return Text(url, Style(link=web_url(url)))


# In the order of what is missed most: a narrow terminal gets the first few.
_COLUMNS = (
    _Column("task", 30, 30, lambda task: Text(printable(task.task_id)), whole=True),
    _Column("created", 16, 16, _created),
    _Column("status", 10, 14, _status),
    _Column("model", 8, 24, lambda task: Text(printable(task.model))),
    _Column("credits", 7, 7, lambda task: Text(str(task.credits_used)), align="right"),
    _Column("refunded", 8, 8, _refunded, align="right"),
    _Column("image", 20, 100, _image),
)


class Table:
    """A table for people. Where there is no terminal, nothing is cut and no column is left out."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._bounded = self._console.is_terminal or "COLUMNS" in os.environ
        self._widths: list[int] = []

    def page(self, tasks: Sequence[ImageTask]) -> str:
        """Lines, after the titles if they are the first."""
        if not tasks:
            return ""
        lines: list[Text] = []
        if not self._widths:
            self._widths = self._lay_out(tasks)
            titles = [Text(column.title, "bold") for column in self._columns]
            lines.append(self._line(titles))
        lines += [self._line([column.show(task) for column in self._columns]) for task in tasks]
        with self._console.capture() as capture:
            self._console.print(Text("\n").join(lines), soft_wrap=True)
        return capture.get()

    def end(self) -> str:
        """Nothing."""
        return ""

    @property
    def _columns(self) -> Sequence[_Column]:
        return _COLUMNS[: len(self._widths)]

    def _lay_out(self, tasks: Sequence[ImageTask]) -> list[int]:
        widths = [column.width_for([column.show(task) for task in tasks]) for column in _COLUMNS]
        if not self._bounded:
            return widths
        left = self._console.width
        chosen: list[int] = []
        for column, width in zip(_COLUMNS, widths, strict=True):
            if chosen and left < column.least:
                break
            chosen.append(min(width, max(left, column.least)))
            left -= chosen[-1] + len(_GAP)
        return chosen

    def _line(self, cells: Sequence[Text]) -> Text:
        fitted = [
            column.fit(cell, width, cut=self._bounded)
            for column, cell, width in zip(self._columns, cells, self._widths, strict=True)
        ]
        line = Text(_GAP).join(fitted)
        line.rstrip()
        return line
