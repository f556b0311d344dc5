"""Reading against rate limits that the client is not told of."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from builds import Options
from measuring import Result, measure, measure_together, progress
from report import Target, table, write
from servers import Response, find_nginx, gateway, nginx


TASKS = 20_000


class Limited(NamedTuple):
    """How a contestant fared under a rate limit."""

    seconds: float
    ok: int
    refused: int
    pages: int
    tasks: int
    ended: str

    @property
    def per_second(self) -> float:
        """Responses other than 429, a second."""
        return self.ok / self.seconds

    @property
    def share_refused(self) -> float:
        """The share of the responses that were 429."""
        return self.refused / (self.ok + self.refused)


_CLIENTS: Mapping[str, dict[str, Any]] = {
    "ours, read_ahead=8": {"contestant": "ours"},
    "Stainless, max_retries=10": {"contestant": "stainless", "max_retries": 10},
    "Stainless, max_retries=2 (default)": {"contestant": "stainless"},
    "hand-written backoff, max_tries=10": {"contestant": "handwritten", "max_tries": 10},
    "naive: sleep 1 s at a 429": {"contestant": "naive"},
}
_OURS, *_OTHERS = _CLIENTS
_STAINLESS = _OTHERS[0]


def limits(options: Options) -> list[Target]:
    """Read against rate limits that nobody was told of."""
    found: list[Target] = []
    if not find_nginx():
        write("nginx not found: skipped (apt-get install nginx-light)\n")
        found += [Target(what, "", "nginx not found", None) for what in ("nginx", "4 processes")]
    else:
        found += _behind_nginx(quick=options.quick)
    found += _token_bucket(quick=options.quick)
    if find_nginx():
        found += _four_processes(quick=options.quick)
    return found


def _behind_nginx(*, quick: bool) -> list[Target]:
    rounds, others, seconds = (1, _OTHERS[::2], 7.0) if quick else (3, _OTHERS, 25.0)
    results: list[tuple[str, Limited]] = []
    with gateway(TASKS) as server:
        measure("read", contestant="floor", **server.address)
        for name in [_OURS] * rounds + others:
            progress(f"nginx: {name}")
            with nginx(server, rate=50, burst=10) as proxy:
                options = {**_CLIENTS[name], **server.address, "url": proxy.urls[0]}
                result = measure("under_limit", workers=8, seconds=seconds, **options)
                results.append((name, _limited(result, proxy.responses())))
    write(f"## nginx limit_req 50 r/s, burst 10, nodelay; {TASKS:,} tasks, 8 at a time\n")
    _print_limited(results, rate=50, seconds=seconds)
    return _limited_targets("nginx 50/s", [r for name, r in results if name == _OURS], 50, 0.03)


def _token_bucket(*, quick: bool) -> list[Target]:
    pages, seconds = (600, 7.0) if quick else (2_000, 30.0)
    limit = [100, 20, 1]  # requests a second, burst, Retry-After
    results = []
    for name in (_OURS, _STAINLESS):
        with gateway(pages * 50, rate_limit=limit) as server:
            progress(f"token bucket: {name}")
            options = {**_CLIENTS[name], **server.address}
            result = measure("under_limit", workers=8, seconds=seconds, **options)
            results.append((name, _limited(result, server.responses())))
    write(
        "## LocalGateway's token bucket, 100/s, burst 20, Retry-After: 1;"
        f" {pages * 50:,} tasks, 8 at a time\n"
    )
    _print_limited(results, rate=100, seconds=seconds)
    return _limited_targets("token bucket 100/s", [results[0][1]], 100, 0.02)


def _four_processes(*, quick: bool) -> list[Target]:
    seconds = 6.0 if quick else 25.0
    write(
        "## Four processes that share one limit of 60/s (nginx, burst 10) and nothing else;"
        f" {seconds:.0f} s, 8 at a time each\n"
    )
    rows, found = [], []
    with gateway(100_000) as server:
        for name in (_OURS, _STAINLESS):
            progress(f"four processes: {name}")
            with nginx(server, rate=60, burst=10, ports=4) as proxy:
                options = {**_CLIENTS[name], **server.address, "workers": 8, "seconds": seconds}
                runs = [("under_limit", {**options, "url": url}) for url in proxy.urls]
                ended = [result["ended"] for result in measure_together(runs)]
                responses = proxy.responses()
            all_ok, refused, _ = _count(responses)
            efficiency = all_ok / seconds / 60
            shares = [
                _count([response for response in responses if response.port == port])[0] * 4 / all_ok
                for port in proxy.ports
            ]
            share_refused = refused / (all_ok + refused)
            rows.append(
                [
                    name,
                    f"{all_ok}",
                    f"{refused}",
                    f"{efficiency:.0%}",
                    f"{share_refused:.1%}",
                    " ".join(f"{share:.2f}" for share in shares),
                    ", ".join(sorted(set(ended))),
                ]
            )
            if name == _OURS:
                found = [
                    Target("4 processes, efficiency", "≥ 80 %", f"{efficiency:.0%}", efficiency >= 0.8),
                    Target(
                        "4 processes, least share of the fair share",
                        "≥ 0.5",
                        f"{min(shares):.2f}",
                        min(shares) >= 0.5,
                    ),
                    Target("4 processes, 429s", "≤ 5 %", f"{share_refused:.1%}", share_refused <= 0.05),
                ]
    table(["", "OK", "429", "efficiency", "429s", "shares of the fair share", "ended"], rows)
    return found


def _count(responses: Sequence[Response]) -> tuple[int, int, float]:
    """OK, 429, and the seconds from the first response to the last."""
    moments = [response.when for response in responses]
    refused = sum(response.status == 429 for response in responses)
    ok = sum(response.status == 200 for response in responses)
    return ok, refused, max(moments) - min(moments)


def _limited(result: Result, responses: Sequence[Response]) -> Limited:
    ok, refused, seconds = _count(responses)
    return Limited(seconds, ok, refused, result["pages"], result["tasks"], result["ended"])


def _print_limited(results: Sequence[tuple[str, Limited]], *, rate: float, seconds: float) -> None:
    write(
        "Counted by the server; efficiency is its responses OK a second, over the allowed rate (the burst"
        " is not deducted). Used is what the client got to see of them: the rest was read ahead of the"
        f" end. At most {seconds:.0f} s each.\n"
    )
    table(
        ["", "seconds", "OK", "used", "429", "efficiency", "429s", "tasks/s", "ended"],
        [
            [
                name,
                f"{run.seconds:.1f}",
                f"{run.ok}",
                f"{run.pages}",
                f"{run.refused}",
                f"{run.per_second / rate:.0%}",
                f"{run.share_refused:.1%}",
                f"{run.tasks / run.seconds:.0f}",
                run.ended,
            ]
            for name, run in results
        ],
    )


def _limited_targets(what: str, runs: Sequence[Limited], rate: float, most_refused: float) -> list[Target]:
    """The worst of the runs decides."""
    efficiency = min(run.per_second / rate for run in runs)
    refused = max(run.share_refused for run in runs)
    return [
        Target(f"{what}, efficiency", "≥ 85 %", f"{efficiency:.0%}", efficiency >= 0.85),
        Target(f"{what}, 429s", f"≤ {most_refused:.0%}", f"{refused:.1%}", refused <= most_refused),
    ]
