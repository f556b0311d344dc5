"""Pure: what a response says of the requests that are left, and for how long one should be quiet then.

The headers are those of draft-ietf-httpapi-ratelimit-headers (``RateLimit`` since 08, ``RateLimit-*`` older),
and ``X-RateLimit-*``, which nobody specified: a reset is seconds from now, or an epoch in seconds or in
milliseconds, rounded in either way. So they are hints. They only ever hold back, and are given up when the
gateway contradicts them.
"""

import math
import re
from datetime import UTC, datetime
from typing import NamedTuple

from apimall_async._protocol import Headers, parse_date


_EPOCH = 1e8  # above it a reset is an epoch in seconds,
_EPOCH_MS = 1e11  # … and above this in milliseconds
_LONGEST = 86_400.0  # seconds; a reset that is later tells nothing
_ROUNDED = 2.0  # seconds by which a reset is late at most, rounded up and measured from a rounded Date
_MISTRUST = 0.05  # share of refusals in spite of the hints from which on they are given up,
_MISTRUST_FROM = 3  # … if there are more than so many
_PREFIXES = ("RateLimit-", "X-RateLimit-")
_ITEM = re.compile(r"[^,\"]*(?:\"[^\"]*\"[^,\"]*)*")
_LEFT = re.compile(r"[;,]\s*(?:r|remaining)=(\d{1,15})(?![\d.])")
_SECONDS = re.compile(r"[;,]\s*(?:t|reset)=(\d{1,15})(?![\d.])")


class Hint(NamedTuple):
    """Requests that are left, and seconds until there are more."""

    left: float
    seconds: float


def parse_hint(headers: Headers, now: datetime | None = None) -> Hint | None:
    """Read the hint of a response, or None. An epoch is measured from its Date, else from ``now``."""
    if (value := headers.get("RateLimit")) is not None:
        items = [value] if "remaining=" in value else _ITEM.findall(value)  # the former: draft 07
        hints = [hint for item in items if (hint := _parse_item(item))]
        return min(hints, default=None)
    for prefix in _PREFIXES:
        left = _number(headers.get(f"{prefix}Remaining"))
        if left is not None and (reset := _number(headers.get(f"{prefix}Reset"))) is not None:
            return _bounded(left, _from_now(reset, headers, now))
    return None


def _parse_item(item: str) -> Hint | None:
    left, seconds = _LEFT.search(item), _SECONDS.search(item)
    return _bounded(float(left[1]), float(seconds[1])) if left and seconds else None


def _bounded(left: float, seconds: float) -> Hint | None:
    return Hint(max(0.0, left), max(0.0, seconds)) if seconds <= _LONGEST else None


def _number(value: str | None) -> float | None:
    return float(value) if value and re.fullmatch(r"-?\d{1,15}(\.\d{0,15})?", value.strip()) else None


def _from_now(reset: float, headers: Headers, now: datetime | None) -> float:
    if reset <= _EPOCH:
        return reset
    sent = parse_date(headers.get("Date", "")) or now or datetime.now(UTC)
    return (reset / 1_000 if reset > _EPOCH_MS else reset) - sent.timestamp()


class Budget:
    """Tell when the next request may start, by hints. Times are seconds of any monotonic clock.

    What is left of a window may start at once, until it was used up for the first time. From then on it is
    spread over the window, as long as the last one was. So the next window begins when this one ends, and
    several processes share it.
    """

    def __init__(self, longest: float) -> None:
        """Take for how many seconds to believe that nothing is left, without another request."""
        self._longest = longest
        self._left = math.inf  # requests that may still start
        self._reported = math.inf
        self._most = 1  # requests in flight
        self._until = -math.inf  # when there will be more
        self._next_start = -math.inf  # while some are left
        self._quiet_until = -math.inf  # while none is
        self._began_at: float | None = None  # the window
        self._length = math.inf  # of the last one
        self._spread = False
        self._knock: float | None = None  # when a request started that finds out whether there is more
        self._early = False
        self._counted = self._refused = 0
        self._given_up = False

    def delay(self, now: float) -> float:
        """Seconds until the next request may start; 0 or less: it may."""
        return (self._next_start if self._left >= 1 else self._quiet_until) - now

    def start(self, now: float) -> None:
        """Count a request that starts now."""
        if self._left == math.inf:
            return
        if self._left < 1:
            self._knock, self._early = now, now < self._until - _ROUNDED
            self._quiet_until = now + self._longest
            return
        if self._spread and self._began_at is not None:
            rest = min(self._until, self._began_at + self._length) - now
            self._next_start = max(self._next_start, now) + max(0.0, rest) / max(self._left - 1, 1)
        self._left -= 1
        self._be_quiet(now)

    def note(self, now: float, started: float, hint: Hint | None, *, in_flight: int, refused: bool) -> None:
        """Take note of a response to the request that started at ``started``; others are still in flight."""
        knocked = started == self._knock
        if self._given_up or (hint is None and not knocked):
            return
        self._counted += 1
        self._refused += refused
        contradicted = knocked and self._early and not refused
        if contradicted or self._refused > _MISTRUST_FROM + _MISTRUST * self._counted:
            self._given_up = True
        if self._given_up or hint is None:
            self._left, self._next_start, self._knock = math.inf, -math.inf, None
            return
        self._follow(hint, started, in_flight)
        self._knock = None if knocked else self._knock
        self._left = self._reported - in_flight
        self._until = now + hint.seconds
        self._spread = self._spread or hint.left < 1
        self._be_quiet(now)

    def lose(self, now: float, started: float) -> None:
        """Let another request find out, if this one did and got no response that tells."""
        if started == self._knock:
            self._knock, self._quiet_until = None, now

    def _follow(self, hint: Hint, started: float, in_flight: int) -> None:
        """Keep the least that was reported of a window, as responses come in any order."""
        self._most = max(self._most, in_flight + 1)
        more = hint.left > self._reported + self._most
        if more or started >= self._until:
            self._reported = hint.left
            if self._began_at is not None:
                self._length = started - self._began_at
            self._began_at = started
        else:
            self._reported = min(self._reported, hint.left)

    def _be_quiet(self, now: float) -> None:
        if self._left < 1 and self._knock is None:
            self._quiet_until = min(self._until, now + self._longest)
