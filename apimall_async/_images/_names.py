"""What an image's file is named: the stem by the task's id, the suffix by the first bytes."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from apimall_async._images._content import SUFFIXES


_USUAL_ID = re.compile(r"[a-z]{1,16}_[0-9A-Z]{1,40}")  # such as img_ and a ULID


def file_stem(task_id: str) -> str:
    """Make a file name without a suffix from a task's id: no two ids share one, whatever they hold.

    A usual id is the name. Two of these differ even where the file system takes A for a: what is before
    the underscore has no capital letter, and what is behind it no small one. Any other id becomes its
    readable characters and a digest.
    """
    if _USUAL_ID.fullmatch(task_id):
        return task_id
    readable = re.sub("[^a-z0-9]+", "_", task_id.lower())[:40].strip("_")
    digest = sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{readable or 'task'}-{digest}"


def find_complete(stem: Path) -> Path | None:
    """Find the image that is there already, whatever its type."""
    return next(_complete(stem), None)


def remove_others(stem: Path, path: Path) -> None:
    """Remove what the image was before it was downloaded again, and turned out to be of another type."""
    for other in _complete(stem):
        if other != path:
            other.unlink()


def _complete(stem: Path) -> Iterator[Path]:
    paths = (stem.with_suffix(suffix) for suffix in SUFFIXES)
    return (path for path in paths if path.is_file())
