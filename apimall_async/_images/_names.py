"""What an image's file is named: the stem by the task's id, the suffix by the first bytes."""

import re
from hashlib import sha256
from pathlib import Path


SNIFF_SIZE = 2**10  # first bytes, which are enough for file_suffix

_USUAL_ID = re.compile(r"[a-z]{1,16}_[0-9A-Z]{1,40}")  # such as img_ and a ULID
_SIGNATURES = {
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    ".jpg": re.compile(rb"\xff\xd8\xff"),
    ".gif": re.compile(rb"GIF8[79]a"),
    ".webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    ".avif": re.compile(rb".{4}ftyp(?:.{4}){0,15}?avi[fs]", re.DOTALL),
    # An atomic group and possessive quantifiers: without backtracking, no content makes the match slow.
    ".svg": re.compile(
        rb"(?:\xef\xbb\xbf)?\s*+(?:(?><\?xml.*?\?>|<!--.*?-->|<!DOCTYPE[^>]*>)\s*+)*+<svg[\s/>]", re.DOTALL
    ),
    ".bin": re.compile(b""),
}
"""Suffixes, and what files of that type begin with; the last one matches all."""


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


def file_suffix(head: bytes) -> str:
    """Detect the type by a file's first bytes. What the URL or a header says of it is ignored."""
    return next(suffix for suffix, signature in _SIGNATURES.items() if signature.match(head))


def find_complete(stem: Path) -> Path | None:
    """Find the image that is there already, whatever its type."""
    paths = (stem.with_suffix(suffix) for suffix in _SIGNATURES)
    return next((path for path in paths if path.is_file()), None)
