"""What the contract leaves open about pages, each in the ways that back ends have."""

from itertools import groupby
from typing import Any, get_args

import aiohttp
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimall_async import APIResponseValidationError, APIStatusError, HistoryPage, ImageTask, NotFoundError
from apimall_async.testing import Fault, History, LocalGateway, PastEnd, Ties, sample_history


PATH = "/api/v1/images/history"
PAST_END: tuple[PastEnd, ...] = get_args(PastEnd)
STATUSES = [value for value in PAST_END if isinstance(value, int)]


async def read(gateway: LocalGateway, page: int, limit: int) -> tuple[int, dict[str, Any]]:
    """Request a page without the client; return status and JSON."""
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    params = {"page": page, "limit": limit}
    async with (
        aiohttp.ClientSession(gateway.url, headers=headers) as session,
        session.get(PATH, params=params) as response,
    ):
        assert response.content_type == "application/json"
        return response.status, await response.json()


async def pages(gateway: LocalGateway, *numbers: int, limit: int) -> list[list[ImageTask]]:
    """Read pages with the client."""
    async with gateway.client(retry=None) as client:
        return [list(await client.list_history(page=page, limit=limit)) for page in numbers]


@pytest.mark.parametrize(
    ("past_end", "number", "position"),
    [("empty", 9, 7), ("empty-as-last", 3, 7), ("last", 3, 6), ("last-as-requested", 9, 6)],
)
async def test_a_page_past_the_end(past_end: PastEnd, number: int, position: int) -> None:
    """It shows nothing or the last page again, with the requested number or that of the last page."""
    async with LocalGateway(7, past_end=past_end) as gateway, gateway.client() as client:
        page = await client.list_history(page=9, limit=3)
        assert page == HistoryPage(tuple(gateway.tasks[position:]), number, 3, page.request_id)
        assert gateway.requests[-1].tasks == 7 - position


@pytest.mark.parametrize(("past_end", "items"), [("null", {"items": None}), ("missing", {})])
async def test_a_page_past_the_end_without_items(past_end: PastEnd, items: dict[str, None]) -> None:
    """They are null or missing, all else is as usual; to the client that is outside the contract."""
    async with LocalGateway(7, past_end=past_end) as gateway, gateway.client() as client:
        status, body = await read(gateway, 4, 3)
        assert (status, body["success"], body["data"]) == (200, True, {**items, "page": 4, "limit": 3})
        with pytest.raises(APIResponseValidationError):
            await client.list_history(page=4, limit=3)


@pytest.mark.parametrize("past_end", STATUSES)
async def test_a_page_past_the_end_is_refused(past_end: PastEnd) -> None:
    """The status is the chosen one, the body JSON that is no page; the client reads both."""
    async with LocalGateway(7, past_end=past_end) as gateway, gateway.client() as client:
        status, body = await read(gateway, 4, 3)
        assert status == past_end
        assert "data" not in body or body["data"] == {"status": 400}
        with pytest.raises(NotFoundError if past_end == 404 else APIStatusError) as caught:
            await client.list_history(page=4, limit=3)
        assert caught.value.status == past_end
        assert len(gateway.requests) == 2, "it is not retried"


async def test_a_404_is_the_one_of_django_rest_framework() -> None:
    """Its body is theirs, to the letter."""
    async with LocalGateway(7, past_end=404) as gateway:
        assert await read(gateway, 4, 3) == (404, {"detail": "Invalid page."})


@pytest.mark.parametrize("past_end", PAST_END)
async def test_pages_up_to_the_last_are_as_always(past_end: PastEnd) -> None:
    """It changes no page that shows a task, nor page 1 of an empty history. The next is past the end."""
    async with (
        LocalGateway(6, accounts={"sk-none": 0}, past_end=past_end) as gateway,
        gateway.client("sk-none") as nothing,
    ):
        assert await pages(gateway, 1, 2, limit=3) == [gateway.tasks[:3], gateway.tasks[3:]]
        page = await nothing.list_history(limit=3)
        assert page == HistoryPage((), 1, 3, page.request_id)
        status, body = await read(gateway, 3, 3)
        assert (status == 200) == (past_end not in STATUSES)
        assert past_end == "empty" or body.get("data") != {"items": [], "page": 3, "limit": 3}


