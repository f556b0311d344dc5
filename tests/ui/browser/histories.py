"""Tasks for the page to show."""

from collections.abc import Sequence
from datetime import UTC, datetime

import attrs

from apimall_async import ImageTask
from apimall_async.testing import LocalGateway, sample_history


def finished(count: int) -> list[ImageTask]:
    """Make tasks that have nothing more to come to."""
    return [task for task in sample_history(count + 20) if task.completed_at][:count]


def pending(number: int = 1) -> ImageTask:
    """Make a task that was just created."""
    return ImageTask(f"img_new{number:03}", "nano-banana", "gempix2", datetime.now(UTC), "pending", 8)


def complete(task: ImageTask, gateway: LocalGateway) -> ImageTask:
    """Return what becomes of ``task``."""
    url = f"{gateway.url}/images/{task.task_id}.svg"
    return attrs.evolve(task, status="completed", image_url=url, completed_at=datetime.now(UTC))


def ids_of(tasks: Sequence[ImageTask]) -> list[str]:
    """List the ids of tasks."""
    return [task.task_id for task in tasks]
