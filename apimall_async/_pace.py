"""The pace at which requests may start: learnt from 429s alone, on a clock that the caller owns.

No header tells the limit, so it is found as TCP finds a path's capacity. Until the first 429 there is no
pace. The first 429 starts a ramp that doubles fast, from what was let through so far; the next one tells the
rate, because between two 429s the limiter's bucket was empty at both ends. From there the pace is probed
upward by a constant, and cut by a share at each 429: additive increase with multiplicative decrease is what
makes independent clients of one limit converge to equal shares (Chiu and Jain, 1989). After a while without a
429 the client is alone, or others have left: the probing grows bolder, and a cut keeps what was delivered.
"""

import math
from collections import deque


_RAMP_DOUBLES = 0.35  # seconds in which the ramp doubles
_SPANS = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4)  # seconds before the end of a ramp that may tell the rate
_PROBE = 0.7  # requests a second, gained each second
_PROBE_SHARE = 0.06  # … but no more than this share of the pace, each second
_PROBE_STEP = 0.015  # … and than this share of it by one request
_PROBE_COST = 0.5  # … and less where a 429 costs seconds: half of it for each 2 seconds of Retry-After
_CALM = 4.0  # seconds without a 429 after which the law grows bolder
_BOLDER = 3.0  # seconds more after which it probes twice as fast, then thrice, …
_BOLDEST = 5.0  # times as fast, at most
_LATE = 0.02  # seconds, or a quarter of an interval, that a request may be late and count as held back
_BACK_OFF = 0.85  # share of the pace that is left after a 429
_SETTLE = 0.97  # share of a rate that was found
_REMEMBERED = 4096  # responses whose time is kept


class Pace:
    """Tell when the next request may start. Times are seconds of any monotonic clock."""

    def __init__(self, *, wait_initial: float, wait_max: float) -> None:
        """Take the first and the longest wait, in seconds, for a gateway that lets nothing through."""
        self._wait_initial = max(wait_initial, 0.001)
        self._wait_max = max(wait_max, self._wait_initial)
        self.rate = math.inf
        """Requests a second."""
        self.closed_until = -math.inf
        """The moment before which nothing may start."""
        self._next_start = -math.inf
        self._ramping = False
        self._cut_at = -math.inf  # when the rate was last cut
        self._opened_at = -math.inf  # when requests could start again after that
        self._raised_at = -math.inf  # when the rate was last raised
        self._delivered: deque[float] = deque(maxlen=_REMEMBERED)
        self._delivered_since_cut = 0
        self._in_vain = 0  # cuts in a row without a response between them
        self._burst = 0  # responses that were let through just before the first 429
        self._burst_took = 0.0  # seconds that they took

    def delay(self, now: float) -> float:
        """Seconds until the next request may start; 0 or less: it may."""
        return max(self.closed_until, self._next_start) - now

    def start(self, now: float) -> None:
        """Count a request that starts now."""
        if self.rate == math.inf:
            return
        # Only where the pace held requests back does it tell anything that none was refused.
        if now - self._next_start < max(_LATE, 0.25 / self.rate):
            elapsed = min(max(0.0, now - self._raised_at), 1.0)
            if self._ramping:
                self.rate *= 2 ** (elapsed / _RAMP_DOUBLES)
            else:
                self.rate += min(self._probing(now) * elapsed, _PROBE_STEP * self.rate)
        self._raised_at = max(now, self._raised_at)
        # A request that is late by up to half an interval does not delay those behind it.
        self._next_start = max(self._next_start, now - 0.5 / self.rate) + 1 / self.rate

    def _probing(self, now: float) -> float:
        calm = now - self._opened_at - _CALM
        bolder = min(max(1.0, 1 + calm / _BOLDER), _BOLDEST)
        cost = self._opened_at - self._cut_at
        return min(_PROBE, _PROBE_SHARE * self.rate) * bolder / (1 + _PROBE_COST * cost)

    def deliver(self, now: float) -> None:
        """Count a response other than 429."""
        self._delivered.append(now)
        self._delivered_since_cut += 1

    def close(self, now: float, until: float) -> None:
        """Let nothing start before ``until``, and then not all at once."""
        self.closed_until = max(self.closed_until, until)
        if self.rate == math.inf:
            self._start_ramp(now)
            self._cut(now)

    def refuse(self, now: float, started: float, until: float = -math.inf) -> None:
        """Count a 429 to a request that started at ``started``: cut the pace, if that is news.

        Nothing starts before ``until``, which comes from ``Retry-After``.
        """
        self.closed_until = max(self.closed_until, until)
        if started < self._cut_at:
            return  # sent before the last cut could have an effect
        self._in_vain = 0 if self._delivered_since_cut else self._in_vain + 1
        if self.rate == math.inf:
            self._start_ramp(now)
        elif self._in_vain > 1:
            wait = min(self._wait_max, self._wait_initial * 2.0 ** min(self._in_vain - 2, 60))
            self.rate, self._ramping = min(self.rate, 1 / wait), True
            self.closed_until = max(self.closed_until, now + wait)
        elif self._ramping and self._in_vain:
            self.rate = max(self.rate / 2, 1 / self._wait_max)
        elif self._ramping:
            self.rate = min(self.rate, max(_SETTLE * self._found(now), 1 / self._wait_max))
            self._ramping = False
        else:
            self.rate = min(self.rate, max(_BACK_OFF * self.rate, _SETTLE * self._kept(now)))
        self._cut(now)

    def _cut(self, now: float) -> None:
        self._cut_at = now
        self._opened_at = self._raised_at = max(now, self.closed_until)
        self._delivered_since_cut = 0
        self._next_start = max(self._next_start, self._opened_at, now + 1 / self.rate)

    def _start_ramp(self, now: float) -> None:
        burst = [moment for moment in self._delivered if moment > now - 1.0]
        self._burst = len(burst)
        self._burst_took = now - min(burst, default=now)
        self.rate, self._ramping = max(self._burst, 1 / self._wait_initial), True

    def _found(self, now: float) -> float:
        """The limiter's rate, at the end of a ramp: the higher of two lower bounds.

        One is what was let through since the last 429, less than the rate if some of the refill ran over
        while the ramp was low. The other is what was let through lately. In any span that is at most what
        the bucket holds, and its refill; and the burst before the first 429 showed what it holds, in the same
        way: ``burst = holds + rate * took``. For the span in which nothing ran over this bound is exact.
        """
        found = self._delivered_since_cut / max(now - self._cut_at, 0.001)
        for span in _SPANS:
            if span > 2 * self._burst_took:
                count = sum(moment > now - span for moment in self._delivered)
                found = max(found, (count - self._burst) / (span - self._burst_took))
        return found

    def _kept(self, now: float) -> float:
        """What was delivered since the last cut, if it was long ago: a lower bound of the rate again."""
        calm = now - self._opened_at
        return (self._delivered_since_cut - self._burst) / calm if calm > _CALM else 0.0
