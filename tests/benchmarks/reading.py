"""Reading a history: the time that it takes. Each section prints a table, and returns its targets."""

from collections.abc import Mapping
from typing import Any

from builds import Options
from contestants import (
    AHEAD_8,
    AHEAD_16,
    AHEAD_32,
    CONTESTANTS,
    EXACT,
    FLOOR,
    HANDWRITTEN,
    PAGES,
    PLAIN,
    STAINLESS,
    choose,
)
from measuring import Run, Series, in_rounds, measure, series
from report import Target, table, write
from servers import Gateway, gateway


TASKS = 20_000  # 400 full pages, and the empty one that ends them


def read(options: Options) -> list[Target]:
    """Read 20 000 tasks from a gateway without latency or limits."""
    rounds = 3 if options.quick else 13
    contestants = choose(CONTESTANTS, options.against)
    with gateway(TASKS) as server:
        requests = {name: _requests(server, contestant) for name, contestant in contestants.items()}
        results = in_rounds(rounds, runs(server, contestants))
    cpu, wall, peak, grown = (
        {name: series(results[name], what) for name in contestants}
        for what in ("cpu", "wall", "peak", "grown")
    )
    write(f"## Reading {TASKS:,} tasks\n")
    write(
        f"{rounds} rounds, each contestant in a fresh process. CPU is the client's alone, without imports."
        " Ratios are to the floor's, of the medians and of the minima. Noise is the interquartile range of"
        " the CPU seconds, as a share of their median. Grown is the peak less what the imports took.\n"
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
            for name in contestants
        ],
    )
    extra = requests[EXACT] / requests[PLAIN]
    of_stainless = _ratios(cpu[STAINLESS], cpu[PLAIN])
    return [
        _at_most("CPU, plain / floor", 1.15, cpu[PLAIN], cpu[FLOOR]),
        _at_most("CPU, plain by pages / floor", 1.18, cpu[PAGES], cpu[FLOOR]),
        _at_most("CPU, plain / hand-written", 1, cpu[PLAIN], cpu[HANDWRITTEN]),
        Target("CPU, Stainless / plain", "≥ 6", _both(of_stainless), min(of_stainless) >= 6),
        Target("requests, exact / plain", "≤ 1.27", f"{extra:.3f}", extra <= 1.27),
    ]


def runs(server: Gateway, contestants: Mapping[str, dict[str, Any]]) -> dict[str, Run]:
    """Have each of the contestants read the server's history."""
    return {name: ("read", {**options, **server.address}) for name, options in contestants.items()}


def _requests(server: Gateway, contestant: Mapping[str, Any]) -> int:
    """Count what one reading takes; warms the gateway up, too."""
    server.responses()
    measure("read", **contestant, **server.address)
    return len(server.responses())


def _at_most(what: str, bound: float, ours: Series, theirs: Series) -> Target:
    """Compare the medians, and the minima: neither may be more."""
    ratios = _ratios(ours, theirs)
    return Target(what, f"≤ {bound}", _both(ratios), max(ratios) <= bound)


def _ratios(ours: Series, theirs: Series) -> tuple[float, float]:
    return ours.median / theirs.median, ours.least / theirs.least


def _both(ratios: tuple[float, float]) -> str:
    return f"{ratios[0]:.2f} (minima {ratios[1]:.2f})"


def latency(options: Options) -> list[Target]:
    """Read from a gateway that takes 20 ms for each response."""
    names = [FLOOR, PLAIN, AHEAD_8, AHEAD_16, AHEAD_32]
    with gateway(TASKS, latency=0.02) as server:
        results = in_rounds(1 if options.quick else 2, runs(server, choose(names)))
    wall = {name: series(results[name], "wall") for name in names}
    write(f"## Reading {TASKS:,} tasks, each response 20 ms late\n")
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
    faster16, faster32 = (wall[FLOOR].median / wall[name].median for name in (AHEAD_16, AHEAD_32))
    return [
        Target("20 ms latency, read_ahead=16 / floor", "≥ 7 x", f"{faster16:.1f} x", faster16 >= 7),
        Target("20 ms latency, read_ahead=32 / floor", "≥ 10 x", f"{faster32:.1f} x", faster32 >= 10),
    ]
