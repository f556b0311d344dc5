"""Cancellation at every await point: an operation's waits are counted, and it is interrupted at the k-th.

Each scene is played again and again: interrupted at its first wait, at its second, until it ends before that.
"""

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any

import aiohttp
import attrs
import pytest

from apimall_async import AsyncClient, HistoryPage, RetryPolicy
from apimall_async._pagination._exact import ExactIteration
from apimall_async.testing import Fault, LocalGateway


QUICK = RetryPolicy(wait_initial=0.002, wait_max=0.004)
SOON = 5  # seconds, in which nothing that works does not end


@attrs.define
class Stage:
    """What one play is played on: a gateway in another thread, a fresh client, a pool of one connection."""

    gateway: LocalGateway
    client: AsyncClient
    sent: int = 0
    friends: list[asyncio.Task[HistoryPage]] = attrs.field(factory=list)

    def bring_friend(self) -> None:
        """Let another task request a page with the same client; nobody cancels that one."""
        self.friends.append(asyncio.create_task(self.client.list_history()))


@asynccontextmanager
async def stage(gateway: LocalGateway, *, own_session: bool) -> AsyncIterator[Stage]:
    """Set one up; whatever was left undone in it would be a warning, and so an error."""
    gateway.requests.clear()
    gateway._script.clear()
    if own_session:
        async with gateway.client(retry=QUICK) as client:
            yield Stage(gateway, client)
        return

    async def note(*_: object) -> None:
        on.sent += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector, trace_configs=[trace]) as session:
        on = Stage(gateway, gateway.client(session=session, retry=QUICK))
        yield on


Scene = Callable[[Stage], Coroutine[Any, Any, None]]


# The scenes.


async def one_page(stage: Stage) -> None:
    """Open a connection, send, read."""
    await stage.client.list_history()


async def a_retry(stage: Stage) -> None:
    """Sleep between two tries."""
    stage.gateway.fault(Fault.error(500), Fault.truncate())
    await stage.client.list_history()


async def at_the_guard(stage: Stage) -> None:
    """Wait for the guard, with others before and behind."""
    stage.gateway.fault(Fault.error(429, retry_after="0.004"))
    stage.bring_friend()
    await asyncio.sleep(0)
    stage.bring_friend()
    await stage.client.list_history()


async def first_at_the_guard(stage: Stage) -> None:
    """Be the one that the others wait for."""
    stage.gateway.fault(Fault.error(429, retry_after="0.004"))
    stage.bring_friend()
    await stage.client.list_history()


async def in_the_pool(stage: Stage) -> None:
    """Wait for the only connection, with one before and one behind."""
    stage.gateway.fault(Fault.slow(0.004))
    stage.bring_friend()
    await asyncio.sleep(0)
    stage.bring_friend()
    await stage.client.list_history()


async def plain_iteration(stage: Stage) -> None:
    """Read page after page."""
    async for _ in stage.client.iter_history(page_size=20):
        pass


async def exact_iteration(stage: Stage) -> None:
    """Likewise, with pages that overlap."""
    async for _ in stage.client.iter_history(exact=True, page_size=25):
        pass


async def prefetching(stage: Stage) -> None:
    """Have pages under way, also while the consumer itself waits."""
    async with aclosing(stage.client.iter_history_pages(read_ahead=2, page_size=20)) as pages:
        async for _ in pages:
            await asyncio.sleep(0)


async def a_page_boundary_that_fails(stage: Stage) -> None:
    """Drop what was prefetched, and request it again."""
    stage.gateway.fault(Fault(), Fault.stuck(9, echo_requested=True), Fault.cap(20))
    async for _ in stage.client.iter_history(read_ahead=2, page_size=25):
        pass


async def leaving_an_iteration(stage: Stage) -> None:
    """Close an iteration that has pages under way."""
    pages = stage.client.iter_history_pages(read_ahead=2, page_size=20)
    await anext(pages)
    await anext(pages)
    await pages.aclose()


