"""The pace at which requests may start: learnt from refusals alone, on a clock that the caller owns.

No header need tell the limit, so it is found as TCP finds a path's capacity. Until the first refusal there is
no pace. A refusal shuts the limiter: one request at a time finds out whether it is open again. It is called
a knock. What was let through from one opening to the next, over the time that this took, is a rate that
the limiter allows; the pace at which it refused is one that it does not. The pace goes on between them, and
grows as TCP CUBIC does (RFC 9438): soon back to where it was, slowly past that, and faster the longer nothing
is refused. So nothing stays stuck, and several clients of one limit come to equal shares.

After the first drought the pace begins low and doubles fast, in step with the drought: clients that met the
limit together, one with all the requests of a window and the others with none, then have the same.
"""

import math


_KNOCK = 1.4  # times as long from one knock to the next
_RAMP = 8  # the first ramp begins at so many requests in the first drought's time, and doubles so often in it
_RAMP_DROUGHT = 0.5  # seconds that the drought is taken to last, at least: one of milliseconds tells little
_RAMP_DOUBLES = 0.1  # seconds in which a ramp doubles, at least
_DROP = 0.1  # share of the pace that is given up at a refusal, so that others get it
_ABOVE = 3.0  # times what was let through: the limit is taken to be lower than that
_TRUST = 0.6  # in the pace that was refused, against what was let through
_TRUST_RAMP = 0.5  # … at the end of a ramp, which overshoots
_MEMORY = 0.8  # share of what was counted that still counts after the next opening
_BACK = 2.0  # seconds until the pace is back where it was, at 1 request a second; by the cube root of others
_BACK_DROUGHTS = 4  # … and so many droughts, at least: who may lose much by a refusal dares less
_LOOK_AGAIN = 0.05  # seconds, while a knock is under way
_LATE = 0.02  # seconds, or a quarter of an interval, that a request may be late and count as held back
_IDLE = 1.0  # seconds between two requests after which the time between them does not count


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
        # How the pace grows: by a ramp that doubles in so many seconds, or else back to a limit and past it.
        self._doubles: float | None = None
        self._limit = math.inf
        self._back = 1.0  # seconds until the limit is reached
        self._age = 0.0  # seconds for which it grew
        self._grown_at = -math.inf
        # While the limiter is shut.
        self._shut_at: float | None = None
        self._refused = False  # by a refusal, whose pace was:
        self._refused_rate = math.inf
        self._knock: float | None = None  # when the one request started that finds out
        self._wait = self._wait_initial  # for the next knock
        # What was let through since an opening, and less and less of what was before.
        self._open_since = -math.inf
        self._opened_at = -math.inf
        self._count = 0.0
        self._last_start = -math.inf
        self._burst = 0.0  # what was let through at once, before there was a pace
        self._ramped: list[float] = []  # when responses came during a ramp

    def delay(self, now: float) -> float:
        """Seconds until the next request may start; 0 or less: it may.

        While one request finds out whether the limiter is open, nobody knows. Look again after so long, or
        when there is a response.
        """
        if self._knock is not None:
            return _LOOK_AGAIN
        return max(self.closed_until, self._next_start) - now

    def start(self, now: float) -> None:
        """Count a request that starts now."""
        if self._shut_at is not None:
            self._knock = now
            return
        if self.rate == math.inf:
            if now - self._last_start > _IDLE:
                self._opened_at, self._count = now, 0
            self._last_start = now
            return
        # Only where the pace held requests back does it tell anything that none was refused.
        late = now - self._next_start
        if late < max(_LATE, 0.25 / self.rate):
            self._grow(min(max(0.0, now - self._grown_at), max(1.0, 1 / self.rate)))
        elif late > max(_IDLE, 2 / self.rate):
            self._opened_at += late
        self._grown_at = max(now, self._grown_at)
        # A request that is late by up to half an interval does not delay those behind it.
        self._next_start = max(self._next_start, now - 0.5 / self.rate) + 1 / self.rate

    def _grow(self, elapsed: float) -> None:
        if self._doubles is not None:
            self.rate *= 2 ** min(elapsed / self._doubles, 1_000)
            return
        self._age += elapsed
        self.rate = self._limit * (1 - _DROP * (1 - self._age / self._back) ** 3)

    def deliver(self, now: float, started: float) -> None:
        """Count a response other than a refusal to the request that started at ``started``."""
        self._count += 1
        if self._shut_at is None:
            if self._doubles is not None:
                self._ramped.append(now)
        elif started == self._knock:
            self._open(now, self._shut_at)

    def lose(self, now: float, started: float) -> None:
        """Let another request find out, if this one did and got no response that tells."""
        if started == self._knock:
            self._knock = None
            self._next_start = now + self._wait

    def close(self, now: float, started: float, until: float) -> None:
        """Let nothing start before ``until``, for a reason that says nothing of the pace."""
        self.closed_until = max(self.closed_until, until)
        self.lose(now, started)
        if self._shut_at is None:
            self._shut_at, self._refused = now, False

    def refuse(self, now: float, started: float, until: float = -math.inf) -> None:
        """Count a refusal of the request that started at ``started``: slow down, if that is news.

        Nothing starts before ``until``, which comes from ``Retry-After``.
        """
        self.closed_until = max(self.closed_until, until)
        if self._shut_at is not None:
            if started == self._knock:
                self._knock = None
                self._next_start = now + self._wait
                self._wait = min(self._wait_max, self._wait * _KNOCK)
        elif started >= self._open_since:  # not sent before the last refusal could have an effect
            self._shut_at, self._refused, self._refused_rate = now, True, self.rate
            if until <= now:  # by a bucket the next request is let through
                interval = 1 / self.rate or self._wait_initial
                self._next_start = now + min(interval, self._wait_max)

    def _open(self, now: float, shut_at: float) -> None:
        drought = max(now - shut_at, 1e-3)
        if self.rate == math.inf:
            self._burst = self._count
            self._ramp(now, drought)
        elif self._refused:
            self._settle(now, shut_at, drought)
        else:
            self._opened_at += drought
        self._open_since = now
        self._shut_at = self._knock = None
        self._wait = self._wait_initial
        self._ramped.clear()
        self._grown_at = now
        self._next_start = now + 1 / self.rate

    def _ramp(self, now: float, drought: float) -> None:
        """Begin low, whoever got how much; but not slowly where the gateway just had a rest."""
        if not self._refused:
            drought = _RAMP * self._wait_initial
        drought = max(drought, _RAMP_DROUGHT)
        self._doubles = max(drought / _RAMP, _RAMP_DOUBLES)
        self.rate = _RAMP / drought
        self._opened_at, self._count = now, 0

    def _settle(self, now: float, shut_at: float, drought: float) -> None:
        """Find the limit between what was let through and the pace that was not."""
        passed = self._count / max(now - self._opened_at, 1e-3)
        refused = min(max(self._refused_rate, passed), _ABOVE * passed)
        if self._doubles is not None:
            limit = max(passed * (refused / passed) ** _TRUST_RAMP, self._let_through(shut_at))
        else:
            limit = passed * (refused / passed) ** _TRUST
        self._doubles, self._age = None, 0.0
        self._limit = max(limit, 1 / self._wait_max)
        self._back = max(_BACK * self._limit ** (1 / 3), _BACK_DROUGHTS * drought)
        self.rate = self._limit * (1 - _DROP)
        self._count *= _MEMORY
        self._opened_at = now - _MEMORY * (now - self._opened_at)

    def _let_through(self, shut_at: float) -> float:
        """A lower bound of a bucket's rate.

        In any span the limiter lets through at most what it holds, and its refill. What it holds was shown by
        the burst before there was a pace. For the span in which no refill ran over this bound is exact.
        """
        number = len(self._ramped)
        if number <= 1.2 * self._burst:  # a window's worth: it says nothing of a rate
            return 0.0
        return max(
            (number - index - self._burst) / max(shut_at - moment, 1e-3)
            for index, moment in enumerate(self._ramped)
        )
