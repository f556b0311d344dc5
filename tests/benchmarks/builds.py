"""Another build of apimall_async, installed beside the one under test."""

import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Build(NamedTuple):
    """A build in a folder of its own: children find it there first, and what it needs where ours does."""

    version: str
    path: str

    def name(self, ours: str) -> str:
        """Name the contestant that does with this build what ``ours`` does with that under test."""
        return f"{self.version}{ours.removeprefix('ours')}"


class Options(NamedTuple):
    """What the sections are told by the command line."""

    quick: bool
    against: Build | None


@contextmanager
def installed(build: str | None) -> Iterator[Build | None]:
    """Install a wheel, or a version from the package index; nothing for None."""
    if build is None:
        yield None
        return
    requirement = str(Path(build).resolve()) if Path(build).exists() else f"apimall-async=={build}"
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--no-deps", "--target", folder, requirement], check=True)
        (found,) = importlib.metadata.distributions(path=[folder])
        yield Build(found.version, folder)