SCENES = [
    one_page,
    a_retry,
    at_the_guard,
    first_at_the_guard,
    in_the_pool,
    plain_iteration,
    exact_iteration,
    prefetching,
    a_page_boundary_that_fails,
    leaving_an_iteration,
]
MOMENTS = ["as it begins", "as it ends", "twice at once", "while it cleans up"]


# The interruptions.


class Interruption:
    """Counts the waits of all tasks that an operation starts, and interrupts it at one of them."""

    def __init__(self, at: int, *, when: str) -> None:
        self.act: Callable[[], object] = lambda: None
        self.done = False
        self.hit = False  # a task that was running
        self._at = at
        self._when = when
        self._waits = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Count the waits of the tasks that are created in the block."""

        def watched(
            loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
        ) -> asyncio.Task[Any]:
            task = asyncio.Task(self._drive(coroutine), loop=loop, **options)
            task.add_done_callback(lambda _: coroutine.close())  # if cancelled before its first step
            return task

        loop = asyncio.get_running_loop()
        loop.set_task_factory(watched)
        try:
            yield
        finally:
            loop.set_task_factory(None)

    async def _drive(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await _Driven(coroutine, self._note)

    def _note(self, future: asyncio.Future[Any] | None) -> None:
        """One begins to wait for ``future``, or for its next turn."""
        self._waits += 1
        if self._waits == self._at:
            self.done = True
            loop = asyncio.get_running_loop()
            if self._when == "as it ends" and future:
                future.add_done_callback(lambda _: self.act())
            else:
                loop.call_soon(self.act)
            if self._when == "twice at once":
                loop.call_soon(self.act)
        elif self._waits == self._at + 1 and self._when == "while it cleans up":
            asyncio.get_running_loop().call_soon(self.act)


@attrs.frozen
class _Driven:
    """Drives a coroutine as a task does, and notes each wait."""

    coroutine: Coroutine[Any, Any, Any]
    note: Callable[[Any], None]

    def __await__(self) -> Generator[Any, None, Any]:
        steps = self.coroutine.__await__()
        error: BaseException | None = None
        while True:
            try:
                future = steps.throw(error) if error else next(steps)
            except StopIteration as stop:
                return stop.value
            self.note(future)
            error = None
            try:
                yield future
            except BaseException as thrown:  # noqa: BLE001 - whatever it is, it is for the coroutine
                error = thrown


Fate = Callable[[Interruption, Coroutine[Any, Any, None]], Coroutine[Any, Any, None]]


class WhimError(Exception):
    """A sibling's."""


async def cancelled(interruption: Interruption, operation: Coroutine[Any, Any, None]) -> None:
    """Be cancelled."""
    task = asyncio.current_task()

    def cancel() -> None:
        interruption.hit |= task.cancel()  # type: ignore[union-attr]

    interruption.act = cancel
    await operation


async def timed_out(interruption: Interruption, operation: Coroutine[Any, Any, None]) -> None:
    """Run out of time."""
    async with asyncio.timeout(None) as deadline:
        interruption.act = lambda: deadline.reschedule(0)
        await operation
        interruption.act = lambda: None


async def beside_a_sibling(interruption: Interruption, operation: Coroutine[Any, Any, None]) -> None:
    """Have a sibling that fails."""
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def sibling() -> None:
        await failure

    interruption.act = lambda: failure.done() or failure.set_exception(WhimError())
    async with asyncio.TaskGroup() as group:
        group.create_task(sibling())
        await operation
        failure.cancel()


