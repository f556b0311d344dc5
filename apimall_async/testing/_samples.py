"""Histories that look like an account's, from a seed."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from apimall_async import ImageTask
from apimall_async.testing._images import image_path


NEWEST = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
"""When the newest task of a sample was created, by default."""

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, as in ULIDs
_BASE1024 = [high + low for high in _BASE32 for low in _BASE32]
_BYTE_TO_BASE32 = (_BASE32 * 8).encode()

_MODELS = {  # model: (source, credits, share in percent)
    "nano-banana": ("gempix2", 8, 50),
    "nano-banana-pro": ("gempix3", 18, 20),
    "seedream-4": ("ark", 6, 15),
    "flux-kontext-pro": ("bfl", 10, 10),
    "gpt-image-1": ("openai", 24, 5),
}
_FAILING = 0.06  # share of the tasks
_QUEUED = 8_000  # milliseconds a task stays pending
_RUNNING = 25_000.0  # mean milliseconds it is processing after that
_GAP = 30_000.0  # mean milliseconds from one task to the next
_READ_AT = 3_000  # milliseconds after the newest was created


def sample_history(
    n: int, *, seed: int = 0, newest: datetime = NEWEST, max_batch: int = 1
) -> list[ImageTask]:
    """Make n tasks, newest first; the same for the same arguments. A million take a few seconds.

    The newest few are pending or processing; of the others one in sixteen failed and was refunded.
    An image_url is a mere path, which a LocalGateway completes to a URL of its own.

    Args:
        n: how many.
        seed: of what is made.
        newest: when the newest was created.
        max_batch: tasks are created in batches of 1 to so many, drawn from the seed; those of a batch share
            their ``created_at``.

    Raises:
        ValueError: ``max_batch`` is less than 1.

    """
    if max_batch < 1:
        raise ValueError(f"max_batch must be 1 or more, not {max_batch}")
    rng = random.Random(seed)  # noqa: S311 - nothing secret here
    batches = random.Random(seed)  # noqa: S311 - idem; apart, so that nothing else depends on max_batch
    tasks: list[ImageTask] = []
    age = _READ_AT
    left = batches.randint(1, max_batch)
    for randomness, model in zip(_ulid_randomness(n, rng), _models(n, rng), strict=True):
        created_at = newest - timedelta(milliseconds=age - _READ_AT)
        duration = _QUEUED + round(rng.expovariate(1 / _RUNNING))
        failed = rng.random() < _FAILING
        tasks.append(_task(randomness, model, created_at, age=age, duration=duration, failed=failed))
        gap = 1 + round(rng.expovariate(1 / _GAP))
        left -= 1
        if not left:
            age += gap
            left = batches.randint(1, max_batch)
    return tasks


def new_tasks(n: int, after: datetime, rng: random.Random) -> list[ImageTask]:
    """Make n pending tasks, newest first, created a second after one another."""
    parts = zip(range(n, 0, -1), _ulid_randomness(n, rng), _models(n, rng), strict=True)
    return [
        _task(randomness, model, after + timedelta(seconds=second), age=0, duration=1, failed=False)
        for second, randomness, model in parts
    ]


def _task(
    randomness: str, model: str, created_at: datetime, *, age: int, duration: int, failed: bool
) -> ImageTask:
    task_id = f"img_{_ulid_time(created_at)}{randomness}"
    source, price, _ = _MODELS[model]
    if age < duration:
        status = "pending" if age < _QUEUED else "processing"
        return ImageTask(task_id, model, source, created_at, status, price)
    completed_at = created_at + timedelta(milliseconds=duration)
    if failed:
        status, image, refund = "failed", None, price
    else:
        status, image, refund = "completed", image_path(task_id), 0
    return ImageTask(task_id, model, source, created_at, status, price, image, refund, completed_at)


def _models(n: int, rng: random.Random) -> list[str]:
    return rng.choices(list(_MODELS), [share for _, _, share in _MODELS.values()], k=n)


def _ulid_time(moment: datetime) -> str:
    """Encode the milliseconds in ten characters."""
    stamp = int(moment.timestamp() * 1000)
    return "".join([_BASE1024[stamp >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


def _ulid_randomness(n: int, rng: random.Random) -> Iterator[str]:
    """Draw sixteen characters, n times: all at once, which is fast."""
    digits = rng.randbytes(16 * n).translate(_BYTE_TO_BASE32).decode()
    return (digits[i : i + 16] for i in range(0, len(digits), 16))
