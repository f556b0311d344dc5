"""How long the event loop is held, so that nothing else has its turn."""

from builds import Options
from contestants import AHEAD_16, FLOOR, PLAIN, STAINLESS, choose
from measuring import in_rounds, measure, series
from reading import TASKS
from report import Target, table, write
from servers import gateway


def loop(options: Options) -> list[Target]:
    """See how long the event loop is held at once."""
    names = (FLOOR, PLAIN, AHEAD_16, STAINLESS)
    rounds = 1 if options.quick else 3
    with gateway(TASKS) as server:
        alone = measure("structure", **server.address)
        contestants = choose(names).items()
        runs = {name: ("hold", {**contestant, **server.address}) for name, contestant in contestants}
        results = in_rounds(rounds, runs)
    held = {name: {what: series(results[name], what).median for what in results[name][0]} for name in names}
    write("## How long the event loop is held at once\n")
    write(
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
    for name in (PLAIN, AHEAD_16):
        for what, kind in (("callback", "one callback"), ("gap", "gap that another task sees")):
            longest = held[name][what]
            wanted = f"≤ {alone['longest']:.2f} ms"
            target = f"{name}: longest {kind}, to one page's structuring"
            found.append(Target(target, wanted, f"{longest:.2f} ms", longest <= alone["longest"]))
    return found
