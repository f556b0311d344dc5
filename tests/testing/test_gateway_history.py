"""A history that is changed while it is read, and histories made from a seed."""

import re
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import attrs
import pytest

from apimall_async import TaskStatus
from apimall_async.testing import History, LocalGateway, sample_history


def test_the_first_inserted_becomes_the_newest() -> None:
    """``insert`` puts its tasks in front, in the order given."""
    tasks = sample_history(5)
    history = History(tasks[3:])
    history.insert(tasks[2])
    history.insert(*tasks[:2])
    assert history.tasks == tasks
    assert len(history) == 5
    assert tasks[0].task_id in history


def test_a_task_is_held_once() -> None:
    """An id that is there already, or comes twice, is refused, and nothing changes."""
    tasks = sample_history(3)
    history = History(tasks[1:])
    for twice in (tasks[:2], [tasks[0], tasks[0]]):
        with pytest.raises(ValueError, match="once"):
            history.insert(*twice)
    assert history.tasks == tasks[1:]


def test_new_tasks_are_pending_and_newer() -> None:
    """``insert_new`` keeps the history strictly falling, from an empty one on."""
    history = History()
    first = history.insert_new()
    new = history.insert_new(3)
    assert history.tasks == new + first
    assert {task.status for task in history.tasks} == {TaskStatus.PENDING}
    assert all(a.created_at > b.created_at for a, b in pairwise(history.tasks))
    assert len({task.task_id for task in history.tasks}) == 4


def test_deleted_tasks_are_gone() -> None:
    """Tasks can be taken out anywhere; one that is not there is a KeyError, and nothing changes."""
    tasks = sample_history(5)
    history = History(tasks)
    history.delete(tasks[0].task_id, tasks[3].task_id)
    with pytest.raises(KeyError, match="img_none"):
        history.delete(tasks[1].task_id, "img_none")
    assert history.tasks == [tasks[1], tasks[2], tasks[4]]


async def test_changes_show_in_the_next_response(gateway: LocalGateway) -> None:
    """A task served before can be updated and deleted, and a new one is in front."""
    async with gateway.client() as client:
        await client.list_history()
        newest, second, *rest = gateway.tasks
        done = attrs.evolve(newest, status="completed", image_url="/images/x.svg")
        gateway.update(done)
        gateway.delete(second.task_id)
        new = gateway.insert_new()
        page = await client.list_history()
    done = attrs.evolve(done, image_url=f"{gateway.url}/images/x.svg")
    assert list(page.items) == gateway.tasks == [*new, done, *rest]


def test_an_unknown_task_cannot_be_updated() -> None:
    """``update`` replaces; it does not insert."""
    with pytest.raises(KeyError):
        History().update(sample_history(1)[0])


async def test_other_urls_are_served_as_they_are() -> None:
    """Only a mere path gets the gateway's origin."""
    task = attrs.evolve(sample_history(1)[0], image_url="javascript:alert(1)")
    async with LocalGateway([task]) as gateway, gateway.client() as client:
        assert (await client.list_history()).items == (task,)


def test_a_history_may_be_changed_from_any_thread() -> None:
    """Insertions and deletions on several threads lose nothing."""
    history = History(seed=1)

    def live() -> None:
        for _ in range(200):
            new = history.insert_new(2)
            history.delete(new[0].task_id)
            history.read(1, 50, shuffle_ties=True)

    threads = [threading.Thread(target=live) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history) == len(history.tasks) == 800


def test_a_sample_is_its_seeds() -> None:
    """The same arguments make the same tasks, another seed others."""
    assert sample_history(50, seed=3) == sample_history(50, seed=3)
    assert not set(sample_history(50, seed=3)) & set(sample_history(50, seed=4))
    assert sample_history(0) == []


def test_a_sample_looks_like_a_history() -> None:
    """Ids are ULIDs and unique, times fall, statuses and their fields go together."""
    newest = datetime(2026, 1, 1, tzinfo=UTC)
    tasks = sample_history(5_000, newest=newest)
    assert tasks[0].created_at == newest
    assert all(a.created_at > b.created_at for a, b in pairwise(tasks))
    assert len({task.task_id for task in tasks}) == 5_000
    assert all(re.fullmatch("img_[0-9A-HJKMNP-TV-Z]{26}", task.task_id) for task in tasks)
    assert len({task.model for task in tasks}) == 5
    by_status = Counter(task.status for task in tasks)
    assert by_status.keys() == set(TaskStatus)
    assert 0.04 < by_status["failed"] / 5_000 < 0.08
    for task in tasks:
        finished = task.status in {"completed", "failed"}
        assert (task.image_url is not None) == (task.status == "completed")
        assert (task.completed_at is not None) == finished
        refund = {"completed": 0, "failed": task.credits_used}.get(task.status)
        assert task.credits_refunded == refund
        assert not task.completed_at or task.completed_at > task.created_at
    assert all(
        task.created_at > newest - timedelta(minutes=10)
        for task in tasks
        if task.status in {"pending", "processing"}
    )
