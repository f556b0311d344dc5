"""Timeouts over one timer: as exact, and as careful about other cancellations, as asyncio.timeout."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import own_clock
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from own_clock import OwnClockLoop

from apimall_async._deadlines import Deadline, Deadlines


SECONDS = 4.0  # that each request may take, in these tests

Limit = Callable[[], AbstractAsyncContextManager[object]]


@attrs.frozen
class Request:
    """One task with a timeout, and when who cancels it."""

    start: int
    takes: int
    cancelled_at: int | None
    cancelled_twice: bool = False


@attrs.frozen
class End:
    """How it ended, and when."""

    how: str
    at: float
    lost: bool
    """A cancellation that struck the task before its end did not end it."""


requests = st.lists(
    st.builds(Request, st.integers(0, 5), st.integers(0, 8), st.none() | st.integers(0, 12), st.booleans()),
    min_size=1,
    max_size=6,
)


def ours(loop: OwnClockLoop) -> Limit:
    """Limit by one Deadlines for all."""
    deadlines = Deadlines(SECONDS)

    @asynccontextmanager
    async def limit() -> Any:
        with Deadline(deadlines):
            yield
        assert loop.timers <= 1 + len(asyncio.all_tasks())

    return limit


def asyncios(_: OwnClockLoop) -> Limit:
    """Limit by asyncio's own."""
    return lambda: asyncio.timeout(SECONDS)


async def run_all(loop: OwnClockLoop, limit: Limit, plan: list[Request]) -> list[End]:
    """Let all of them happen, at whole seconds."""
    began = loop.time()
    struck: set[asyncio.Task[None]] = set()

    async def request(one: Request) -> None:
        async with limit():
            await asyncio.sleep(one.takes)

    def cancel(task: asyncio.Task[None]) -> None:
        if task.cancel():
            struck.add(task)

    async def run_one(one: Request) -> End:
        await asyncio.sleep(one.start)
        task = asyncio.create_task(request(one))
        if one.cancelled_at is not None:
            for _ in range(1 + one.cancelled_twice):
                loop.call_at(max(began + one.cancelled_at, loop.time()), cancel, task)
        await asyncio.wait([task])
        if task.cancelled():
            how = "cancelled"
        else:
            how = "timed out" if isinstance(task.exception(), TimeoutError) else "done"
        return End(how, loop.time() - began, task in struck and how != "cancelled")

    return list(await asyncio.gather(*map(run_one, plan)))


def possible(one: Request) -> set[tuple[str, float]]:
    """How it may end, and when: by what comes first; of what comes at the same moment, by any."""
    moments: dict[str, float] = {"done": one.start + one.takes, "timed out": one.start + SECONDS}
    if one.cancelled_at is not None:
        moments["cancelled"] = max(one.start, one.cancelled_at)
    first = min(moments.values())
    return {(how, moment) for how, moment in moments.items() if moment == first}


@pytest.mark.parametrize("make", [ours, asyncios], ids=["ours", "asyncio's"])
@given(requests)
@example([Request(0, 8, 4), Request(0, 8, 4, cancelled_twice=True), Request(0, 4, 4)])
def test_the_first_to_come_counts(make: Callable[[OwnClockLoop], Limit], plan: list[Request]) -> None:
    """Its end, the timeout or a cancellation; and no cancellation is taken for a timeout, or lost."""

    async def main(loop: OwnClockLoop) -> list[End]:
        return await run_all(loop, make(loop), plan)

    for one, end in zip(plan, own_clock.run(main), strict=True):
        assert (end.how, end.at) in possible(one)
        assert not end.lost


def test_a_timeout_is_a_timeout_error() -> None:
    """Its cause is the CancelledError, and the task is not cancelled any more."""

    async def main(loop: OwnClockLoop) -> None:
        began = loop.time()
        deadlines = Deadlines(SECONDS)
        with pytest.raises(TimeoutError) as caught, Deadline(deadlines):
            await asyncio.sleep(100)
        assert loop.time() == began + SECONDS
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0
        await asyncio.sleep(1)

    own_clock.run(main)


def test_a_timeout_in_a_task_that_was_cancelled_before() -> None:
    """As in a clean-up: the timeout counts there as anywhere, and so does the cancellation behind it."""

    async def clean_up(deadlines: Deadlines) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            with pytest.raises(TimeoutError), Deadline(deadlines):
                await asyncio.sleep(100)

    async def main(loop: OwnClockLoop) -> None:
        task = asyncio.create_task(clean_up(Deadlines(SECONDS)))
        loop.call_later(1, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()

    own_clock.run(main)


def test_an_error_at_the_last_moment_is_that_error() -> None:
    """A request that fails while its time runs out fails as it did, and the task goes on."""

    async def main(loop: OwnClockLoop) -> None:
        deadlines = Deadlines(SECONDS)
        with pytest.raises(KeyError), Deadline(deadlines):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                raise KeyError from None
        await asyncio.sleep(1)

    own_clock.run(main)


def test_many_requests_have_one_timer() -> None:
    """Also those that came later, and after some have ended."""

    async def main(loop: OwnClockLoop) -> None:
        deadlines = Deadlines(SECONDS)
        done = asyncio.Event()

        async def request() -> None:
            with Deadline(deadlines):
                await done.wait()

        tasks = []
        for _ in range(5):
            tasks += [asyncio.create_task(request()) for _ in range(20)]
            await asyncio.sleep(0)
            assert loop.timers == 1
            await asyncio.sleep(0.5)
        done.set()
        await asyncio.gather(*tasks)
        assert loop.timers == 1
        await asyncio.sleep(2 * SECONDS)
        assert loop.timers == 0

    own_clock.run(main)


def test_closing_leaves_no_timer() -> None:
    """Idempotent; and a request that is made after that is limited all the same."""

    async def main(loop: OwnClockLoop) -> None:
        deadlines = Deadlines(SECONDS)
        for _ in range(2):
            with pytest.raises(TimeoutError), Deadline(deadlines):
                await asyncio.sleep(100)
            with Deadline(deadlines):
                assert loop.timers == 1
            deadlines.close()
            deadlines.close()
            assert loop.timers == 0

    own_clock.run(main)
