"""What the gateway's history is made of: frozen, hashable, picklable values."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import attrs
import msgspec

from apimall_async._html import page_table, task_card


_MAX_PLAIN = 40  # characters of one text in a repr


class TaskStatus(StrEnum):
    """The statuses known today. The gateway may add others, so ImageTask.status is a plain str.

    Members compare equal to strings: ``task.status == TaskStatus.COMPLETED``.
    """

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


# What msgspec checks as it reads; type checkers see the plain types.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # more fits into no table or file


@attrs.frozen
class ImageTask:
    """One image generation, as *List Image History* tells it (contract: ``data.items[]``)."""

    task_id: str
    """Opaque; unique in the account's history."""
    model: str
    source: str
    """The provider family that fulfilled the task."""
    created_at: Moment
    """Always aware."""
    status: str
    """One of TaskStatus, or a value newer than this library."""
    credits_used: Int64
    """Credits charged."""
    image_url: str | None = None
    """Where the result is hosted; None where there is none (yet)."""
    credits_refunded: Int64 | None = None
    """Credits given back, if any."""
    completed_at: Moment | None = None
    """Always aware; None while the task runs."""

    def __repr__(self) -> str:
        # A line, because a list of tasks shows one for each.
        return (
            f"<{type(self).__name__} {_plain(self.task_id)} {_plain(self.status)} {_plain(self.model)} "
            f"{self.created_at.isoformat(' ', 'seconds')}>"
        )

    def _repr_html_(self) -> str:
        return task_card(self)


@attrs.frozen
class HistoryPage:
    """One answer of *List Image History*."""

    items: tuple[ImageTask, ...]
    """In the history's order: newest first, as far as is known (the contract is silent)."""
    page: int
    """The page's number as the gateway echoes it; the first is 1."""
    limit: int
    """Tasks a page holds at most, as the gateway echoes it; it may be less than was asked for."""
    request_id: str
    """What the vendor's support asks for."""

    def __repr__(self) -> str:
        count = len(self.items)
        shown = f"{count} task{'s' * (count != 1)}"
        if self.items:
            shown += f", {_plain(self.items[0].task_id)} to {_plain(self.items[-1].task_id)}"
        return f"<{type(self).__name__} page={self.page} limit={self.limit}: {shown}>"

    def _repr_html_(self) -> str:
        return page_table(self.page, self.items)


def _plain(text: str) -> str:
    """Spell text that may be anything, so that it is short and cannot steer a terminal."""
    return repr(text[:_MAX_PLAIN])[1:-1][:_MAX_PLAIN]
