"""Simulated iterations over lists of every kind: whether one loses a task in silence."""

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

from builds import Options
from report import Target, table, write


sys.path.append(str(Path(__file__).parent.parent))

from simulation import simulate
from worlds import MOVING, QUIET, WORLDS, draw


_CHANGES = {"quiet": QUIET, "moving": MOVING}
_COLUMNS = ["schedules", "to the end", "error", "warned", "lost, warned", "lost in silence", "twice", "other"]
_MISTAKES = {"skipped silently": "lost in silence", "yielded twice": "twice"}


def schedules(options: Options) -> list[Target]:
    """Run 100 000 schedules, as many of each kind of list."""
    kinds = list(product(WORLDS, _CHANGES))
    each = (2_000 if options.quick else 100_000) // len(kinds)
    write(f"## Exact iteration in {each * len(kinds)} simulated schedules\n")
    jobs = [(*kind, range(begin, min(begin + 100, each))) for begin in range(0, each, 100) for kind in kinds]
    found: dict[tuple[str, str], Counter[str]] = {kind: Counter() for kind in kinds}
    with ProcessPoolExecutor() as pool:
        for (world, changes, _), counts in zip(jobs, pool.map(_run, jobs), strict=True):
            found[world, changes].update(counts)
    table(
        ["", *_COLUMNS],
        [[", ".join(kind), *(str(counts[name]) for name in _COLUMNS)] for kind, counts in found.items()],
    )
    wrong = sum(counts[name] for counts in found.values() for name in (*_MISTAKES.values(), "other"))
    return [Target("schedules in which a task is lost in silence", "0", str(wrong), wrong == 0)]


def _run(job: tuple[str, str, range]) -> Counter[str]:
    world, changes, seeds = job
    counts: Counter[str] = Counter()
    for seed in seeds:
        schedule = draw(seed, _CHANGES[changes], WORLDS[world])
        counts["schedules"] += 1
        try:
            outcome = simulate(schedule)
            counts["to the end"] += outcome.ended
            counts["error"] += outcome.error is not None
            counts["warned"] += bool(outcome.warned)
            counts["lost, warned"] += bool(outcome.missed()) and bool(outcome.warned)
            outcome.check_exact()
            outcome.check_tidy()
        except AssertionError as error:
            kind = next((name for text, name in _MISTAKES.items() if text in str(error)), "other")
            counts[kind] += 1
            write(f"{world}, {changes}, seed {seed}: {error}\n    {schedule}\n")
    return counts