@pytest.mark.parametrize(
    ("past_end", "number"), [("empty", 2), ("empty-as-last", 1), ("last", 1), ("last-as-requested", 2)]
)
async def test_page_2_of_an_empty_history(past_end: PastEnd, number: int) -> None:
    """It is past the end; the last page is page 1, which shows nothing."""
    async with LocalGateway(0, past_end=past_end) as gateway, gateway.client() as client:
        page = await client.list_history(page=2, limit=3)
        assert page == HistoryPage((), number, 3, page.request_id)


async def test_the_end_goes_by_the_limit_that_is_served() -> None:
    """Where the limit is capped, the last page is the last of the capped ones."""
    async with LocalGateway(7, max_limit=2, past_end="last") as gateway, gateway.client() as client:
        page = await client.list_history(page=9, limit=3)
        assert (page.page, page.limit, list(page)) == (4, 2, gateway.tasks[6:])
        gateway.fault(Fault.stuck(9))
        assert (await client.list_history(limit=2)).page == 4, "a fault may request it, too"


@pytest.mark.parametrize("past_end", ["", "Empty", "first", 403, 500, True, None, [404]])
def test_another_past_end_is_refused(past_end: Any) -> None:
    """The error names the argument and what it may be."""
    with pytest.raises(ValueError, match=r"past_end must be one of 'empty', .* 422, not"):
        LocalGateway(7, past_end=past_end)


def test_other_ties_are_refused() -> None:
    """The error names the argument and what it may be."""
    random: Any = "random"
    with pytest.raises(ValueError, match="ties must be one of 'stable', 'any', not 'random'"):
        LocalGateway(7, ties=random)


@pytest.mark.parametrize("hidden", ["img_1", b"img_1", None, 7, iter(["img_1"])])
def test_what_hides_no_tasks_is_refused(hidden: Any) -> None:
    """The error names the argument, at the start and later. The id itself is no collection of ids."""
    with pytest.raises(ValueError, match="hidden must be a collection of task ids or a function"):
        LocalGateway(7, hidden=hidden)
    gateway = LocalGateway(7)
    with pytest.raises(ValueError, match="hidden must be a collection of task ids or a function"):
        gateway.hidden = hidden
    assert gateway.hidden == ()


async def test_tasks_are_hidden_after_the_page_is_cut() -> None:
    """A page in the middle is short, the last one may be empty, and ``tasks`` still has what is hidden."""
    tasks = sample_history(7)
    hidden = {tasks[0].task_id, tasks[4].task_id, tasks[6].task_id}
    async with LocalGateway(tasks, hidden=hidden, past_end=404) as gateway:
        tasks = gateway.tasks
        assert await pages(gateway, 1, 2, 3, limit=3) == [tasks[1:3], [tasks[3], tasks[5]], []]
        assert [request.tasks for request in gateway.requests] == [2, 2, 0]
        assert len(gateway.tasks) == len(gateway.history) == 7


async def test_a_function_may_hide_tasks() -> None:
    """It gets each task as ``tasks`` has it, of every account."""
    seen: list[ImageTask] = []

    def failed(task: ImageTask) -> bool:
        seen.append(task)
        return task.status == "failed"

    async with (
        LocalGateway(1, accounts={"sk-2": 40}, hidden=failed) as gateway,
        gateway.client("sk-2") as client,
    ):
        tasks = gateway.accounts["sk-2"].tasks
        assert list(await client.list_history(limit=50)) == [
            task for task in tasks if task.status != "failed"
        ]
        assert seen == tasks


