"""The laws of real rate limiters, as pure functions of a clock that the caller owns.

Each admits a request or not, and knows how long it stays shut: ``wait`` is what an exact Retry-After says.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs


class Limiter(Protocol):
    """What all of them do."""

    seconds: float
    """The window, or what a whole-window Retry-After says."""

    def admit(self, now: float) -> bool:
        """Count a request, and say whether it is let through."""
        ...

    def wait(self, now: float) -> float:
        """Seconds until one request would be let through, if none comes meanwhile."""
        ...


@attrs.define
class Bucket:
    """A token bucket: nginx's limit_req with nodelay, varnish's vsthrottle, GCRA."""

    requests: float
    seconds: float
    burst: float = attrs.field(default=attrs.Factory(lambda self: self.requests, takes_self=True))
    _tokens: float = attrs.field(default=attrs.Factory(lambda self: self.burst, takes_self=True))
    _filled: float = 0.0

    def _fill(self, now: float) -> None:
        self._tokens = min(self.burst, self._tokens + (now - self._filled) * self.requests / self.seconds)
        self._filled = now

    def admit(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait(self, now: float) -> float:
        """Until there is a token."""
        self._fill(now)
        return max(0.0, (1 - self._tokens) * self.seconds / self.requests)


@attrs.define
class Window:
    """So many requests a window that begins with the first request after the last: express-rate-limit."""

    requests: int
    seconds: float
    _begun: float = -math.inf
    _count: int = 0

    def _begin(self, now: float) -> float:
        """When the window of this moment begins."""
        return now if now >= self._begun + self.seconds else self._begun

    def admit(self, now: float) -> bool:
        """Count a request, if the window has room."""
        begun = self._begin(now)
        if begun != self._begun:
            self._begun, self._count = begun, 0
        if self._count >= self.requests:
            return False
        self._count += 1
        return True

    def wait(self, now: float) -> float:
        """Until the window ends."""
        full = self._begin(now) == self._begun and self._count >= self.requests
        return max(0.0, self._begun + self.seconds - now) if full else 0.0

    def left(self, now: float) -> tuple[int, float]:
        """Requests that are left, and seconds until the window ends."""
        begun = self._begin(now)
        used = self._count if begun == self._begun else 0
        return self.requests - used, begun + self.seconds - now


@attrs.define
class Clock(Window):
    """Windows of the clock: rack-attack, django-ratelimit."""

    phase: float = 0.0

    def _begin(self, now: float) -> float:
        return (now - self.phase) // self.seconds * self.seconds + self.phase


@attrs.define
class Log:
    """Each request is free again a window after its use: Django REST framework, fastapi-limiter."""

    requests: int
    seconds: float
    _used: deque[float] = attrs.field(factory=deque)

    def _forget(self, now: float) -> None:
        while self._used and self._used[0] <= now - self.seconds:
            self._used.popleft()

    def admit(self, now: float) -> bool:
        """Note a request, if fewer than the limit are in the window."""
        self._forget(now)
        if len(self._used) >= self.requests:
            return False
        self._used.append(now)
        return True

    def wait(self, now: float) -> float:
        """Until enough of them left the window."""
        self._forget(now)
        over = len(self._used) - self.requests
        return max(0.0, self._used[over] + self.seconds - now) if over >= 0 else 0.0


@attrs.define
class CountingLog(Log):
    """A log that counts what it refuses, too: haproxy's http_req_rate."""

    def admit(self, now: float) -> bool:
        """Note a request in any case."""
        self._forget(now)
        self._used.append(now)
        return len(self._used) <= self.requests


@attrs.define
class SlidingCounter:
    """This window's count and a share of the last one's: Flask-Limiter's sliding-window-counter."""

    requests: int
    seconds: float
    _index: int = 0
    _last: int = 0
    _count: int = 0

    def _weighted(self, now: float) -> float:
        index, past = divmod(now, self.seconds)
        if index != self._index:
            self._last = self._count if index == self._index + 1 else 0
            self._index, self._count = int(index), 0
        return self._last * (1 - past / self.seconds) + self._count

    def admit(self, now: float) -> bool:
        """Count a request, if the weighted count has room."""
        if self._weighted(now) > self.requests - 1:
            return False
        self._count += 1
        return True

    def wait(self, now: float) -> float:
        """Until the share of the last window has shrunk enough."""
        over = self._weighted(now) - (self.requests - 1)
        if over <= 0:
            return 0.0
        if self._last and self._count < self.requests:
            return over * self.seconds / self._last
        rest = self.seconds - now % self.seconds
        return rest + max(0.0, self._count - self.requests + 1) * self.seconds / self._count


@attrs.define
class Blocking(Window):
    """Each refusal begins the window anew: fastify's continueExceeding, apache's mod_evasive."""

    def admit(self, now: float) -> bool:
        """Count a request; a refused one prolongs the block."""
        if super().admit(now):
            return True
        self._begun = now
        return False


@attrs.define
class Punishing(Window):
    """A refusal blocks for a whole window: @nestjs/throttler, rate-limiter-flexible's blocks."""

    _blocked: bool = False

    def admit(self, now: float) -> bool:
        """Count a request; the first refused one begins the block."""
        if super().admit(now):
            self._blocked = False
            return True
        if not self._blocked:
            self._begun, self._blocked = now, True
        return False


LAWS: Mapping[str, Callable[[int, float], Limiter]] = {
    "bucket": Bucket,
    "window": Window,
    "clock": Clock,
    "log": Log,
    "sliding counter": SlidingCounter,
    "counting log": CountingLog,
    "blocking": Blocking,
    "punishing": Punishing,
}

RETRY_AFTER: Mapping[str, Callable[[float, float], float | None]] = {
    "none": lambda _wait, _seconds: None,
    "exact": lambda wait, _seconds: wait,
    "down": lambda wait, _seconds: float(math.floor(wait)),
    "up": lambda wait, _seconds: float(math.ceil(wait)),
    "whole": lambda _wait, seconds: seconds,
}
"""What a refusal says of the exact wait and the window."""


HINTS: Mapping[str, Callable[[float, float], float]] = {
    "exact": lambda seconds, _now: seconds,
    "up": lambda seconds, _now: float(math.ceil(seconds)),
    "down": lambda seconds, _now: float(math.floor(seconds)),
    "epoch up": lambda seconds, now: math.ceil(now + seconds) - float(math.floor(now)),
}
"""What a response says of the exact seconds to the end of the window; epochs are measured from a Date."""


def ideal(limiter: Limiter, responses: int) -> float:
    """Seconds that the best client needs for so many responses."""
    now = 0.0
    for _ in range(responses):
        while wait := limiter.wait(now):
            now += wait + 1e-9
        assert limiter.admit(now)
    return now
