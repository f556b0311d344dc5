"""Reading behind real rate limiters, of which nothing but the limit is configured."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from builds import Options
from measuring import measure, measure_together, progress
from report import Target, table, write


sys.path.append(str(Path(__file__).parents[1] / "outside"))
import real_limiters
from programs import find


REQUESTS, WINDOW = 100, 5
WANTED: Mapping[str, tuple[float, float]] = {  # used at least, refused at most
    "express-rate-limit": (0.93, 0.01),
    "express-rate-limit draft-6": (0.93, 0.01),
    "express-rate-limit draft-8": (0.93, 0.01),
    "fastify": (0.93, 0.01),
    "fastify ban": (0.93, 0.01),
    "fastify exponentialBackoff": (0.93, 0.01),
    "rate-limiter-flexible": (0.88, 0.05),
    "slowapi": (0.88, 0.05),
    "Flask-Limiter": (0.88, 0.05),
    "Flask-Limiter moving-window": (0.85, 0.04),
    "fastapi-limiter": (0.85, 0.04),
    "Django REST framework": (0.86, 0.02),
    "nginx 503": (0.90, 0.02),
    "nginx 429": (0.97, 0.02),
    "haproxy": (0.85, 0.03),
}
TOGETHER = ("slowapi", "fastapi-limiter", "nginx 503")  # with four processes


class Packages(NamedTuple):
    """Where the limiters are installed."""

    folder: Path
    python: str


class Run(NamedTuple):
    """One reading."""

    used: float
    refused: float
    ended: str
    least_share: float = 1.0


def limiters(options: Options) -> list[Target]:
    """Read behind real limiters, alone, and four processes together."""
    if not shutil.which("npm"):
        write("npm not found: real limiters skipped (apt-get install npm)\n")
        return [Target("real limiters", "", "npm not found", None)]
    seconds, rounds = (10.0, 1) if options.quick else (40.0, 3)
    builds: dict[str, dict[str, Any]] = {"ours": {}}
    if options.against:
        builds[options.against.version] = {"path": options.against.path}
    names = [name for name in WANTED if find(name.split()[0]) or name not in real_limiters.PROXIES]
    with _installed() as packages:
        alone = {
            (name, build): [_read(name, packages, seconds, how) for _ in range(rounds)]
            for name in names
            for build, how in builds.items()
        }
        together = {
            (name, build): [_read(name, packages, seconds, how, processes=4)]
            for name in TOGETHER
            if name in names
            for build, how in builds.items()
        }
    write(
        f"## Real limiters, {REQUESTS} requests per {WINDOW} s, endless history, 8 at a time;"
        f" {seconds:.0f} s, medians of {rounds}\n"
    )
    _print(alone, builds)
    write(f"## Four processes behind one of them, {seconds:.0f} s\n")
    _print(together, builds)
    return [_target(name, alone[name, "ours"]) for name in names]


@contextmanager
def _installed() -> Iterator[Packages]:
    progress("installing the limiters")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        npm = [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            folder,
        ]
        subprocess.run([*npm, *real_limiters.NPM], check=True)
        venv.create(home / "venv", with_pip=True)
        python = str(home / "venv" / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *real_limiters.PYPI], check=True)
        yield Packages(home, python)


def _read(
    name: str, packages: Packages, seconds: float, how: Mapping[str, Any], *, processes: int = 1
) -> Run:
    progress(f"{name}: {processes} of {json.dumps(how)}")
    with (
        tempfile.TemporaryDirectory() as home,
        real_limiters.running(
            name, REQUESTS, WINDOW, home=Path(home), packages=packages.folder, python=packages.python
        ) as limiter,
    ):
        reading = {"contestant": "ours", "url": limiter.url, "key": "sk-x", "workers": 8, "seconds": seconds}
        reading |= how
        if processes == 1:
            results = [measure("under_limit", **reading)]
        else:
            results = measure_together([("under_limit", reading)] * processes)
        statuses = limiter.statuses()
    pages = [result["pages"] for result in results]
    return Run(
        used=statuses[200] / (REQUESTS * seconds / WINDOW),
        refused=1 - statuses[200] / statuses.total(),
        ended=", ".join(sorted({result["ended"] for result in results})),
        least_share=min(pages) * len(pages) / max(1, sum(pages)),
    )


def _median(runs: list[Run]) -> Run:
    return Run(
        statistics.median(run.used for run in runs),
        statistics.median(run.refused for run in runs),
        ", ".join(sorted({run.ended for run in runs})),
        min(run.least_share for run in runs),
    )


def _print(runs: Mapping[tuple[str, str], list[Run]], builds: Mapping[str, Any]) -> None:
    names = dict.fromkeys(name for name, _ in runs)
    rows = []
    for name in names:
        row = [name]
        for build in builds:
            run = _median(runs[name, build])
            row += [f"{run.used:.0%} / {run.refused:.1%}", f"{run.least_share:.2f}", run.ended]
        rows.append(row)
    heads = [head for build in builds for head in (f"{build}: used / refused", "least share", "ended")]
    table(["", *heads], rows)


def _target(name: str, runs: list[Run]) -> Target:
    least, most = WANTED[name]
    run = _median(runs)
    met = run.used >= least and run.refused <= most
    return Target(name, f"≥ {least:.0%} / ≤ {most:.0%}", f"{run.used:.0%} / {run.refused:.1%}", met)
