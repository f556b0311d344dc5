"""Fuzzes one target, coverage-guided, for some seconds of CPU time. A process for each: see __main__."""

import os
import signal
import sys
import time
from random import Random

import atheris
from mutations import mutate


with atheris.instrument_imports(include=["apimall_async", "cattrs", "email"]):
    from targets import TARGETS


def main() -> None:
    """Fuzz. libFuzzer ends the process, and says on stderr how it was."""
    _, name, seconds, *options = sys.argv
    target, end = TARGETS[name], time.process_time() + float(seconds)

    def look(data: bytes) -> None:
        target(data)
        if time.process_time() > end:
            os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer finishes what it does, and sums up

    def damage(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.randrange(3):
            return mutate(data, random)[:max_size]
        return bytes(atheris.Mutate(data, max_size))

    atheris.Setup([sys.argv[0], *options], look, custom_mutator=damage)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
