"""The page in a browser: it reads the whole history, each task once, while it changes."""

from typing import Any

import attrs
import pytest
from browsing import BROWSER, expect, first_load, ids, loaded, reading, scroll_to_the_end
from histories import finished, ids_of

from apimall_async.testing import LocalGateway


pytestmark = BROWSER


async def test_scrolling_leads_to_the_end_with_no_task_twice(browser: Any) -> None:
    """Through 500 tasks, while others are created: each is there once, in the history's order."""
    async with LocalGateway(finished(500)) as gateway, reading(browser, gateway) as page:
        await scroll_to_the_end(page, lambda: gateway.insert_new(3))
        await loaded(page, len(gateway.tasks))
        assert await ids(page) == ids_of(gateway.tasks)


async def test_tasks_deleted_meanwhile_make_it_skip_none(browser: Any) -> None:
    """What was read moves up by 70, so the next page alone would lack as many."""
    async with LocalGateway(finished(300)) as gateway, reading(browser, gateway) as page:
        count = await first_load(page, gateway)
        gateway.delete(*ids_of(gateway.tasks[10:80]))
        unread = ids_of(gateway.tasks[count - 70 :])
        await scroll_to_the_end(page)
        assert (await ids(page))[count:] == unread


@pytest.mark.parametrize("past_end", ["last-as-requested", 404])
async def test_hidden_rows_and_pages_past_the_end(browser: Any, past_end: Any) -> None:
    """Short pages in the middle do not end it, whatever comes behind the last one."""
    gateway = LocalGateway(finished(200), past_end=past_end)
    gateway.hidden = {*ids_of(gateway.tasks)[20:45], *ids_of(gateway.tasks)[60::4]}
    async with gateway, reading(browser, gateway) as page:
        await scroll_to_the_end(page)
        assert await ids(page) == [one for one in ids_of(gateway.tasks) if one not in gateway.hidden]


async def test_tasks_of_one_time_change_places(browser: Any) -> None:
    """At each request, also where a page cuts them, and while others are created: none is lost."""
    tasks = finished(200)
    batches = [attrs.evolve(task, created_at=tasks[n // 7 * 7].created_at) for n, task in enumerate(tasks)]
    async with LocalGateway(batches, ties="any") as gateway, reading(browser, gateway) as page:
        await scroll_to_the_end(page, lambda: gateway.insert_new(2))
        await loaded(page, len(gateway.tasks))
        assert sorted(await ids(page)) == sorted(ids_of(gateway.tasks))


async def test_more_tasks_of_one_time_than_a_page_proves(browser: Any) -> None:
    """A bulk import: they are read all the same, if their order is stable."""
    tasks = finished(200)
    batch = [attrs.evolve(task, created_at=tasks[30].created_at) for task in tasks[30:130]]
    history = [*tasks[:30], *batch, *tasks[130:]]
    async with LocalGateway(history) as gateway, reading(browser, gateway) as page:
        await scroll_to_the_end(page)
        assert await ids(page) == ids_of(gateway.tasks)


async def test_more_new_tasks_than_a_page_holds(browser: Any, gateway: LocalGateway) -> None:
    """The gap to what is known is read before anything is shown, so there never is one."""
    async with reading(browser, gateway) as page:
        before = await first_load(page, gateway)
        gateway.insert_new(130)
        await loaded(page, before + 130)
        assert await ids(page) == ids_of(gateway.tasks)[: before + 130]


async def test_far_more_new_tasks_are_a_fresh_start(browser: Any, gateway: LocalGateway) -> None:
    """As after a night asleep: the page begins anew at the top."""
    async with reading(browser, gateway) as page:
        await first_load(page, gateway)
        gateway.insert_new(1200)
        await expect(page.locator("#grid .id").first).to_have_text(gateway.tasks[0].task_id)
        shown = await ids(page)
        assert shown == ids_of(gateway.tasks)[: len(shown)]


async def test_it_works_below_a_prefix(browser: Any, gateway: LocalGateway) -> None:
    """Also where the address lacks the slash: every link of the page is relative."""
    async with reading(browser, gateway, prefix="/a/history") as page:
        await first_load(page, gateway)
        assert page.url.endswith("/a/history/")
