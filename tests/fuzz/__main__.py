"""Fuzz what reads and shows the gateway's responses: ``python tests/fuzz [--target NAME] [--seconds N]``."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


HERE = Path(__file__).parent
TARGETS = ["response", "retry_after", "notebook", "terminal"]
BOUNDS = ["-timeout=10", "-rss_limit_mb=1024", "-max_len=65536"]  # seconds and MiB for one input


def main() -> int:
    """Fuzz each target, and sum up in a line. What is found is left in the corpus' folder."""
    parser = argparse.ArgumentParser("tests/fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=TARGETS, help="may be repeated (default: all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU time for each (default: 60)")
    parser.add_argument("--corpus", type=Path, help="a folder to keep the inputs in, and to go on from")
    options = parser.parse_args()
    corpus = options.corpus or Path(tempfile.mkdtemp(prefix="apimall-fuzz-"))
    found = [name for name in options.target or TARGETS if not _fuzz(name, options.seconds, corpus / name)]
    if found:
        sys.stdout.write(f"Keep a finding as a file in {HERE / 'cases'}, and fix what it shows.\n")
    return bool(found)


def _fuzz(name: str, seconds: float, corpus: Path) -> bool:
    corpus.mkdir(parents=True, exist_ok=True)
    found = f"-artifact_prefix={corpus.with_name(f'{name}-')}"
    program = [sys.executable, HERE / "fuzzer.py", name, str(seconds)]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        ended = subprocess.run(
            [*program, *BOUNDS, found, "-print_final_stats=1", corpus, HERE / "cases"],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},  # where what the tests share is
            check=False,
        )
        log.seek(0)
        output = log.read()
    executions = re.search(r"number_of_executed_units: (\d+)", output)
    reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", output)
    edges, features, kept = reached[-1] if reached else ("no", "no", "no")
    sys.stdout.write(
        f"{name}: {executions[1] if executions else 'no'} executions in {seconds:g} s of CPU time, "
        f"{edges} edges, {features} features, {kept} inputs kept: "
        + (f"FOUND\n{output[-5_000:]}" if ended.returncode else "nothing found\n")
    )
    sys.stdout.flush()
    return not ended.returncode


if __name__ == "__main__":
    sys.exit(main())
