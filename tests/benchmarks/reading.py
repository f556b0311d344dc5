"""Reading a history: time, memory, imports. Each section prints a table, and returns its targets."""

from collections.abc import Mapping
from typing import Any

from measuring import Series, in_rounds, measure, measure_together, progress, series
from report import Target, say, table
from servers import Gateway, gateway


TASKS = 20_000  # 400 full pages, and the empty one that tells the end

CONTESTANTS: Mapping[str, dict[str, Any]] = {
    "floor: aiohttp + orjson to dicts": {"contestant": "floor"},
    "hand-written: aiohttp + cattrs + backoff": {"contestant": "handwritten"},
    "Stainless base client (openai)": {"contestant": "stainless"},
    "ours": {"contestant": "ours"},
    "ours, exact": {"contestant": "ours", "exact": True},
    "ours, read_ahead=8": {"contestant": "ours", "read_ahead": 8},
    "ours, read_ahead=16": {"contestant": "ours", "read_ahead": 16},
    "ours, read_ahead=32": {"contestant": "ours", "read_ahead": 32},
}
FLOOR, HANDWRITTEN, STAINLESS, OURS, EXACT, *_ = CONTESTANTS


def read(*, quick: bool) -> list[Target]:
    """Read 20 000 tasks from a gateway without latency or limits."""
    rounds = 3 if quick else 13
    with gateway(TASKS) as server:
        requests = {name: _requests(server, options) for name, options in CONTESTANTS.items()}
        results = in_rounds(rounds, _runs(server, CONTESTANTS))
    cpu, wall, peak, grown = (
        {name: series(results[name], what) for name in CONTESTANTS}
        for what in ("cpu", "wall", "peak", "grown")
    )
    say(f"## Reading {TASKS:,} tasks\n")
    say(
        f"{rounds} rounds, each contestant in a fresh process. CPU is the client's alone. Ratios are to"
        " the floor's, of the medians and of the minima. Noise is the interquartile range of the"
        " CPU seconds, as a share of their median. Grown is the peak less what the imports took.\n"
    )
    table(
        ["", "requests", "CPU s", "min", "ratio", "of minima", "noise", "wall s", "min", "peak MiB", "grown"],
        [
            [
                name,
                f"{requests[name]}",
                f"{cpu[name].median:.3f}",
                f"{cpu[name].least:.3f}",
                f"{cpu[name].median / cpu[FLOOR].median:.2f}",
                f"{cpu[name].least / cpu[FLOOR].least:.2f}",
                f"{cpu[name].noise:.0%}",
                f"{wall[name].median:.3f}",
                f"{wall[name].least:.3f}",
                f"{peak[name].median:.1f}",
                f"{grown[name].median:.1f}",
            ]
            for name in CONTESTANTS
        ],
    )
    to_floor = _ratios(cpu[OURS], cpu[FLOOR])
    to_handwritten = _ratios(cpu[OURS], cpu[HANDWRITTEN])
    of_stainless = _ratios(cpu[STAINLESS], cpu[OURS])
    extra = requests[EXACT] / requests[OURS]
    return [
        Target("CPU, ours / floor", "≤ 1.25", _both(to_floor), max(to_floor) <= 1.25),
        Target("CPU, ours / floor", "≤ 1.15", _both(to_floor), max(to_floor) <= 1.15),
        Target("CPU, ours / floor (aim)", "≤ 1.05", _both(to_floor), max(to_floor) <= 1.05),
        Target("CPU, ours / hand-written", "≤ 1", _both(to_handwritten), max(to_handwritten) <= 1),
        Target("CPU, Stainless / ours", "≥ 6", _both(of_stainless), min(of_stainless) >= 6),
        Target("requests, exact / plain", "≤ 1.27", f"{extra:.3f}", extra <= 1.27),
    ]


def _runs(
    server: Gateway, contestants: Mapping[str, dict[str, Any]]
) -> dict[str, tuple[str, dict[str, Any]]]:
    return {name: ("read", {**options, **server.address}) for name, options in contestants.items()}


def _requests(server: Gateway, options: Mapping[str, Any]) -> int:
    """Count what one reading takes; warms the gateway up, too."""
    server.answers()
    measure("read", **options, **server.address)
    return len(server.answers())


def _ratios(ours: Series, theirs: Series) -> tuple[float, float]:
    return ours.median / theirs.median, ours.least / theirs.least


def _both(ratios: tuple[float, float]) -> str:
    return f"{ratios[0]:.2f} (minima {ratios[1]:.2f})"


