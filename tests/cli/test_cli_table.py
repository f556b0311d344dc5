"""The table on terminals of several widths."""

import re
from collections.abc import Callable
from typing import TextIO

import attrs
import pytest
from rich.cells import cell_len

from apimall_async import ImageTask
from apimall_async.cli._table import Table
from apimall_async.testing import sample_history


TASKS = sample_history(60, seed=3)
LONG = attrs.evolve(TASKS[-1], model="m" * 40, status="s" * 30, image_url="https://x/" + "i" * 200)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, terminal: Callable[[], TextIO]) -> Callable[..., list[str]]:
    """Make the lines of a table of so many columns, without colors and links."""

    def lines(width: int, *pages: list[ImageTask]) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        table = Table(terminal())
        text = "".join([*[table.page(page) for page in pages], table.end()])
        return ESCAPES.sub("", text).splitlines()

    return lines


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (20, "task"),
        (50, "task created"),
        (80, "task created status model"),
        (100, "task created status model credits refunded"),
        (140, "task created status model credits refunded image"),
    ],
)
def test_columns_are_those_the_terminal_has_room_for(
    lines: Callable[..., list[str]], width: int, titles: str
) -> None:
    """No row is wider than the terminal, but for ids, which are never cut."""
    title, *rows = lines(width, TASKS[:49], [LONG])
    assert title.split() == titles.split()
    assert max(cell_len(row) for row in rows) <= max(width, 30)
    assert [row[:30] for row in rows] == [task.task_id for task in [*TASKS[:49], LONG]]


def test_columns_stay_from_page_to_page(lines: Callable[..., list[str]]) -> None:
    """Titles come once, and later pages keep the widths of the first, whatever they hold."""
    title, *rows = lines(100, TASKS[:30], [], [*TASKS[30:59], LONG])
    assert len(rows) == 60
    assert {row[30:32] + row[48:50] for row in rows} == {" " * 4}
    credits_end = title.index("credits") + len("credits")
    assert [row[:credits_end].split()[-1] for row in rows] == [
        str(task.credits_used) for task in [*TASKS[:59], LONG]
    ]


def test_long_ids_stick_out(lines: Callable[..., list[str]]) -> None:
    """An id of another form is shown whole: it is there to be copied."""
    task = attrs.evolve(TASKS[0], task_id="img_" + "x" * 90)
    assert task.task_id in lines(80, [task])[1]


def test_wide_characters_keep_the_columns(lines: Callable[..., list[str]]) -> None:
    """Cells are counted as the terminal does: some characters take two."""
    wide = attrs.evolve(TASKS[0], model="模型模型")
    title, first, second = lines(100, [wide, attrs.evolve(wide, model="m")])
    assert cell_len(first.rstrip()) == cell_len(second.rstrip()) == title.index("  refunded")


@pytest.mark.parametrize(("colors", "escapes"), [("", True), ("1", False)])
def test_status_has_a_color_unless_none_is_wanted(
    terminal: Callable[[], TextIO], monkeypatch: pytest.MonkeyPatch, colors: str, escapes: bool
) -> None:
    """NO_COLOR is honoured."""
    monkeypatch.setenv("NO_COLOR", colors)
    monkeypatch.setenv("COLUMNS", "80")
    completed = next(task for task in TASKS if task.status == "completed")
    assert ("\x1b[32mcompleted" in Table(terminal()).page([completed])) is escapes


@pytest.mark.parametrize(
    ("url", "linked"),
    [("https://x/y.webp", True), ("javascript:alert(1)", False), ("file:///etc/passwd", False)],
)
def test_only_web_addresses_are_links(
    terminal: Callable[[], TextIO], monkeypatch: pytest.MonkeyPatch, url: str, linked: bool
) -> None:
    """A terminal opens nothing else on a click."""
    monkeypatch.setenv("COLUMNS", "140")
    text = Table(terminal()).page([attrs.evolve(TASKS[0], image_url=url)])
    assert ("\x1b]8;" in text) is linked
    assert url in text
