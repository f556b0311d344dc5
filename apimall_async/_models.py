"""What the gateway's history is made of: frozen, hashable, picklable values."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from apimall_async._conversion import Page, Record
from apimall_async._extra import extra_field
from apimall_async._html import page_table, task_card
from apimall_async._untrusted import printable_line


_MAX_SHOWN = 40  # characters of one text in a repr


class TaskStatus(StrEnum):
    """The statuses known today. The gateway may add others, so ImageTask.status is a plain str.

    Members compare equal to strings: ``task.status == TaskStatus.COMPLETED``.
    """

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


@attrs.frozen
class ImageTask(Record):
    """One image generation, as *List Image History* has it (contract: ``data.items[]``)."""

    task_id: str
    """Opaque; unique in the account's history."""
    model: str
    source: str
    """The provider family that fulfilled the task."""
    created_at: datetime
    """Always aware."""
    status: str
    """One of TaskStatus, or a value newer than this library."""
    credits_used: int
    """Credits charged."""
    image_url: str | None = None
    """Where the result is hosted; None where there is none (yet)."""
    credits_refunded: int | None = None
    """Credits given back, if any."""
    completed_at: datetime | None = None
    """Always aware; None while the task runs."""
    extra: Mapping[str, Any] = extra_field()
    """Fields that this version does not know, by name, as JSON had them. They count for equality, not for
    the hash."""

    def __repr__(self) -> str:
        # A line, because a list of tasks shows one for each.
        return (
            f"<{type(self).__name__} {_short(self.task_id)} {_short(self.status)} {_short(self.model)} "
            f"{self.created_at.isoformat(' ', 'seconds')}>"
        )

    def _repr_html_(self) -> str:
        return task_card(self)


@attrs.frozen(repr=False)
class HistoryPage(Page[ImageTask]):
    """One response of *List Image History*. It iterates over its tasks, and ``len()`` counts them."""

    def __repr__(self) -> str:
        count = len(self.items)
        shown = f"{count} task{'s' * (count != 1)}"
        if self.items:
            shown += f", {_short(self.items[0].task_id)} to {_short(self.items[-1].task_id)}"
        return f"<{type(self).__name__} page={self.page} limit={self.limit}: {shown}>"

    def _repr_html_(self) -> str:
        return page_table(self.page, self.items)


def _short(text: str) -> str:
    return printable_line(text[:_MAX_SHOWN])
