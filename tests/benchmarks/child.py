"""One measurement in a fresh process: ``child.py TASK OPTIONS-AS-JSON`` prints its result as JSON.

Where several children start together, each writes "ready" and waits for a line on stdin.
"""

import asyncio
import gc
import importlib
import itertools
import json
import logging
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import counting
import decoding


def _memory(name: str) -> float:
    """MiB of this process's VmRSS or VmHWM (its peak); where there is no /proc, the peak for both.

    On Linux ru_maxrss is no use: it starts with what the parent had when it forked.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 2**10


def read(contestant: str, **options: Any) -> dict[str, float]:
    """Read a whole history; return seconds and MiB."""
    module = importlib.import_module(f"contestants.{contestant}")
    imported = _memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    tasks = asyncio.run(module.read(**options))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = _memory("VmHWM")
    return {"tasks": tasks, "cpu": cpu, "wall": wall, "peak": peak, "grown": peak - imported}


def under_limit(contestant: str, *, seconds: float, **options: Any) -> dict[str, Any]:
    """Read a history against a rate limit, but no longer than so many seconds."""
    module = importlib.import_module(f"contestants.{contestant}")
    progress = {"pages": 0, "tasks": 0}
    read = _fan_out if hasattr(module, "connect") else _iterate
    ended = "read"

    async def run() -> None:
        async with asyncio.timeout(seconds):
            await read(module, progress, **options)

    started = time.perf_counter()
    try:
        asyncio.run(run())
    except TimeoutError:
        ended = "out of time"
    except Exception as error:  # noqa: BLE001 - some contestants give up, which is a result
        ended = type(error).__name__
    return {"seconds": time.perf_counter() - started, "ended": ended, **progress}


async def _fan_out(
    module: Any, progress: dict[str, int], *, workers: int, url: str, key: str, **options: Any
) -> None:
    """Have so many workers fetch page after page until one is short."""
    numbers = itertools.count(1)
    over = False

    async def work(fetch: Callable[[int], Awaitable[list[Any]]]) -> None:
        nonlocal over
        while not over:
            items = await fetch(next(numbers))
            progress["pages"] += 1
            progress["tasks"] += len(items)
            if len(items) < 50:
                over = True

    async with module.connect(url, key, **options) as fetch:
        await asyncio.gather(*[work(fetch) for _ in range(workers)])


async def _iterate(module: Any, progress: dict[str, int], *, workers: int, **options: Any) -> None:
    """Iterate with so many pages read ahead; what was seen is in the log record at the end."""

    def note(record: logging.LogRecord) -> bool:
        if record.msg.startswith(("iteration ended", "walk ended")):  # the latter: 0.1.0
            stats: Any = record.args[0]  # type: ignore[index]
            progress.update(pages=stats.pages, tasks=stats.tasks)
        return False

    logger = logging.getLogger("apimall_async")
    logger.setLevel(logging.DEBUG)
    logger.addFilter(note)
    await module.read(read_ahead=workers, **options)


def hold(contestant: str, **options: Any) -> dict[str, float]:
    """Read a history while another task looks how long it does not get its turn.

    Milliseconds of this thread's own CPU, which other processes do not disturb: of single callbacks,
    and of all that ran between two turns of the other task.
    """
    module = importlib.import_module(f"contestants.{contestant}")
    callbacks: list[float] = []
    gaps: list[float] = []
    run_callback = asyncio.Handle._run

    def run_timed(handle: asyncio.Handle) -> None:
        start = time.thread_time()
        run_callback(handle)
        callbacks.append((time.thread_time() - start) * 1e3)

    async def tick() -> None:
        now = time.thread_time()
        while True:
            await asyncio.sleep(0)
            before, now = now, time.thread_time()
            gaps.append((now - before) * 1e3)

    async def run() -> None:
        await module.read(**options)  # what happens only once, at first
        gc.collect()
        gc.freeze()  # a full collection of all that was imported takes 10 ms, whoever sets it off
        asyncio.Handle._run = run_timed  # type: ignore[method-assign, assignment]
        await module.read(**options)
        asyncio.Handle._run = run_callback  # type: ignore[method-assign]
        ticker = asyncio.create_task(tick())
        await module.read(**options)
        ticker.cancel()

    asyncio.run(run())
    # Most callbacks and turns do next to nothing. One in ten of the 400 pages took longer than this:
    return {
        "callback_p90": sorted(callbacks)[-40],
        "callback": max(callbacks),
        "gap_p90": sorted(gaps)[-40],
        "gap": max(gaps),
    }


def import_modules(names: list[str]) -> dict[str, float]:
    """Import modules; return seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    for name in names:
        importlib.import_module(name)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "read": read,
    "under_limit": under_limit,
    "hold": hold,
    "structure": decoding.structure,
    "import_modules": import_modules,
    "count_reading": counting.count_reading,
    "count_decoding": decoding.count_decoding,
}


def main() -> None:
    """Get ready, wait for the start, measure, report."""
    task, options = TASKS[sys.argv[1]], json.loads(sys.argv[2])
    if path := options.pop("path", None):  # another build than the one under test
        sys.path.insert(0, path)
    if "contestant" in options:
        importlib.import_module(f"contestants.{options['contestant']}")
    _send("ready")
    sys.stdin.readline()
    _send(json.dumps(task(**options)))


def _send(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