@pytest.fixture(scope="module")
def thread() -> Iterator[LocalGateway]:
    """Run a gateway beside the loop of the tests, in which its own waits would be counted."""
    with LocalGateway(60).in_thread() as gateway:
        yield gateway
    gc.collect()  # whatever was not closed warns now


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """Return a list to which every session is added that is made."""
    made: list[aiohttp.ClientSession] = []
    make = aiohttp.ClientSession.__init__

    def note(session: aiohttp.ClientSession, **options: Any) -> None:
        made.append(session)
        make(session, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", note)
    return made


@pytest.fixture(autouse=True)
async def _no_reports() -> AsyncIterator[None]:
    """See that asyncio reports no errors."""
    reports: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    yield
    assert not reports


async def play(
    on: Stage,
    scene: Scene,
    interruption: Interruption,
    fate: Fate = cancelled,
) -> BaseException | None:
    """Play a scene to its end; return what it raised. Nothing goes on behind it."""
    before = asyncio.all_tasks()
    async with interruption.watching():
        playing = asyncio.create_task(fate(interruption, scene(on)))
        done, _ = await asyncio.wait([playing], timeout=SOON)
    assert done, "stuck"
    assert asyncio.all_tasks() - before <= set(on.friends), "a task goes on"
    if not on.friends:
        sent = on.sent
        for _ in range(4):
            await asyncio.sleep(0)
        assert on.sent == sent, "a request was sent after the end"
    return asyncio.CancelledError() if playing.cancelled() else playing.exception()


async def check_usable(on: Stage) -> None:
    """Friends get what they requested, the slot in the pool is free, and so is the guard."""
    async with asyncio.timeout(SOON):
        for friend in on.friends:
            assert (await friend).items == tuple(on.gateway.tasks[:20])
        on.gateway._script.clear()
        assert (await on.client.list_history(2)).items == tuple(on.gateway.tasks[20:40])
    if on.sent:
        assert len(on.gateway.requests) <= on.sent, "the gateway saw more requests than were sent"


async def interrupt_each_wait(
    gateway: LocalGateway,
    scene: Scene,
    *,
    own_session: bool = False,
    when: str = "as it begins",
    fate: Fate = cancelled,
    check: Callable[[Stage], Awaitable[None]] = check_usable,
) -> list[BaseException]:
    """Play a scene until no wait is left to interrupt; return what was raised each time."""
    raised: list[BaseException] = []
    for at in count(1):
        async with stage(gateway, own_session=own_session) as on:
            interruption = Interruption(at, when=when)
            error = await play(on, scene, interruption, fate)
            await check(on)
        if not interruption.done:
            assert error is None
            return raised
        assert error or not interruption.hit, "a cancellation was lost"
        if error:
            raised.append(error)
    raise AssertionError


@pytest.mark.parametrize("when", MOMENTS)
@pytest.mark.parametrize("scene", SCENES)
async def test_cancelled_at_each_wait(thread: LocalGateway, scene: Scene, when: str) -> None:
    """It is a CancelledError, nothing is left running or taken, and the client goes on working."""
    raised = await interrupt_each_wait(thread, scene, when=when)
    assert {type(error) for error in raised} == {asyncio.CancelledError}
    assert len(raised) >= 3


@pytest.mark.parametrize("when", ["as it begins", "as it ends"])
@pytest.mark.parametrize("scene", [one_page, prefetching])
async def test_cancelled_at_each_wait_in_an_own_session(
    thread: LocalGateway, scene: Scene, when: str
) -> None:
    """Likewise, also while the session is being opened."""
    raised = await interrupt_each_wait(thread, scene, own_session=True, when=when)
    assert {type(error) for error in raised} == {asyncio.CancelledError}
    assert len(raised) >= 3


@pytest.mark.parametrize("scene", [one_page, in_the_pool, prefetching])
async def test_out_of_time_at_each_wait(thread: LocalGateway, scene: Scene) -> None:
    """``asyncio.timeout`` around a call is a TimeoutError, and leaves as little behind."""
    raised = await interrupt_each_wait(thread, scene, fate=timed_out)
    assert {type(error) for error in raised} == {TimeoutError}
    assert len(raised) >= 3


@pytest.mark.parametrize("scene", [one_page, in_the_pool, prefetching])
async def test_a_sibling_fails_at_each_wait(thread: LocalGateway, scene: Scene) -> None:
    """A TaskGroup ends with the sibling's error, and with that alone."""
    raised = await interrupt_each_wait(thread, scene, fate=beside_a_sibling)
    for error in raised:
        assert isinstance(error, ExceptionGroup)
        assert [type(cause) for cause in error.exceptions] == [WhimError]
    assert len(raised) >= 3


@pytest.mark.parametrize("when", MOMENTS)
async def test_cancelled_while_a_client_closes(
    thread: LocalGateway, when: str, sessions: list[aiohttp.ClientSession]
) -> None:
    """At whichever moment in the life of a client, its end included: client and session are closed."""

    async def life(on: Stage) -> None:
        async with on.gateway.client(retry=QUICK) as on.client:
            await asyncio.gather(*(on.client.list_history() for _ in range(2)))

    async def check(on: Stage) -> None:
        assert on.client.closed
        assert all(session.closed for session in sessions)

    raised = await interrupt_each_wait(thread, life, own_session=True, when=when, check=check)
    assert {type(error) for error in raised} == {asyncio.CancelledError}
    assert len(raised) >= 4
    assert sessions


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize("first", ["the cancellation", "the timeout"])
async def test_cancelled_as_an_attempt_times_out(thread: LocalGateway, first: str, in_body: bool) -> None:
    """Where both have come when the loop gets its turn, the cancellation counts: there is no further try."""
    thread.requests.clear()
    thread.fault(Fault.stall(in_body=in_body))
    async with thread.client(timeout=0.05, retry=QUICK) as client:
        request = asyncio.create_task(client.list_history())
        while not thread.requests:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.02 if first == "the cancellation" else 0.06, request.cancel)
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is busy with something else
        await asyncio.wait([request], timeout=SOON)
        assert request.cancelled()
        assert len(thread.requests) == 1


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"read_ahead": 4}])
async def test_an_iteration_that_is_dropped_unclosed(thread: LocalGateway, options: dict[str, Any]) -> None:
    """In a cycle, too, which the garbage collector takes apart in its own order: asyncio reports nothing."""
    async with thread.client() as client:
        before = asyncio.all_tasks()
        for iterate in (client.iter_history, client.iter_history_pages):
            iteration: Any = iterate(page_size=10, **options)
            await anext(iteration)
            await anext(iteration)
            drop_in_a_cycle(iteration)
            del iteration
            gc.collect()
            await nothing_but(before)
        assert len((await client.list_history()).items) == 20


async def test_an_iteration_that_is_dropped_before_its_error(thread: LocalGateway) -> None:
    """Nobody came to the page that failed, and its error is not logged."""
    async with thread.client(retry=None) as client:
        before = asyncio.all_tasks()
        iteration = client.iter_history(page_size=10, read_ahead=4)
        await anext(iteration)
        thread.fault(Fault.error(403))
        await nothing_but(before)
        drop_in_a_cycle(iteration)
        del iteration
        gc.collect()
        await nothing_but(before)
        assert not thread._script


def drop_in_a_cycle(iteration: AsyncGenerator[Any]) -> None:
    """Make it part of what only the garbage collector finds."""
    cycle: list[Any] = [iteration]
    cycle.append(cycle)


async def nothing_but(tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until no other task is left."""
    async with asyncio.timeout(SOON):
        while asyncio.all_tasks() != tasks:
            await asyncio.sleep(0)


async def test_these_tests_can_fail(thread: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration that leaves behind what it prefetched is seen."""

    async def forget(iteration: ExactIteration[Any]) -> None:
        pass

    monkeypatch.setattr(ExactIteration, "close", forget)
    with pytest.raises(AssertionError, match="a task goes on"):
        await interrupt_each_wait(thread, prefetching)
