"""What comes out: Markdown, so that it can be pasted into docs/performance.md."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from callgrind import find_valgrind
from servers import find_nginx


class Target(NamedTuple):
    """One of the numbers asked for."""

    what: str
    wanted: str
    measured: str
    met: bool | None
    """None: not measured."""


def write(text: str = "") -> None:
    """Write to stdout at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; all but the first column hold numbers."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    write(_row(heads, widths))
    write(_row(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], widths))
    for row in rows:
        write(_row(row, widths))
    write()


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "| " + " | ".join(padded) + " |"


def targets(all_targets: Sequence[Target]) -> None:
    """Print which targets were met."""
    verdicts = {True: "yes", False: "**NO**", None: "not measured"}
    write("## Targets\n")
    table(
        ["target", "wanted", "measured", "met?"],
        [[t.what, t.wanted, t.measured, verdicts[t.met]] for t in all_targets],
    )


def machine(command: str) -> None:
    """Print what was measured, with what, and on what."""
    packages = ("apimall-async", "aiohttp", "msgspec", "orjson", "cattrs", "attrs", "backoff", "openai")
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    write("# Benchmarks\n")
    write(f"- `{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    write(f"- {platform.platform()}, {_processor()}, {os.cpu_count()} cores, load {load} at the start")
    write(f"- {platform.python_implementation()} {platform.python_version()}; {versions}")
    write(f"- {_nginx()}; {_valgrind()}\n")


def _version(package: str) -> str:
    names = (package, f"python-{package}")
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _nginx() -> str:
    program = find_nginx()
    if not program:
        return "no nginx"
    written = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    return written.stderr.strip().removeprefix("nginx version: ")


def _valgrind() -> str:
    program = find_valgrind()
    if not program:
        return "no valgrind"
    return subprocess.check_output([program, "--version"], text=True).strip()
