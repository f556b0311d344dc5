"""The partial file: an image while it is downloaded, and between a broken connection and the next call."""

import asyncio
import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

from apimall_async._images._names import SNIFF_SIZE, file_suffix


if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl


_STRONG_ETAG = re.compile(r'"[!#-~]{0,200}"')  # RFC 9110, 8.8.3: no W/ in front; other bytes are not matched


class PartialFile:
    """An incomplete image (``.part``), and the validator of its bytes (``.etag``).

    Only the holder of the lock may write. The system releases it when a process ends, however it ends.
    """

    def __init__(self, stem: Path, file: BinaryIO) -> None:
        self._stem = stem
        self._file = file
        self._path, self._etag_path = _partial_paths(stem)
        self._finished = False

    @classmethod
    def claim(cls, stem: Path) -> Self | None:
        """Open or create the file, and lock it; None while another download holds the lock."""
        path, _ = _partial_paths(stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            file = stack.enter_context(open(path, "a+b", opener=_open_no_follow))
            if not (_lock(file) and _is_at(file, path)):
                return None
            stack.pop_all()
        return cls(stem, file)

    @property
    def size(self) -> int:
        """The number of bytes received."""
        return self._file.seek(0, os.SEEK_END)

    @property
    def validator(self) -> str | None:
        """The strong ETag, by which the rest can be requested; None if there is none."""
        try:
            text = self._etag_path.read_text("ascii", errors="replace")
        except FileNotFoundError:
            return None
        return text if _STRONG_ETAG.fullmatch(text) else None

    def reset(self, etag: str = "") -> None:
        """Discard all bytes. At no moment do any of them stand beside another image's validator."""
        self._etag_path.unlink(missing_ok=True)
        self._file.truncate(0)
        if _STRONG_ETAG.fullmatch(etag):
            with self._etag_path.open("x", encoding="ascii") as file:
                file.write(etag)

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` bytes."""
        self._file.truncate(size)

    def write(self, chunk: bytes) -> None:
        """Append some bytes."""
        self._file.write(chunk)

    async def finish(self) -> Path:
        """Rename the file to the image's name, once all of it is on the disk."""
        self._file.seek(0)
        path = self._stem.with_suffix(file_suffix(self._file.read(SNIFF_SIZE)))
        self._file.flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())
        self._etag_path.unlink(missing_ok=True)
        if sys.platform == "win32":  # pragma: no cover - an open file cannot be renamed there
            self._file.close()
        self._path.replace(path)
        self._finished = True
        return path

    def close(self) -> None:
        """Close the file and release the lock; delete the file unless it can be resumed."""
        useless = not self._finished and not (self.size and self.validator)
        if sys.platform == "win32":  # pragma: no cover - nor deleted
            self._file.close()
        if useless:
            self._etag_path.unlink(missing_ok=True)
            self._path.unlink()
        self._file.close()


def _partial_paths(stem: Path) -> tuple[Path, Path]:
    return stem.with_suffix(".part"), stem.with_suffix(".etag")


def _open_no_follow(path: str, flags: int) -> int:
    """Open a file, but not through a symbolic link, by which somebody could have another file overwritten."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _lock(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":  # pragma: no cover
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the path still leads to the open file: the last holder may have renamed it just now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
