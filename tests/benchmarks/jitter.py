"""Prefetching where each response takes another time, as responses do."""

from builds import Options
from contestants import AHEAD_8, AHEAD_16, AHEAD_32, CONTESTANTS, choose
from measuring import Result, Run, Series, in_rounds, measure
from reading import TASKS, runs
from report import Target, table, write
from servers import gateway


WANTED = {  # mean latency in seconds, sigma of its logarithm: times the ideal, at most
    (0.06, 0.5): {AHEAD_8: None, AHEAD_16: 1.25, AHEAD_32: 1.5},
    (0.02, 0.0): {AHEAD_8: None, AHEAD_16: None, AHEAD_32: 1.1},
}


def jitter(options: Options) -> list[Target]:
    """Read 20 000 tasks, and compare with as many requests where none ever waits for another."""
    targets: list[Target] = []
    rows: list[list[str]] = []
    for (mean, sigma), wanted in WANTED.items():
        latency = f"{1_000 * mean:.0f} ms, " + (f"sigma {sigma}" if sigma else "steady")
        for name, most in wanted.items():
            in_flight = CONTESTANTS[name]["read_ahead"] + 1
            with gateway(TASKS, jitter=[mean, sigma]) as server:
                contestants = runs(server, choose([name], options.against))
                bare = {"contestant": "floor", "workers": in_flight, "seconds": 60.0, **server.address}
                contestants[f"bare aiohttp, {in_flight} in flight"] = ("under_limit", bare)
                measure("under_limit", **bare)  # warms the gateway up
                for contestant, run in contestants.items():
                    server.responses()
                    seconds = _seconds(1 if options.quick else 3, contestant, run)
                    requests = len(server.responses()) / len(seconds.values)
                    ideal = requests * mean / in_flight
                    ratio = seconds.median / ideal
                    figures = f"{ideal:.2f}", f"{seconds.median:.2f}", f"{ratio:.2f}"
                    rows.append([latency, contestant, f"{requests:.0f}", *figures])
                    if most and contestant == name:
                        what = f"{latency}, {name}: times the ideal"
                        targets.append(Target(what, f"≤ {most}", f"{ratio:.2f}", ratio <= most))
    write(f"## Reading {TASKS:,} tasks, with even and with uneven latency\n")
    write("The ideal: as many requests of this latency, one more than are prefetched always in flight.\n")
    table(["latency", "", "requests", "ideal s", "wall s", "ratio"], rows)
    return targets


def _seconds(rounds: int, name: str, run: Run) -> Series:
    return Series([_wall(result) for result in in_rounds(rounds, {name: run})[name]])


def _wall(result: Result) -> float:
    wall: float = result.get("wall") or result["seconds"]
    return wall
