"""What the fuzzer began with and what it found, and some of what it would do, without it."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutate
from targets import TARGETS


CASES = sorted(Path(__file__).with_name("cases").iterdir())
EVERY_TARGET = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())


@EVERY_TARGET
@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_every_case_passes(case: Path, target: Callable[[bytes], None]) -> None:
    """Whatever was found once stays fixed."""
    target(case.read_bytes())


@settings(max_examples=150)
@given(st.sampled_from(CASES), st.integers(1, 12), st.integers(0, 2**64 - 1))
def test_any_damaged_response(case: Path, times: int, seed: int) -> None:
    """A good response, damaged in some positions: a true page that can be shown, or an APIError."""
    random, data = Random(seed), case.read_bytes()
    for _ in range(times):
        damaged = mutate(data, random)
        for target in TARGETS.values():
            target(damaged)
        data = random.choice([data, damaged])  # so that what is a page stays one for longer