def latency(*, quick: bool) -> list[Target]:
    """Read from a gateway that takes 20 ms for each answer."""
    names = [name for name in CONTESTANTS if name not in {HANDWRITTEN, STAINLESS, EXACT}]
    rounds = 1 if quick else 2
    with gateway(TASKS, latency=0.02) as server:
        runs = _runs(server, {name: CONTESTANTS[name] for name in names})
        results = in_rounds(rounds, runs)
    wall = {name: series(results[name], "wall") for name in names}
    say(f"## Reading {TASKS:,} tasks, each answer 20 ms late\n")
    table(
        ["", "wall s", "min", "times faster", "of minima"],
        [
            [
                name,
                f"{wall[name].median:.2f}",
                f"{wall[name].least:.2f}",
                f"{wall[FLOOR].median / wall[name].median:.1f}",
                f"{wall[FLOOR].least / wall[name].least:.1f}",
            ]
            for name in names
        ],
    )
    faster16, faster32 = (wall[FLOOR].median / wall[f"ours, read_ahead={ahead}"].median for ahead in (16, 32))
    return [
        Target("20 ms latency, read_ahead=16 / floor", "≥ 7 x", f"{faster16:.1f} x", faster16 >= 7),
        Target("20 ms latency, read_ahead=32 / floor", "≥ 10 x", f"{faster32:.1f} x", faster32 >= 10),
    ]


def memory(*, quick: bool) -> list[Target]:
    """Compare the peaks of reading a short and a long history."""
    many = 200_000 if quick else 1_000_000
    names = (OURS, "ours, read_ahead=16")
    peaks: dict[str, list[float]] = {name: [] for name in names}
    for tasks in (TASKS, many):
        progress(f"memory: {tasks:,} tasks")
        with gateway(tasks) as server:
            runs = _runs(server, {name: CONTESTANTS[name] for name in names})
            for name, result in zip(names, measure_together(list(runs.values())), strict=True):
                assert result["tasks"] == tasks
                peaks[name].append(result["peak"])
    say("## Memory\n")
    table(
        ["peak of the process", f"{TASKS:,} tasks", f"{many:,} tasks", "more"],
        [
            [name, f"{least:.1f} MiB", f"{most:.1f} MiB", f"{most - least:.1f} MiB"]
            for name, (least, most) in peaks.items()
        ],
    )
    more = max(most - least for least, most in peaks.values())
    return [Target(f"peak at {many:,} tasks", "≤ 8 MiB more", f"{more:.1f} MiB", more <= 8)]


_DEPENDENCIES = ["aiohttp", "attrs", "backoff", "cattrs", "msgspec"]


def imports(*, quick: bool) -> list[Target]:
    """Import the package, and its dependencies alone."""
    runs = {
        "its dependencies": ("import_modules", {"names": _DEPENDENCIES}),
        "apimall_async": ("import_modules", {"names": ["apimall_async"]}),
    }
    results = in_rounds(5 if quick else 21, runs)
    wall = {name: series(results[name], "wall") for name in runs}
    cpu = {name: series(results[name], "cpu") for name in runs}
    say("## Import, in fresh interpreters\n")
    table(
        ["", "wall ms", "min", "CPU ms", "min", "noise"],
        [
            [
                name,
                f"{wall[name].median * 1e3:.0f}",
                f"{wall[name].least * 1e3:.0f}",
                f"{cpu[name].median * 1e3:.0f}",
                f"{cpu[name].least * 1e3:.0f}",
                f"{cpu[name].noise:.0%}",
            ]
            for name in runs
        ],
    )
    ratios = _ratios(wall["apimall_async"], wall["its dependencies"])
    return [Target("import / of dependencies", "≤ 1.3", _both(ratios), max(ratios) <= 1.3)]


def loop(*, quick: bool) -> list[Target]:
    """See how long the event loop is held at once."""
    names = (FLOOR, OURS, "ours, read_ahead=16", STAINLESS)
    rounds = 1 if quick else 3
    with gateway(TASKS) as server:
        alone = measure("structure", **server.address)
        runs = {name: ("hold", {**CONTESTANTS[name], **server.address}) for name in names}
        results = in_rounds(rounds, runs)
    held = {name: {what: series(results[name], what).median for what in results[name][0]} for name in names}
    say("## How long the event loop is held at once\n")
    say(
        "Milliseconds of the thread's CPU: of one callback, and of all callbacks between two turns of a"
        ' task that does nothing else. One page in ten takes longer than "p90". The collector of'
        " garbage runs, but need not look at what the imports left. The median of"
        f" {rounds} rounds.\n"
    )
    table(
        ["", "callback p90", "longest", "gap p90", "longest"],
        [
            ["one page structured, alone", f"{alone['p90']:.2f}", f"{alone['longest']:.2f}", "", ""],
            *([name, *(f"{value:.2f}" for value in values.values())] for name, values in held.items()),
        ],
    )
    found = []
    for name in (OURS, "ours, read_ahead=16"):
        for what, kind in (("callback", "one callback"), ("gap", "gap that another task sees")):
            longest = held[name][what]
            wanted = f"≤ {alone['longest']:.2f} ms"
            target = f"{name}: longest {kind}, to one page's structuring"
            found.append(Target(target, wanted, f"{longest:.2f} ms", longest <= alone["longest"]))
    return found
