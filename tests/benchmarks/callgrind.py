"""Instructions, counted by valgrind's callgrind.

Unlike seconds they repeat, on a busy machine, too. They say nothing of caches, nor of waiting.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import measure


_SAME = {"PYTHONHASHSEED": "0"}  # so that dicts and sets of texts are laid out alike each time


def find_valgrind() -> str | None:
    """Where valgrind is, if vgdb is there, too."""
    return shutil.which("valgrind") if shutil.which("vgdb") else None


def count_difference(task: str, **options: Any) -> int:
    """Count what the second part of a task in counting.py takes more than its first.

    Counting begins after a warm-up, switched on from inside. The difference leaves out what happens once
    in each part: making a client, connecting, the empty last page, switching. What is left repeats within
    0.1 %, under load and with several requests under way, too. The difference of two whole processes
    repeats as well, but takes three times as long, most of it to count what they import.
    """
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        measure(task, under=_callgrind(counts, "--instr-atstart=no"), env=_SAME, **options)
        first, second = (_total(Path(f"{counts}.{part}")) for part in (1, 2))
    return second - first


def count_program(program: str) -> int:
    """Count a whole process that runs a Python program."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        command = [*_callgrind(counts), sys.executable, "-c", program]
        subprocess.run(command, env=os.environ | _SAME, check=True)
        return _total(counts)


def _callgrind(counts: Path, *options: str) -> list[str]:
    valgrind = find_valgrind()
    assert valgrind
    return [valgrind, "--quiet", "--tool=callgrind", f"--callgrind-out-file={counts}", *options]


def _total(counts: Path) -> int:
    with counts.open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(("summary:", "totals:")))
