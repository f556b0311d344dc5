"""Pages behind the last one, in all the forms that back ends send, over real sockets."""

from typing import Any, get_args

import pytest

from apimall_async import ApimallError, APIStatusError, NotFoundError, PaginationError, RetryPolicy
from apimall_async.testing import Fault, LocalGateway, PastEnd, RecordedRequest


PAST_END: tuple[PastEnd, ...] = get_args(PastEnd)
SHOWN_BY_ONE_PAGE = ("empty", "empty-as-last")
LENGTHS = [0, 1, 49, 50, 51, 100, 150]
EACH_END = pytest.mark.parametrize("past_end", PAST_END)
EACH_KIND = pytest.mark.parametrize("options", [{}, {"exact": True}, {"read_ahead": 4}])
QUICK = RetryPolicy(max_tries=3, wait_initial=0.001, wait_max=0.002)


async def read(gateway: LocalGateway, **options: Any) -> list[str]:
    """Iterate to the end."""
    gateway.requests.clear()
    async with gateway.client(retry=QUICK) as client:
        return [task.task_id async for task in client.iter_history(**options)]


def ids(gateway: LocalGateway) -> list[str]:
    """Return the ids that there are."""
    return [task.task_id for task in gateway.tasks]


@EACH_END
async def test_plain_iteration_ends(past_end: PastEnd) -> None:
    """All tasks, no error, n // 50 + 1 requests; one more if n is a multiple and the page not empty."""
    for tasks in LENGTHS:
        async with LocalGateway(tasks, past_end=past_end) as gateway:
            assert await read(gateway) == ids(gateway)
            refused = past_end != "empty" and tasks > 0 and tasks % 50 == 0
            assert len(gateway.requests) == tasks // 50 + 1 + refused


@EACH_END
@pytest.mark.parametrize("options", [{"exact": True}, {"read_ahead": 8}, {"exact": True, "page_size": 20}])
async def test_exact_iteration_ends(past_end: PastEnd, options: dict[str, Any]) -> None:
    """All tasks, no error."""
    for tasks in LENGTHS:
        async with LocalGateway(tasks, past_end=past_end) as gateway:
            assert await read(gateway, **options) == ids(gateway), tasks


@EACH_END
@EACH_KIND
async def test_a_start_page_past_the_end(past_end: PastEnd, options: dict[str, Any]) -> None:
    """Nothing is yielded, and nothing raised; but the last page as if it were this one cannot be told."""
    async with LocalGateway(70, past_end=past_end) as gateway:
        for bounds in ({}, {"max_items": 1}):
            seen = await read(gateway, start_page=5, **options, **bounds)
            assert seen == [] or past_end == "last-as-requested"


@EACH_END
async def test_max_items_past_the_end(past_end: PastEnd) -> None:
    """One more than there are, or as many: all tasks, and no error."""
    async with LocalGateway(100, past_end=past_end) as gateway:
        assert await read(gateway, max_items=101) == ids(gateway)
        assert await read(gateway, max_items=100) == ids(gateway)
        assert len(gateway.requests) == 2


@EACH_KIND
@pytest.mark.parametrize("start_page", [1, 3])
async def test_a_wrong_address(options: dict[str, Any], start_page: int) -> None:
    """Where every page is a 404, that is the error, wherever the iteration begins."""
    async with LocalGateway(100) as gateway:
        gateway.rule(lambda _: Fault(status=404, body=b"not found"))
        with pytest.raises(NotFoundError) as caught:
            await read(gateway, start_page=start_page, **options)
        assert caught.value.page == start_page


@EACH_KIND
@pytest.mark.parametrize("status", [400, 404, 410, 416, 422])
@pytest.mark.parametrize("at", range(2, 9))
async def test_a_passing_refusal(status: int, at: int, options: dict[str, Any]) -> None:
    """A proxy's in the middle of an iteration: an error, or all tasks; never a shorter history."""
    async with LocalGateway(250) as gateway:
        gateway.rule(lambda _: Fault.html(status) if len(gateway.requests) == at else None)
        try:
            seen = await read(gateway, **options)
        except APIStatusError as error:
            assert error.status == status
            assert error.page
        else:
            assert seen == ids(gateway)


@EACH_KIND
async def test_a_passing_refusal_of_the_first_page(options: dict[str, Any]) -> None:
    """Of page 1 it is an error; of a later one, from which the iteration begins, it ends nothing."""
    async with LocalGateway(150) as gateway:
        gateway.fault(Fault.html(404))
        with pytest.raises(NotFoundError):
            await read(gateway, **options)
        gateway.fault(Fault.html(404))
        assert await read(gateway, start_page=3, **options) == ids(gateway)[100:]
        gateway.fault(Fault.html(404), Fault(), Fault.error(403))
        with pytest.raises(APIStatusError):
            await read(gateway, start_page=3, **options)


@EACH_KIND
@pytest.mark.parametrize("begin", range(2, 7))
@pytest.mark.parametrize("for_how_long", [2, 3, 30])
async def test_refusals_for_a_while(begin: int, for_how_long: int, options: dict[str, Any]) -> None:
    """A deployment in which the proxy sends 404 for several requests: an error, or all tasks."""
    async with LocalGateway(250) as gateway:
        gateway.rule(
            lambda _: Fault.html(404) if begin <= len(gateway.requests) < begin + for_how_long else None
        )
        try:
            seen = await read(gateway, **options)
        except ApimallError as error:
            assert isinstance(error, NotFoundError | PaginationError)
        else:
            assert seen == ids(gateway)


@EACH_KIND
async def test_a_history_that_shrinks_past_the_next_page(options: dict[str, Any]) -> None:
    """Deletions leave the next page behind the end, and it is refused: exact iteration reads what is left."""
    async with LocalGateway(200, past_end=404) as gateway:

        @gateway.rule
        def shrink(request: RecordedRequest) -> None:
            if len(gateway.requests) == 3:
                gateway.delete(*ids(gateway)[:80])

        left = ids(gateway)[80:]
        seen = await read(gateway, **options)
        assert not options or [task for task in seen if task in left] == left
