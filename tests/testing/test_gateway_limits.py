"""Rate limits, on a clock that the test owns."""

import aiohttp
import pytest

from apimall_async.testing import LocalGateway, RateLimit


class Clock:
    """Returns the seconds that it is set to."""

    now = 1000.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def admitted(limit: RateLimit, tries: int) -> int:
    """Count how many of so many requests pass at once."""
    return sum(limit.admit() for _ in range(tries))


def test_a_bucket_admits_a_burst_then_the_rate() -> None:
    """Tokens flow in continuously, and no more than a burst is kept."""
    clock = Clock()
    limit = RateLimit(100, 20, clock=clock)
    assert admitted(limit, 50) == 20
    clock.now += 0.1
    assert admitted(limit, 50) == 10
    clock.now += 0.005
    assert admitted(limit, 50) == 0
    clock.now += 3600
    assert admitted(limit, 50) == 20


@pytest.mark.parametrize(("requests", "seconds"), [(5, 2.0), (5, 3.0), (1, 0.1), (7, 60.0)])
def test_a_window_admits_so_many_and_opens_on_time(requests: int, seconds: float) -> None:
    """Nothing is refilled before a window ends; each opens on the first one's grid."""
    clock = Clock()
    limit = RateLimit.window(requests, seconds, clock=clock)
    assert admitted(limit, 50) == requests
    clock.now += seconds * 0.99
    assert admitted(limit, 50) == 0
    clock.now += seconds * 0.51
    assert admitted(limit, 50) == requests
    clock.now += seconds * 0.51
    assert admitted(limit, 50) == requests


def test_the_wait_is_a_windows_length() -> None:
    """Retry-After is a whole window, unless given."""
    assert RateLimit.window(5, 2.0).retry_after == 2.0
    assert RateLimit.window(5, 2.0, retry_after=0.5).retry_after == 0.5


@pytest.mark.parametrize(("retry_after", "sent"), [(None, None), (1.0, "1"), (1.5, "1.5")])
async def test_a_refused_request_is_a_429(retry_after: float | None, sent: str | None) -> None:
    """The limit counts each request with a valid key, and no other."""
    limit = RateLimit(1, 1, retry_after, clock=Clock())
    async with LocalGateway(1, rate_limit=limit) as gateway, aiohttp.ClientSession() as http:
        url = f"{gateway.url}/api/v1/images/history"
        owner = {"Authorization": f"Bearer {gateway.api_key}"}
        statuses = []
        for headers in ({}, owner, owner):
            async with http.get(url, headers=headers) as response:
                statuses.append(response.status)
                body = await response.json()
    assert statuses == [401, 200, 429]
    assert body["error"] == {"code": "too_many_requests", "message": "Rate limit exceeded"}
    assert response.headers.get("Retry-After") == sent
