"""Stoplight Prism, from npm."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import npm
import pytest


VERSION = "5.16.0"
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"


def install(folder: Path) -> Path:
    """Install Prism, if it is not there, and return its program."""
    return npm.install(folder, "@stoplight/prism-cli", VERSION) / "dist" / "index.js"


@contextmanager
def running(program: Path, log: Path, command: str, *arguments: str) -> Iterator[str]:
    """Run ``prism mock`` or ``prism proxy`` with the document; yield its URL."""
    with log.open("wb") as output:  # no pipe: it tells of every request, and nobody would read it
        process = subprocess.Popen(
            [npm.NODE, program, command, DOCUMENT, *arguments, "--port", "0"],
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
