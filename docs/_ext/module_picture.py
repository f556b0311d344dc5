"""Draw the modules of the package, and list them, from their imports and docstrings as they are now.

The picture has rows: in the first, what uses the package's public names; then the package itself; then
each module below the lowest of those that import it. An arrow that goes down past other rows is given a
lane of its own in each of them, beside the boxes, so that no arrow runs through a box.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


PACKAGE = Path(__file__).parent.parent.parent / "apimall_async"
BOX, LANE, GAP, HEIGHT, ROW, ARC = 112, 10, 16, 32, 78, 26  # pixels
_SWEEPS = 12  # times that the rows are ordered, and moved, by what they are joined to
Graph = Mapping[str, frozenset[str]]


class Spot(NamedTuple):
    """What a row holds: the box of a module; or a lane, for the arrows that go past to that module."""

    unit: str
    row: int
    lane: bool = False


class Picture(NamedTuple):
    """The rows, the middle of each spot, and which spots are joined, from the top down."""

    levels: list[list[Spot]]
    xs: dict[Spot, float]
    joins: list[tuple[Spot, Spot]]


def read_graph() -> dict[str, frozenset[str]]:
    """List for each module, or subpackage, which others it imports; the façade has the package's name."""
    files = {path: _unit(path) for path in PACKAGE.rglob("*.py") if path.name != "__main__.py"}
    units = set(files.values())
    graph: dict[str, set[str]] = {unit: set() for unit in units}
    for path, unit in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                top, *inner = node.module.split(".")
                target = inner[0] if inner else top
                if top == PACKAGE.name and target != unit:
                    graph[unit].add(target)
    return {unit: frozenset(graph[unit]) for unit in sorted(graph)}


