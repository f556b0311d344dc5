"""The picture of the modules in docs/architecture.md: no arrow runs through a box, and nothing is cut off."""

import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st


pytestmark = pytest.mark.docs

pytest.importorskip("sphinx", reason="the dependency group `docs` is not installed")
sys.path.append(str(Path(__file__).parent.parent / "docs" / "_ext"))
picture: Any = import_module("module_picture")

FACADE = picture.PACKAGE.name
UNITS = ["alpha", "beta", "gamma", FACADE, *(f"_{number}" for number in range(10))]
Graph = Mapping[str, frozenset[str]]
Point = tuple[float, float]


class Box(NamedTuple):
    """A rectangle of the drawing."""

    left: float
    top: float
    right: float
    bottom: float

    def holds(self, point: Point) -> bool:
        """Whether a point is inside, and not on the edge."""
        return self.left < point[0] < self.right and self.top < point[1] < self.bottom


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Make imports without a cycle: a module imports only those behind it in the list."""
    numbers = range(len(UNITS))
    pairs = st.sampled_from([(one, other) for one in numbers for other in numbers if one < other])
    joins = draw(st.sets(pairs, max_size=30))
    return {
        unit: frozenset(UNITS[other] for one, other in joins if one == number)
        for number, unit in enumerate(UNITS)
    }


def boxes(svg: str) -> list[Box]:
    """Read the boxes."""
    found = re.findall(r'<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)"', svg)
    sizes = [tuple(map(float, one)) for one in found]
    return [Box(x, y, x + width, y + height) for x, y, width, height in sizes]


def arrows(svg: str) -> Iterator[list[Point]]:
    """Read the lines and curves, each as many points."""
    for path in re.findall(r'<path d="(M[^"]+)"(?: marker|/>)', svg.partition("</defs>")[2]):
        points: list[Point] = []
        for command, text in re.findall(r"([MLC])([^MLC]+)", path):
            numbers = list(map(float, text.split()))
            stops = list(zip(numbers[::2], numbers[1::2], strict=True))
            points += stops if command == "M" else curve([points[-1], *stops])
        yield points


def curve(stops: list[Point]) -> list[Point]:
    """Follow a Bézier curve, or a line, in a hundred steps (de Casteljau)."""
    followed: list[Point] = []
    for step in range(101):
        points = stops
        while len(points) > 1:
            points = [
                (x1 + (x2 - x1) * step / 100, y1 + (y2 - y1) * step / 100)
                for (x1, y1), (x2, y2) in pairwise(points)
            ]
        followed += points
    return followed


def check(graph: Graph) -> None:
    """Check one drawing."""
    svg = picture.draw(picture.reduce(graph))
    rectangles = boxes(svg)
    left, top, width, height = map(float, re.findall(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', svg)[0])
    frame = Box(left, top, left + width, top + height)
    assert len(rectangles) == len(graph)
    assert len(set(rectangles)) == len(rectangles)
    for arrow in arrows(svg):
        assert all(frame.holds(point) for point in arrow)
        assert [box for box in rectangles for point in arrow if box.holds(point)] == []


def test_no_arrow_runs_through_a_box() -> None:
    """In the picture of the modules as they are now."""
    check(picture.read_graph())


@given(graphs())
def test_no_arrow_runs_through_a_box_whatever_is_imported(graph: Graph) -> None:
    """In the picture of any other modules."""
    check(graph)


@given(graphs())
def test_every_import_is_shown(graph: Graph) -> None:
    """Each arrow leads to its module, along the lanes beside the boxes between, and there is no other."""
    reduced = picture.reduce(graph)
    after: dict[Any, set[Any]] = {}
    for start, end in picture.lay_out(reduced).joins:
        after.setdefault(start, set()).add(end)

    def ends(spot: Any) -> set[str]:
        return {spot.unit} if not spot.lane else set().union(*map(ends, after[spot]))

    shown = {unit: frozenset[str]() for unit in graph}
    for start, stops in after.items():
        if not start.lane:
            shown[start.unit] = frozenset().union(*map(ends, stops))
    assert shown == reduced


@given(graphs())
def test_what_uses_the_package_stands_side_by_side(graph: Graph) -> None:
    """The first row holds what imports the façade, directly or not, and nothing else."""
    first, *others = picture.rows(picture.reduce(graph))
    for unit in UNITS[:3]:
        reached, new = {unit}, set(graph[unit])
        while new:
            reached |= new
            new = {target for one in new for target in graph[one]} - reached
        assert (unit in first) == (FACADE in reached)
    assert FACADE in [unit for row in others for unit in row]
