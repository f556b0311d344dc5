"""Measure apimall_async against its targets: ``python tests/benchmarks [SECTION ...] [--quick]``."""

import argparse
import signal
import sys
import time

import limits
import reading
import report


SECTIONS = {
    "read": reading.read,
    "latency": reading.latency,
    "memory": reading.memory,
    "import": reading.imports,
    "loop": reading.loop,
    "limits": limits.limits,
}


def main() -> None:
    """Run the sections asked for, and list the targets. A target that is missed is no failure."""
    parser = argparse.ArgumentParser("tests/benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="fewer rounds, shorter histories")
    options = parser.parse_args()
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and children are ended
    started = time.monotonic()
    report.machine(" ".join(["python tests/benchmarks", *sys.argv[1:]]))
    targets: list[report.Target] = []
    for name in options.sections or SECTIONS:
        targets += SECTIONS[name](quick=options.quick)
    report.targets(targets)
    if options.quick:
        report.say("With --quick the runs are too short to decide anything.\n")
    report.say(f"All of this took {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
