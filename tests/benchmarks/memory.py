"""The memory that reading takes, however long the history is."""

from builds import Options
from contestants import AHEAD_16, PLAIN, choose
from measuring import measure_together, progress
from reading import TASKS, runs
from report import Target, table, write
from servers import gateway


def memory(options: Options) -> list[Target]:
    """Compare the peaks of reading a short and a long history."""
    many = 200_000 if options.quick else 1_000_000
    names = (PLAIN, AHEAD_16)
    peaks: dict[str, list[float]] = {name: [] for name in names}
    for tasks in (TASKS, many):
        progress(f"memory: {tasks:,} tasks")
        with gateway(tasks) as server:
            results = measure_together(list(runs(server, choose(names)).values()))
        for name, result in zip(names, results, strict=True):
            assert result["tasks"] == tasks
            peaks[name].append(result["peak"])
    write("## Memory\n")
    table(
        ["peak of the process", f"{TASKS:,} tasks", f"{many:,} tasks", "more"],
        [
            [name, f"{least:.1f} MiB", f"{most:.1f} MiB", f"{most - least:.1f} MiB"]
            for name, (least, most) in peaks.items()
        ],
    )
    more = max(most - least for least, most in peaks.values())
    return [Target(f"peak at {many:,} tasks", "≤ 8 MiB more", f"{more:.1f} MiB", more <= 8)]