def _unit(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return PACKAGE.name if first == "__init__" else first


def _behind(graph: Graph, unit: str) -> frozenset[str]:
    """All that a module imports, directly or not."""
    return graph[unit].union(*(_behind(graph, target) for target in graph[unit]))


def reduce(graph: Graph) -> dict[str, frozenset[str]]:
    """Leave out the arrows that follow from others."""
    return {
        unit: targets - frozenset[str]().union(*(_behind(graph, target) for target in targets))
        for unit, targets in graph.items()
    }


def rows(graph: Graph) -> list[list[str]]:
    """Sort the modules into rows. Those that import the façade stand side by side in the first."""
    outer = {unit for unit in graph if PACKAGE.name in _behind(graph, unit)}

    def depth(unit: str) -> int:
        above = [depth(one) + 1 for one in graph if unit in graph[one]]
        return max(above, default=0)

    def row(unit: str) -> int:
        if unit in outer:
            return 0
        return max([row(one) + 1 for one in graph if unit in graph[one]], default=1)

    chosen = {unit: row(unit) for unit in graph}
    levels = [[unit for unit in graph if chosen[unit] == level] for level in range(max(chosen.values()) + 1)]
    return [sorted(levels[0], key=depth), *levels[1:]]


def lay_out(graph: Graph) -> Picture:
    """Choose the position of each box and lane, so that arrows are short and cross little."""
    levels = [[Spot(unit, row) for unit in level] for row, level in enumerate(rows(graph))]
    boxes = {spot.unit: spot for level in levels for spot in level}
    joins = sorted({join for unit in graph for target in graph[unit] for join in _joins(boxes, unit, target)})
    for spot in sorted({spot for join in joins for spot in join if spot.lane}):
        levels[spot.row].append(spot)
    joined: dict[Spot, list[Spot]] = {spot: [] for level in levels for spot in level}
    for start, end in joins:
        joined[start].append(end)
        joined[end].append(start)
    order = {spot: float(index) for level in levels for index, spot in enumerate(level)}
    for sweep in range(_SWEEPS):
        for level in levels[1:] if sweep % 2 else levels[:0:-1]:
            level.sort(key=lambda spot: fmean([order[one] for one in joined[spot]] or [order[spot]]))
            order |= {spot: index - len(level) / 2 for index, spot in enumerate(level)}
    width = max(map(_length, levels))
    xs = {spot: x for level in levels for spot, x in zip(level, _packed(level), strict=True)}
    for _ in range(_SWEEPS):
        for level in levels:
            wanted = [fmean([xs[one] for one in joined[spot]] or [xs[spot]]) for spot in level]
            xs |= zip(level, _moved(level, wanted, width), strict=True)
    return Picture(levels, xs, joins)


def _joins(boxes: Mapping[str, Spot], unit: str, target: str) -> Iterable[tuple[Spot, Spot]]:
    """Lead an arrow past the rows between. Arrows to the same module share its lanes."""
    start, end = boxes[unit], boxes[target]
    lanes = [Spot(target, row, lane=True) for row in range(start.row + 1, end.row)]
    return zip([start, *lanes], [*lanes, end], strict=True)


def _packed(level: Sequence[Spot]) -> list[float]:
    """The middles of the spots of a row, if it began at the left edge, and had no room to spare."""
    widths = [LANE if spot.lane else BOX for spot in level]
    ends = accumulate(width + GAP for width in widths)
    return [end - GAP - width / 2 for width, end in zip(widths, ends, strict=True)]


def _length(level: Sequence[Spot]) -> float:
    return sum((LANE if spot.lane else BOX) + GAP for spot in level) - GAP


def _moved(level: Sequence[Spot], wanted: Sequence[float], width: float) -> list[float]:
    """Move each spot as near as can be to where it is wanted, in this order and without an overlap."""
    packed = _packed(level)
    runs: list[list[float]] = []  # of spots that touch: the shifts that they want
    for want, least in zip(wanted, packed, strict=True):
        runs.append([want - least])
        while len(runs) > 1 and fmean(runs[-2]) >= fmean(runs[-1]):
            runs[-2:] = [runs[-2] + runs[-1]]
    room = width - _length(level)
    shifts = [min(max(0.0, fmean(run)), room) for run in runs for _ in run]
    return [least + shift for least, shift in zip(packed, shifts, strict=True)]


def draw(graph: Graph) -> str:
    """Draw the picture as SVG."""
    picture = lay_out(graph)
    arrows = [_arrow(picture, start, end) for start, end in picture.joins]
    top = -ARC if any(_between(picture, *join) for join in picture.joins) else -1
    boxes = [_box(spot, x) for spot, x in picture.xs.items() if not spot.lane]
    width = max(map(_length, picture.levels))
    height = max(_top(spot) for spot in picture.xs) + HEIGHT
    return (
        f'<svg viewBox="-1 {top} {width + 2:.0f} {height - top + 1:.0f}" role="img" '
        'aria-label="The modules, with arrows to what they import"><defs><marker id="tip" '
        'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z"/></marker></defs>{"".join(arrows + boxes)}</svg>'
    )


def _top(spot: Spot) -> float:
    return float(spot.row * ROW)


def _arrow(picture: Picture, start: Spot, end: Spot) -> str:
    x1, x2, y1, y2 = picture.xs[start], picture.xs[end], _top(start), _top(end)
    tip = "" if end.lane else ' marker-end="url(#tip)"'
    if start.row == end.row:
        return f'<path d="{_sideways(picture, start, end)}"{tip}/>'
    lane = f"M{x1:.1f} {y1:.1f}L{x1:.1f} {y1 + HEIGHT:.1f}" if start.lane else f"M{x1:.1f} {y1 + HEIGHT:.1f}"
    bend = (y2 - y1 - HEIGHT) / 2
    stop = y2 if end.lane else y2 - 2
    curve = f"C{x1:.1f} {y1 + HEIGHT + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {stop:.1f}"
    return f'<path d="{lane}{curve}"{tip}/>'


def _sideways(picture: Picture, start: Spot, end: Spot) -> str:
    """Point straight at a neighbour, and at any other over what is between."""
    x1, x2, y = picture.xs[start], picture.xs[end], _top(start)
    if _between(picture, start, end):
        return f"M{x1:.1f} {y:.1f}C{x1:.1f} {y - ARC:.1f} {x2:.1f} {y - ARC:.1f} {x2:.1f} {y - 2:.1f}"
    side = BOX / 2 if x1 < x2 else -BOX / 2
    return f"M{x1 + side:.1f} {y + HEIGHT / 2:.1f}L{x2 - side * 1.03:.1f} {y + HEIGHT / 2:.1f}"


def _between(picture: Picture, start: Spot, end: Spot) -> bool:
    """Whether they are in one row, and not neighbours."""
    left, right = sorted([picture.xs[start], picture.xs[end]])
    return start.row == end.row and any(
        spot.row == start.row and left < x < right for spot, x in picture.xs.items()
    )


def _box(spot: Spot, x: float) -> str:
    y = _top(spot)
    return (
        f'<rect x="{x - BOX / 2:.1f}" y="{y:.1f}" width="{BOX}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{x:.1f}" y="{y + 21:.1f}">{escape(spot.unit)}</text>'
    )


def _purpose(unit: str) -> str:
    """Say what a module is for: its docstring's first sentences."""
    path = PACKAGE / unit / "__init__.py"
    if unit == PACKAGE.name:
        path = PACKAGE / "__init__.py"
    elif not path.exists():
        path = PACKAGE / f"{unit}.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0].replace("\n", " ")


class Drawing(SphinxDirective):
    """``{module-picture}``: the drawing, and beside it what the directive holds."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        self.env.note_dependency(str(PACKAGE))
        svg = nodes.raw("", f'<div class="drawing">{draw(reduce(read_graph()))}</div>', format="html")
        text = nodes.container("", *self.parse_content_to_nodes())
        return [nodes.container("", svg, text, classes=["module-picture"])]


class Table(SphinxDirective):
    """``{module-table}``: each module, what it is for, and what it imports."""

    heads: ClassVar = ["module", "what it is for", "imports"]

    def run(self) -> list[nodes.Node]:
        """List them, from the outermost in."""
        graph = read_graph()
        lines = ["| " + " | ".join(self.heads) + " |", "|---|---|---|"]
        for unit in [unit for row in rows(reduce(graph)) for unit in row]:
            imports = ", ".join(f"`{target}`" for target in sorted(graph[unit]))
            lines.append(f"| `{unit}` | {_purpose(unit)} | {imports or 'nothing'} |")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    app.add_directive("module-picture", Drawing)
    app.add_directive("module-table", Table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
