"""What runs under callgrind, in a short and a long part: callgrind.py takes the difference."""

import asyncio
import gc
import importlib
import os
import subprocess
import time
from typing import Any


async def _read_counted(read: Any, url: str, keys: list[str], options: dict[str, Any]) -> None:
    warm_up, *counted = keys
    await read(url, warm_up, **options)
    start()
    for key in counted:
        await read(url, key, **options)
        finish_part()
    stop()


def count_reading(contestant: str, *, url: str, keys: list[str], **options: Any) -> dict[str, Any]:
    """Read the history of the first key to get warm, and count at those of the others."""
    module = importlib.import_module(f"contestants.{contestant}")
    asyncio.run(_read_counted(module.read, url, keys, options))
    return {}


def start() -> None:
    """Count from here on."""
    gc.collect()
    gc.freeze()  # the collector runs while it is counted, but need not look at what the imports left
    _tell("instrumentation", "on")


def finish_part() -> None:
    """Write down what was counted, and count from 0 again."""
    _tell("dump")


def stop() -> None:
    """Count no more: without, this process runs faster."""
    _tell("instrumentation", "off")


def _tell(*command: str) -> None:
    """Hand callgrind, in which this process runs, a command.

    valgrind looks for commands while the process runs. It could be stopped for them instead, by ptrace, which
    many containers forbid.
    """
    command = ("vgdb", f"--pid={os.getpid()}", "--max-invoke-ms=0", *command)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(0.005)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {process.returncode}")
