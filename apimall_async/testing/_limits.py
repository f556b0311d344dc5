"""Rate limits the gateway can enforce."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Self

from apimall_async.testing._contract import Refusal


# A window of n / seconds x seconds refills n requests but for a rounding error.
_ALMOST_ONE = 1 - 1e-9


class RateLimit:
    """A token bucket: ``rate`` requests per second, ``burst`` of them at once.

    A request that finds no token gets a 429, with ``retry_after`` seconds in its Retry-After,
    or without one if that is None. ``clock`` returns seconds; a test may bring its own.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        retry_after: float | None = None,
        *,
        every: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Refill continuously, or at once each ``every`` seconds from the first request on."""
        self.retry_after = retry_after
        self._rate = rate
        self._burst = burst
        self._every = every
        self._clock = clock
        self._tokens = float(burst)
        self._refilled: float | None = None

    @classmethod
    def window(
        cls,
        requests: int,
        seconds: float,
        *,
        retry_after: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Admit so many requests in each window of so many seconds; the first request opens one.

        A 429 says to wait one whole window unless ``retry_after`` is given.
        """
        wait = seconds if retry_after is None else retry_after
        return cls(requests / seconds, requests, wait, every=seconds, clock=clock)

    def admit(self) -> bool:
        """Take a token, if there is one."""
        now = self._clock()
        elapsed = 0.0 if self._refilled is None else now - self._refilled
        if self._every:
            elapsed -= elapsed % self._every
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._refilled = now if self._refilled is None else self._refilled + elapsed
        if self._tokens < _ALMOST_ONE:
            return False
        self._tokens -= 1
        return True


def admit(limit: RateLimit | None) -> None:
    """Let a request pass.

    Raises:
        Refusal: 429, it is one too many.

    """
    if limit is None or limit.admit():
        return
    wait = limit.retry_after
    headers = None if wait is None else {"Retry-After": f"{wait:g}"}
    raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, headers=headers)
