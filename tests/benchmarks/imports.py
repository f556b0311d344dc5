"""Importing the package: seconds, and instructions."""

import os
import subprocess
import sys

from builds import Build, Options
from callgrind import count_program, find_valgrind
from measuring import Series, in_rounds, progress, series
from report import Target, table, write


_DEPENDENCIES = "its dependencies"
_PACKAGE = "apimall_async"

_LIST = """
import sys
before = set(sys.modules)
import apimall_async
for name in sys.modules:
    top = name.partition(".")[0]
    if name not in before and top != "apimall_async" and top not in sys.stdlib_module_names:
        print(name)
"""


def imports(options: Options) -> list[Target]:
    """Import the package, and its dependencies alone, in fresh interpreters."""
    return [_seconds(options), _instructions(options)]


def _seconds(options: Options) -> Target:
    runs = {name: ("import_modules", {"names": names}) for name, names in _modules(None).items()}
    results = in_rounds(5 if options.quick else 21, runs)
    wall, cpu = ({name: series(results[name], what) for name in runs} for what in ("wall", "cpu"))
    write("## Import, in fresh interpreters\n")
    table(
        ["", "wall ms", "min", "CPU ms", "min", "noise"],
        [
            [
                name,
                f"{wall[name].median * 1e3:.0f}",
                f"{wall[name].least * 1e3:.0f}",
                f"{cpu[name].median * 1e3:.0f}",
                f"{cpu[name].least * 1e3:.0f}",
                f"{cpu[name].noise:.0%}",
            ]
            for name in runs
        ],
    )
    ratio = _most_of(wall[_PACKAGE], wall[_DEPENDENCIES])
    return Target("import / of dependencies", "≤ 1.3", f"{ratio:.2f}", ratio <= 1.3)


def _most_of(ours: Series, theirs: Series) -> float:
    return max(ours.median / theirs.median, ours.least / theirs.least)


def _instructions(options: Options) -> Target:
    what, wanted = "import / of dependencies, instructions", "≤ 1.06"
    if not find_valgrind():
        return Target(what, wanted, "valgrind not found", None)
    builds = {"": None} | ({f"{options.against.version}: ": options.against} if options.against else {})
    empty = count_program("")
    counts: dict[str, int] = {}
    ratios = {}
    for build in builds:
        for name, modules in _modules(builds[build]).items():
            progress(f"instructions of importing {build}{name}")
            counts[build + name] = count_program(_program(modules, builds[build])) - empty
        ratios[build] = counts[build + _PACKAGE] / counts[build + _DEPENDENCIES]
    write("Instructions, in millions, less those of a Python that imports nothing:\n")
    table(["", "instructions"], [[name, f"{count / 1e6:.1f}"] for name, count in counts.items()])
    return Target(what, wanted, f"{ratios['']:.3f}", ratios[""] <= 1.06)


def _modules(build: Build | None) -> dict[str, list[str]]:
    """List what to import: what the package loads of other projects, in that order; and the package."""
    compiled = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # so that nothing is compiled when it is measured
    listed = subprocess.check_output([sys.executable, "-c", _path(build) + _LIST], env=compiled, text=True)
    return {_DEPENDENCIES: listed.split(), _PACKAGE: [_PACKAGE]}


def _program(modules: list[str], build: Build | None) -> str:
    return _path(build) + "".join(f"import {name}\n" for name in modules)


def _path(build: Build | None) -> str:
    return f"import sys; sys.path.insert(0, {build.path!r})\n" if build else ""
