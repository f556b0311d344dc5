"""What the gateway's history is made of: frozen, hashable, picklable values."""

from datetime import datetime
from enum import StrEnum

import attrs


class TaskStatus(StrEnum):
    """The statuses known today. The gateway may add others, so ImageTask.status is a plain str.

    Members compare equal to strings: ``task.status == TaskStatus.COMPLETED``.
    """

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


@attrs.frozen(weakref_slot=False)  # so that _protocol can lay out a draft alike
class ImageTask:
    """One image generation, as *List Image History* tells it (contract: ``data.items[]``)."""

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
