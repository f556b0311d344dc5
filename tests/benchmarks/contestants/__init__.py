"""The contestants by their names in the tables: modules of this folder, and what their ``read`` takes."""

from collections.abc import Iterable, Mapping
from typing import Any

from builds import Build


FLOOR = "floor: aiohttp + orjson to dicts"
HANDWRITTEN = "hand-written: aiohttp + cattrs + backoff"
STAINLESS = "Stainless base client (openai)"
PLAIN = "ours, task by task"
PAGES = "ours, by pages"
EXACT = "ours, exact"
AHEAD_8 = "ours, read_ahead=8"
AHEAD_16 = "ours, read_ahead=16"
AHEAD_32 = "ours, read_ahead=32"

CONTESTANTS: Mapping[str, dict[str, Any]] = {
    FLOOR: {"contestant": "floor"},
    HANDWRITTEN: {"contestant": "handwritten"},
    STAINLESS: {"contestant": "stainless"},
    PLAIN: {"contestant": "ours"},
    PAGES: {"contestant": "ours", "by_pages": True},
    EXACT: {"contestant": "ours", "exact": True},
    AHEAD_8: {"contestant": "ours", "read_ahead": 8},
    AHEAD_16: {"contestant": "ours", "read_ahead": 16},
    AHEAD_32: {"contestant": "ours", "read_ahead": 32},
}


def choose(names: Iterable[str], against: Build | None = None) -> dict[str, dict[str, Any]]:
    """Choose contestants by their names; and ours once more, with the build that it is ``against``."""
    chosen = {name: CONTESTANTS[name] for name in names}
    if against:
        ours = [name for name in chosen if name.startswith("ours")]
        chosen |= {against.name(name): {**CONTESTANTS[name], "path": against.path} for name in ours}
    return chosen
