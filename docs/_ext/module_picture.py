"""Draw the modules of the package, and list them, from their imports and docstrings as they are now."""

import ast
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


PACKAGE = Path(__file__).parent.parent.parent / "apimall_async"
_BOX, _GAP, _HEIGHT, _ROW = 118, 22, 34, 84  # pixels
Graph = Mapping[str, frozenset[str]]


def read_graph() -> dict[str, frozenset[str]]:
    """Tell of each module, or subpackage, which others it imports; the façade bears the package's name."""
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


def _reach(graph: Graph, unit: str) -> frozenset[str]:
    return graph[unit].union(*(_reach(graph, target) for target in graph[unit]))


def reduce(graph: Graph) -> dict[str, frozenset[str]]:
    """Leave out the arrows that others imply."""
    return {
        unit: targets - frozenset[str]().union(*(_reach(graph, target) for target in targets))
        for unit, targets in graph.items()
    }


def rows(graph: Graph) -> list[list[str]]:
    """Sort the modules into rows, each just below the lowest of those that import it."""
    importers = {unit: [one for one in graph if unit in graph[one]] for unit in graph}

    def depth(unit: str) -> int:
        return max([depth(one) + 1 for one in importers[unit]], default=0)

    depths = {unit: depth(unit) for unit in graph}
    return [[unit for unit in graph if depths[unit] == level] for level in range(max(depths.values()) + 1)]


def place(graph: Graph) -> dict[str, tuple[float, float]]:
    """Put each module below the middle of those that import it, as far as its neighbours leave room."""
    levels = rows(graph)
    step = _BOX + _GAP
    width = max(map(len, levels)) * step
    places: dict[str, tuple[float, float]] = {}
    for level, row in enumerate(levels):
        wanted: dict[str, float] = {}
        for unit in row:
            above = [places[one][0] for one in graph if unit in graph[one]]
            wanted[unit] = sum(above) / len(above) if above else width / 2
        row.sort(key=lambda unit, wanted=wanted: wanted[unit])
        xs: list[float] = []
        for unit in row:
            xs.append(max(wanted[unit], xs[-1] + step) if xs else wanted[unit])
        shift = (sum(wanted.values()) - sum(xs)) / len(row)
        shift = min(max(shift, step / 2 - xs[0]), width - step / 2 - xs[-1])
        places |= {unit: (x + shift, level * _ROW + 1.0) for unit, x in zip(row, xs, strict=True)}
    return places


def draw() -> str:
    """Draw the picture as SVG."""
    graph = reduce(read_graph())
    places = place(graph)
    width = max(x for x, _ in places.values()) + (_BOX + _GAP) / 2
    height = max(y for _, y in places.values()) + _HEIGHT + 1
    arrows = [
        _arrow(places[unit], places[target]) for unit, targets in graph.items() for target in sorted(targets)
    ]
    boxes = [_box(unit, *place) for unit, place in places.items()]
    return (
        f'<div class="module-picture"><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        'aria-label="The modules, with arrows to what they import"><defs><marker id="tip" '
        'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z"/></marker></defs>{"".join(arrows + boxes)}</svg></div>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    y1 += _HEIGHT
    bend = min(30.0, (y2 - y1) / 2)
    return (
        f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} '
        f'{x2:.0f} {y2 - 2:.0f}" marker-end="url(#tip)"/>'
    )


def _box(unit: str, x: float, y: float) -> str:
    return (
        f'<rect x="{x - _BOX / 2:.0f}" y="{y:.0f}" width="{_BOX}" height="{_HEIGHT}" rx="5"/>'
        f'<text x="{x:.0f}" y="{y + 22:.0f}">{escape(unit)}</text>'
    )


def _purpose(unit: str) -> str:
    """Say what a module is for: its docstring's first sentences."""
    path = PACKAGE / unit / "__init__.py"
    if unit == PACKAGE.name:
        path = PACKAGE / "__init__.py"
    elif not path.exists():
        path = PACKAGE / f"{unit}.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0].replace("\n", " ")


class Picture(SphinxDirective):
    """``{module-picture}``: the drawing."""

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        self.env.note_dependency(str(PACKAGE))
        return [nodes.raw("", draw(), format="html")]


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
    app.add_directive("module-picture", Picture)
    app.add_directive("module-table", Table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
