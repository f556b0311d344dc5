"""Children that measure, in rounds, and the numbers that come of it."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


HERE = Path(__file__).parent
Result = dict[str, Any]
Run = tuple[str, Mapping[str, Any]]
"""A task of child.py, and its options."""


class Child:
    """A measurement in a fresh process, maybe under a program that looks on: see child.py."""

    def __init__(
        self,
        task: str,
        options: Mapping[str, Any],
        *,
        under: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            [*under, sys.executable, HERE / "child.py", task, json.dumps(options)],
            env=os.environ | (env or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, who ends this
        )
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def wait_ready(self) -> None:
        """Wait until it has imported all it needs."""
        if self._stdout.readline() != "ready\n":
            raise RuntimeError("a child did not start: see its traceback above")

    def go(self) -> None:
        """Let it start."""
        self._stdin.write("go\n")
        self._stdin.flush()

    def result(self) -> Result:
        """Wait for the result."""
        line = self._stdout.readline()
        if self._process.wait() or not line:
            raise RuntimeError("a child failed: see its traceback above")
        return json.loads(line)

    def end(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()


@contextmanager
def children(runs: Sequence[Run], **how: Any) -> Iterator[list[Child]]:
    """Start children together; end them at the end."""
    started: list[Child] = []
    try:
        for task, options in runs:
            started.append(Child(task, options, **how))
        for child in started:
            child.wait_ready()
        for child in started:
            child.go()
        yield started
    finally:
        for child in started:
            child.end()


def measure_together(runs: Sequence[Run]) -> list[Result]:
    """Measure in several fresh processes at once."""
    with children(runs) as started:
        return [child.result() for child in started]


def measure(
    task: str, *, under: Sequence[str] = (), env: Mapping[str, str] | None = None, **options: Any
) -> Result:
    """Measure in one fresh process."""
    with children([(task, options)], under=under, env=env) as (child,):
        return child.result()


class Series:
    """One number, measured in several rounds."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = sorted(values)

    @property
    def median(self) -> float:
        """The middle."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """The best: where noise only adds, the truest."""
        return self.values[0]

    @property
    def most(self) -> float:
        """The worst."""
        return self.values[-1]

    @property
    def noise(self) -> float:
        """How far the middle half of the rounds lies apart, as a share of the median."""
        if len(self.values) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return (high - low) / self.median


def in_rounds(rounds: int, runs: Mapping[str, Run]) -> dict[str, list[Result]]:
    """Measure each, then each again, and so on, so that a noisy minute hits all alike."""
    results: dict[str, list[Result]] = {name: [] for name in runs}
    for number in range(rounds):
        names = list(runs)
        start = number % len(names)
        for name in names[start:] + names[:start]:
            progress(f"round {number + 1} of {rounds}: {name}")
            task, options = runs[name]
            results[name].append(measure(task, **options))
    return results


def series(results: Sequence[Result], name: str) -> Series:
    """Pick one number out of the results of all rounds."""
    return Series([result[name] for result in results])


def progress(text: str) -> None:
    """Say what is going on."""
    sys.stderr.write(f"  {text}\n")
    sys.stderr.flush()
