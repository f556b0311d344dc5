"""A host that says when to come back is left alone until then, by all downloads."""

import asyncio
from pathlib import Path

import pytest
from image_host import PNG, Host, files, hosting, make_task, response, sends

from apimall_async import APIStatusError, AsyncClient, InternalServerError, RateLimitError
from apimall_async._images import _waits


class Clock:
    """Holds up whatever sleeps for long, until the time has come."""

    def __init__(self) -> None:
        self.sleeping = 0
        self._come = asyncio.Event()
        self._sleep = asyncio.sleep

    async def sleep(self, seconds: float) -> None:
        """Take the place of asyncio.sleep."""
        if seconds < 1:
            return await self._sleep(seconds)
        self.sleeping += 1
        return await self._come.wait()

    async def until_sleeping(self, count: int) -> None:
        """Wait until so many are held up."""
        while self.sleeping < count:
            await self._sleep(0.001)

    def pass_by(self) -> None:
        """Let all waits be over."""
        _waits._waits.clear()
        self._come.set()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Own the clock."""
    clock = Clock()
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


@pytest.mark.parametrize("status", [429, 503])
async def test_all_downloads_from_the_host_wait(
    client: AsyncClient, host: Host, tmp_path: Path, status: int, clock: Clock
) -> None:
    """One gets the error; the others wait, and go on. Those from other hosts do not wait."""
    host.script += [sends(response(status, b"", {"Retry-After": "60"}))]
    with pytest.raises(APIStatusError):
        await client.download(make_task(host.url), tmp_path)
    tasks = [make_task(host.url, f"img_{number}") for number in range(20)]
    waiting = [asyncio.create_task(client.download(task, tmp_path)) for task in tasks]
    await clock.until_sleeping(20)
    async with hosting() as other:
        await client.download(make_task(other.url, "img_other"), tmp_path)
    assert len(host.requests) == 1
    clock.pass_by()
    await asyncio.gather(*waiting)
    assert len(host.requests) == 21
    assert len(files(tmp_path)) == 21


async def test_a_wait_is_slept_through(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """For as long as the host wants, and no longer."""
    host.script += [sends(response(429, b"", {"Retry-After": "0.2"}))]
    with pytest.raises(RateLimitError):
        await client.download(make_task(host.url), tmp_path)
    started = asyncio.get_running_loop().time()
    await client.download(make_task(host.url), tmp_path)
    assert asyncio.get_running_loop().time() - started < 30
    assert files(tmp_path) == {"img_1.png": PNG}


async def test_a_redirect_to_the_host_waits(
    client: AsyncClient, host: Host, tmp_path: Path, clock: Clock
) -> None:
    """The host that redirects is requested again after it."""
    async with hosting() as first:
        first.script += [sends(response(302, b"", {"Location": host.url}))] * 3
        host.script += [sends(response(503, b"", {"Retry-After": "60"}))]
        with pytest.raises(InternalServerError):
            await client.download(make_task(first.url), tmp_path)
        waiting = asyncio.create_task(client.download(make_task(first.url), tmp_path))
        await clock.until_sleeping(1)
        assert (len(first.requests), len(host.requests)) == (2, 1)
        clock.pass_by()
        await waiting
    assert (len(first.requests), len(host.requests)) == (3, 2)
    assert files(tmp_path) == {"img_1.png": PNG}


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimitError), (503, InternalServerError)])
async def test_a_wait_that_is_too_long_is_raised_at_once(
    client: AsyncClient, host: Host, tmp_path: Path, status: int, kind: type[APIStatusError]
) -> None:
    """With what is left of it; the host gets no request. The longest wait counts."""
    waits = [response(status, b"", {"Retry-After": "900"}), response(status, b"", {"Retry-After": "7"})]

    async def both(client: AsyncClient, number: int) -> None:
        with pytest.raises(kind):
            await client.download(make_task(host.url, f"img_{number}"), tmp_path)

    host.script += [sends(wait) for wait in waits]
    await asyncio.gather(both(client, 1), both(client, 2))
    assert len(host.requests) == 2
    with pytest.raises(kind, match="to another request") as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.retryable
    assert caught.value.retry_after
    assert 300 < caught.value.retry_after <= 900
    assert len(host.requests) == 2
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    "refusal",
    [
        response(429),
        response(503, b"", {"Retry-After": "soon"}),
        response(500, b"", {"Retry-After": "60"}),
        response(404, b"", {"Retry-After": "60"}),
    ],
)
async def test_without_a_time_nothing_waits(
    client: AsyncClient, host: Host, tmp_path: Path, refusal: bytes
) -> None:
    """The host does not say when; or its error is about this image alone."""
    host.script += [sends(refusal)]
    with pytest.raises(APIStatusError):
        await client.download(make_task(host.url), tmp_path)
    await client.download(make_task(host.url), tmp_path, timeout=5)


async def test_what_is_over_is_forgotten(client: AsyncClient, host: Host, tmp_path: Path) -> None:
    """A host that was overloaded once is not held up later, and takes no memory."""
    for number in range(2):
        host.script += [sends(response(429, b"", {"Retry-After": "0.01"}))]
        with pytest.raises(RateLimitError):
            await client.download(make_task(host.url), tmp_path)
        await asyncio.sleep(0.02)
        async with hosting() as other:
            other.script += [sends(response(429, b"", {"Retry-After": "0.01"}))]
            with pytest.raises(RateLimitError):
                await client.download(make_task(other.url), tmp_path)
        assert len(_waits._waits[asyncio.get_running_loop()]) == 1, number
