"""Instructions of one page: of reading it, and of what is paid for fields that nobody knows."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from builds import Options
from callgrind import count_difference, find_valgrind
from contestants import AHEAD_8, EXACT, FLOOR, HANDWRITTEN, PAGES, PLAIN, choose
from measuring import Series, progress
from report import Target, table, write
from servers import Gateway, gateway


_PAGES = {"sk-counted-warm-up": 20, "sk-counted--short": 50, "sk-counted---long": 150}  # by key
_SHORT, _LONG = list(_PAGES)[1:]
_DECODED = [100, 300]
_NAMES = (FLOOR, HANDWRITTEN, PLAIN, PAGES, EXACT, AHEAD_8)  # a page takes Stainless 20 000 000

Counts = dict[str, Series]


def instructions(options: Options) -> list[Target]:
    """Count the instructions of a page."""
    if not find_valgrind():
        write("valgrind not found: no instructions are counted (apt-get install valgrind)\n")
        return [Target("instructions of a page", "", "valgrind not found", None)]
    counts = _reading(options)
    plain, exact = counts[PLAIN].median, counts[EXACT].median
    to_floor, to_plain = plain / counts[FLOOR].median, exact / plain
    return [
        Target("instructions, plain / floor", "≤ 1.25", f"{to_floor:.3f}", to_floor <= 1.25),
        Target("instructions of a page, exact / plain", "≤ 1.10", f"{to_plain:.3f}", to_plain <= 1.10),
        _unknown_fields(options),
    ]


def _reading(options: Options) -> Counts:
    contestants = choose(_NAMES, options.against)
    with _counted_gateway() as server:
        counts = _count_pages(server, contestants, rounds=1 if options.quick else 2)
    write("## Instructions of one page\n")
    write(
        "Counted by callgrind, in thousands: what a history of"
        f" {_PAGES[_LONG]} pages takes more than one of {_PAGES[_SHORT]}, over the pages requested more."
        " An exact page shows one task or more again.\n"
    )
    table(
        ["", "instructions", "ratio", "noise"],
        [
            [
                name,
                f"{count.median / 1e3:.0f}",
                f"{count.median / counts[FLOOR].median:.3f}",
                f"{count.noise:.1%}",
            ]
            for name, count in counts.items()
        ],
    )
    return counts


def _counted_gateway(**options: Any) -> Any:
    accounts = {key: pages * 50 for key, pages in _PAGES.items()}
    return gateway(50, accounts=accounts, **options)


def _count_pages(server: Gateway, contestants: Mapping[str, dict[str, Any]], rounds: int) -> Counts:
    counts: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, options in contestants.items():
            progress(f"instructions, round {number + 1} of {rounds}: {name}")
            server.responses()
            more = count_difference("count_reading", url=server.url, keys=list(_PAGES), **options)
            requests = Counter(response.key for response in server.responses())
            counts[name].append(more / (requests[_LONG] - requests[_SHORT]))
    return {name: Series(values) for name, values in counts.items()}


def _unknown_fields(options: Options) -> Target:
    """Compare pages without and with unknown fields, and what decoding costs since the other build.

    Keeping unknown fields is a part of decoding, so the difference to a build that does not keep them is
    all that can be for this.
    """
    contestants = choose([FLOOR, PLAIN], options.against)
    pages, decoding = [], []
    for unknown_fields in (False, True):
        with _counted_gateway(unknown_fields=unknown_fields) as server:
            counts = _count_pages(server, contestants, rounds=1)
            pages.append({name: count.median for name, count in counts.items()})
            decoding.append({name: _count_decoding(server, contestants[name]) for name in list(counts)[1:]})
    write("## Instructions of a page with two unknown fields in each task\n")
    table(
        ["", "page", "with unknown", "times", "decoded alone", "with unknown", "times"],
        [
            [name, *_compared(pages[0][name], pages[1][name])]
            + (_compared(decoding[0][name], decoding[1][name]) if name in decoding[0] else ["", "", ""])
            for name in contestants
        ],
    )
    what, wanted = "instructions of a page without unknown fields, for keeping them", "≤ 1.03"
    if not options.against:
        return Target(what, wanted, "needs --against", None)
    page, alone = pages[0][PLAIN], decoding[0]
    found = page / (page - (alone[PLAIN] - alone[options.against.name(PLAIN)]))
    return Target(what, wanted, f"{found:.3f}", found <= 1.03)


def _count_decoding(server: Gateway, options: Mapping[str, Any]) -> float:
    path = {"path": options["path"]} if "path" in options else {}
    more = count_difference("count_decoding", url=server.url, key=_LONG, pages=_DECODED, **path)
    return more / (_DECODED[1] - _DECODED[0])


def _compared(without: float, unknown: float) -> list[str]:
    return [f"{without / 1e3:.0f}", f"{unknown / 1e3:.0f}", f"{unknown / without:.2f}"]
