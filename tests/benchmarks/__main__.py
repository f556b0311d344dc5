"""Measure apimall_async against its targets: ``python tests/benchmarks [SECTION ...] [--quick]``."""

import argparse
import signal
import sys
import time

import builds
import imports
import instructions
import jitter
import limiters
import limits
import loop
import memory
import paging
import reading
import report
import schedules


SECTIONS = {
    "read": reading.read,
    "instructions": instructions.instructions,
    "latency": reading.latency,
    "jitter": jitter.jitter,
    "memory": memory.memory,
    "import": imports.imports,
    "loop": loop.loop,
    "limits": limits.limits,
    "paging": paging.paging,
    "schedules": schedules.schedules,
    "limiters": limiters.limiters,
}
LONG = {"limiters"}  # half an hour: only if it is named


def main() -> None:
    """Run the sections that were chosen, and list the targets. A target that is missed is no failure."""
    parser = argparse.ArgumentParser("tests/benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter histories")
    parser.add_argument(
        "--against",
        metavar="BUILD",
        help="a wheel of apimall_async, or a version that pip finds, to be measured beside the one installed"
        " (read, instructions, import, limiters)",
    )
    given = parser.parse_args()
    if unknown := set(given.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and children are ended
    started = time.monotonic()
    report.machine(" ".join(["python tests/benchmarks", *sys.argv[1:]]))
    targets: list[report.Target] = []
    with builds.installed(given.against) as against:
        for name in given.sections or [name for name in SECTIONS if name not in LONG]:
            targets += SECTIONS[name](builds.Options(given.quick, against))
    report.targets(targets)
    if given.quick:
        report.write("With --quick the runs are too short to decide anything.\n")
    report.write(f"All of this took {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