async def test_what_is_hidden_may_change() -> None:
    """A new value counts from the next request on, and so does a change of the set that was given."""
    hidden: set[str] = set()
    async with LocalGateway(3, hidden=hidden) as gateway:
        tasks = gateway.tasks
        assert await pages(gateway, 1, limit=3) == [tasks]
        hidden.add(tasks[1].task_id)
        assert await pages(gateway, 1, limit=3) == [[tasks[0], tasks[2]]]
        gateway.hidden = lambda task: task == tasks[0]
        assert await pages(gateway, 1, limit=3) == [tasks[1:]]


async def read_often(seed: int, ties: Ties) -> list[tuple[str, ...]]:
    """Read the second page of a history in batches, ten times; return the ids."""
    tasks = sample_history(30, max_batch=5)
    async with LocalGateway(tasks, seed=seed, ties=ties) as gateway:
        read = await pages(gateway, *[2] * 10, limit=8)
    return [tuple(task.task_id for task in page) for page in read]


async def test_ties_change_places_at_each_request() -> None:
    """They do by the gateway's seed alone, and only if they shall."""
    read = await read_often(1, "any")
    assert len(set(read)) > 5
    assert await read_often(1, "any") == read
    assert await read_often(2, "any") != read
    assert len(set(await read_often(1, "stable"))) == 1


async def test_ties_move_across_the_end_of_a_page() -> None:
    """A group that a page cuts is shuffled whole: its tasks are equally often on either page."""
    tasks = sample_history(9)
    group = [attrs.evolve(task, created_at=tasks[2].created_at) for task in tasks[2:6]]
    async with LocalGateway([*tasks[:2], *group, *tasks[6:]], ties="any") as gateway:
        first, second = [await pages(gateway, *[page] * 200, limit=4) for page in (1, 2)]
    for parts in ([page[2:] for page in first], [page[:2] for page in second]):
        shown = [task.task_id for part in parts for task in part]
        assert all(60 < shown.count(task.task_id) < 140 for task in group)


batches = st.lists(st.integers(1, 9), max_size=12)


@given(batches, st.integers(1, 12), st.integers(1, 9), st.integers(0, 3))
def test_only_ties_change_places(sizes: list[int], limit: int, page: int, seed: int) -> None:
    """A page shows the times it always does, each task once, and each group that it does not cut whole."""
    samples = sample_history(len(sizes), seed=seed)
    tasks = [
        attrs.evolve(sample, task_id=f"img_{number}_{copy}")
        for number, (sample, size) in enumerate(zip(samples, sizes, strict=True))
        for copy in range(size)
    ]
    history = History(tasks, seed=seed)
    rows, last = history.read(page, limit, shuffle_ties=True)
    usual = tasks[(page - 1) * limit : page * limit]
    assert last == max(1, -(-len(tasks) // limit))
    assert [task.created_at for task, _ in rows] == [task.created_at for task in usual]
    assert all(ImageTask.from_json(encoded) == task for task, encoded in rows)
    shown = {task for task, _ in rows}
    assert len(shown) == len(rows)
    for moment, group in groupby(tasks, lambda task: task.created_at):
        members = set(group)
        assert len(members & shown) == [task.created_at for task in usual].count(moment)
    assert history.tasks == tasks, "the history itself stays"


async def test_a_batch_has_one_created_at() -> None:
    """Batches are of 1 to ``max_batch`` tasks, of every size; all else is as without them."""
    single, batched = sample_history(500, seed=3), sample_history(500, seed=3, max_batch=4)
    sizes = [len(list(group)) for _, group in groupby(batched, lambda task: task.created_at)]
    assert set(sizes) == {1, 2, 3, 4}
    moments = [task.created_at for task in batched]
    assert moments == sorted(moments, reverse=True)
    assert len({task.task_id for task in batched}) == 500
    assert [task.model for task in batched] == [task.model for task in single]
    assert sample_history(500, seed=3, max_batch=1) == single
    assert batched == sample_history(500, seed=3, max_batch=4) != sample_history(500, seed=4, max_batch=4)


def test_an_empty_batch_is_refused() -> None:
    """The error names the argument."""
    with pytest.raises(ValueError, match="max_batch must be 1 or more, not 0"):
        sample_history(5, max_batch=0)
