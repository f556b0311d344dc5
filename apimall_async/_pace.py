"""The pace at which requests may start: learnt from 429s alone, on a clock that the caller owns.

No header tells the limit, so it is found as TCP finds a path's capacity. Until the first 429 there is no
pace. The first 429 starts a ramp that doubles fast from what was let through so far; the next one tells
the rate, because between two 429s the limiter's bucket was empty at both ends. From there the pace is
probed upward by a constant, and cut by a share at each 429: additive increase with multiplicative
decrease is what makes independent clients of one limit converge to equal shares (Chiu and Jain, 1989).
"""

import math
from collections import deque


_RAMP_DOUBLES = 0.35  # seconds in which the ramp doubles
_PROBE = 0.8  # requests a second, gained each second
_PROBE_SHARE = 0.15  # … but no more than this share of the pace, each second
_BACK_OFF = 0.85  # share of the pace that is left after a 429
_SETTLE = 0.97  # share of the rate found by a ramp
_SPANS = (
    0.2,
    0.3,
    0.4,
    0.5,
    0.7,
    1.0,
    1.4,
)  # seconds before the end of a ramp that may tell the rate
_REMEMBERED = 4096  # answers whose time is kept


class Pace:
    """Tell when the next request may start. Times are seconds of any monotonic clock."""

    def __init__(self, *, wait_initial: float, wait_max: float) -> None:
        """Take the waits for a gateway that lets nothing through: first, and at most, in seconds."""
        self._wait_initial = max(wait_initial, 0.001)
        self._wait_max = max(wait_max, self._wait_initial)
        self.rate = math.inf
        """Requests a second."""
        self.closed_until = -math.inf
        self._next_start = -math.inf
        self._ramping = False
        self._updated = 0.0  # when the rate was last raised
        self._decided = -math.inf  # when the rate was last cut
        self._delivered: deque[float] = deque(maxlen=_REMEMBERED)
        self._delivered_since = 0  # answers since the last cut
        self._in_vain = 0  # cuts in a row without an answer between them
        self._burst = 0.0  # what the limiter lets through at once, at most

    def delay(self, now: float) -> float:
        """Seconds until the next request may start; 0 or less: it may."""
        return max(self.closed_until, self._next_start) - now

    def start(self, now: float) -> None:
        """Count a request that starts now."""
        if self.rate == math.inf:
            return
        elapsed = min(max(0.0, now - self._updated), 1.0)  # an idle client learns nothing
        self._updated = max(now, self._updated)
        if self._ramping:
            self.rate *= 2 ** (elapsed / _RAMP_DOUBLES)
        else:
            self.rate += min(_PROBE, _PROBE_SHARE * self.rate) * elapsed
        # A request that is late by up to half an interval does not delay those behind it.
        self._next_start = max(self._next_start, now - 0.5 / self.rate) + 1 / self.rate

    def deliver(self, now: float) -> None:
        """Count an answer other than 429."""
        self._delivered.append(now)
        self._delivered_since += 1

    def close(self, until: float) -> None:
        """Let nothing start before ``until``."""
        self.closed_until = max(self.closed_until, until)

    def refuse(self, now: float, started: float) -> None:
        """Count a 429 for a request that started at ``started``: cut the pace, if that is news."""
        if started < self._decided:
            return  # sent before the last cut could have an effect
        self._in_vain = 0 if self._delivered_since else self._in_vain + 1
        if self.rate == math.inf:
            self._burst = self._count(now - 1.0)
            self.rate = max(self._burst, 1 / self._wait_initial)
            self._ramping = True
        elif self._in_vain > 1:
            wait = min(self._wait_max, self._wait_initial * 2.0 ** min(self._in_vain - 2, 60))
            self.rate = 1 / wait
            self._ramping = True
            self.close(now + wait)
        elif self._ramping:
            self.rate = min(self.rate, max(_SETTLE * self._found(now), 1 / self._wait_initial))
            self._ramping = False
        else:
            self.rate *= _BACK_OFF
        self._decided = now
        self._delivered_since = 0
        self._updated = max(now, self.closed_until)
        self._next_start = max(self._next_start, self.closed_until, now + 1 / self.rate)

    def _found(self, now: float) -> float:
        """The limiter's rate, at the end of a ramp.

        What was let through since the last 429 is a lower bound: some of the refill ran over while the
        ramp was below the rate. What was let through in the last moments, less the burst that was
        saved up before, is another, and is exact for the span in which nothing ran over.
        """
        since_cut = self._delivered_since / max(now - self._decided, 0.001)
        lately = ((self._count(now - span) - self._burst) / span for span in _SPANS)
        return max(since_cut, *lately)

    def _count(self, since: float) -> float:
        count = 0
        for moment in reversed(self._delivered):
            if moment <= since:
                break
            count += 1
        return count
