"""The lists that back ends have, as far as the simulation knows them: what a schedule of each may be."""

import random
from typing import Any

import attrs
from hypothesis import strategies as st
from simulation import Schedule

from apimall_async._pagination import Options


World = dict[str, list[Any]]
"""The values that each field of a schedule, or of its options, may have there; the rest is as below."""

_OPTIONS: World = {
    "page_size": [2, 3, 5, 10, 20, 49, 50, 50, 50],
    "start_page": [1, 1, 1, 2, 3],
    "max_items": [None, None, None, None, 70],
    "read_ahead": [0, 1, 3, 8, 32],
    "exact": [True],
}
_SCHEDULE: World = {
    "tasks": [0, 1, 2, 49, 50, 51, 99, 100, 101, 150, 250, 500],
    "cap": [50, 50, 50, 20],
    "past_end": ["empty", "empty as last", "refused", "last", "last as requested"],
}
QUIET: World = {}
MOVING: World = {"creations": [0, 0.05, 0.3], "deletions": [0.05, 0.3], "faults": [0, 0, 0.02]}

WORLDS: dict[str, World] = {
    "different times": {"batch": [1]},
    "groups of 10, stable": {"batch": [4, 10]},
    "groups of 10, any order": {"batch": [4, 10], "ties": ["any", "by range"]},
    "groups of 24 to 200, stable": {"batch": [24, 49, 60, 200]},
    "groups of 24 to 200, any order": {"batch": [24, 49, 60, 200], "ties": ["any", "by range"]},
    "oldest first, groups of 10": {
        "batch": [1, 4, 10],
        "ties": ["stable", "any", "by range"],
        "oldest_first": [True],
    },
    "in an order of its own": {"batch": [1, 10], "unordered": [True]},
    "1 to 20 % hidden": {"hidden": [0.01, 0.05, 0.2]},
    "1 to 20 % hidden, groups": {
        "hidden": [0.01, 0.05, 0.2],
        "batch": [4, 10, 24],
        "ties": ["stable", "any", "by range"],
    },
    "50 % hidden": {"hidden": [0.5]},
    "a proxy that sends 404 at times": {"refusals": [0.02, 0.1], "batch": [1, 4], "hidden": [0, 0, 0.05]},
}


def strategy(*changes: World) -> st.SearchStrategy[Schedule]:
    """Make a strategy for schedules of a world, with further changes."""
    schedule, options = _merge(*changes)
    return st.builds(
        Schedule,
        options=st.builds(Options, **{name: st.sampled_from(values) for name, values in options.items()}),
        seed=st.integers(0, 2**32),
        **{name: st.sampled_from(values) for name, values in schedule.items()},
    )


def draw(seed: int, *changes: World) -> Schedule:
    """Draw a schedule from a seed."""
    rng = random.Random(seed)
    schedule, options = _merge(*changes)
    chosen = {name: rng.choice(values) for name, values in schedule.items()}
    return Schedule(
        options=Options(**{name: rng.choice(values) for name, values in options.items()}), seed=seed, **chosen
    )


def _merge(*changes: World) -> tuple[World, World]:
    schedule: World = {**_SCHEDULE}
    options: World = {**_OPTIONS}
    names = {field.name for field in attrs.fields(Options)}
    for name, values in (pair for change in changes for pair in change.items()):
        (options if name in names else schedule)[name] = values
    return schedule, options
