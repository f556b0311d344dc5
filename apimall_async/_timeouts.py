"""How long one attempt may take, and the error of one that took longer."""

import math
from typing import NamedTuple

import aiohttp

from apimall_async._errors import APITimeoutError


class Limits(NamedTuple):
    """How long one attempt may take."""

    seconds: float
    """In all, without waiting for a free connection."""
    phases: aiohttp.ClientTimeout


def limits_of(timeout: aiohttp.ClientTimeout, seconds: float, connect: float) -> Limits:
    """Make the limits of ``timeout``, but no more than so many seconds in all, and to connect.

    aiohttp's own timer of the total swallows a cancellation that comes while it runs out: ours does not.
    """
    total = min(timeout.total or math.inf, seconds)
    if connect < math.inf:  # a little less than the total, so that the error tells which of both it was
        connect = max(min(connect, 0.9 * total, timeout.connect or math.inf), 0.001)
    return Limits(
        total,
        aiohttp.ClientTimeout(
            None,
            connect=timeout.connect if connect == math.inf else connect,
            sock_read=timeout.sock_read,
            sock_connect=timeout.sock_connect,
            ceil_threshold=timeout.ceil_threshold,
        ),
    )


def timeout_error(error: Exception, limits: Limits) -> APITimeoutError | None:
    """Make the error of an attempt that took too long, and tell where; None for other errors."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return APITimeoutError("no connection in time")
    if isinstance(error, TimeoutError):
        limit = f"within {limits.seconds:g} seconds" if limits.seconds < math.inf else "in time"
        return APITimeoutError(f"no whole response {limit}")
    return None
