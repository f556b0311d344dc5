"""The partial file: an image while it is downloaded, and between a broken connection and the next call."""

import asyncio
import errno
import os
import stat
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

from apimall_async._images._content import SNIFF_SIZE, file_suffix
from apimall_async._images._names import remove_others
from apimall_async._images._validators import is_validator


if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl


_MAX_VALIDATOR = 300  # bytes
_NOT_OPENED = {errno.ELOOP, errno.EMLINK, errno.ENXIO}  # symbolic links, the second on some BSDs; sockets
_IN_THE_WAY = "not written to: symbolic links, hard links, pipes and devices may lead elsewhere"


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
            file = stack.enter_context(open(path, "a+b", opener=_open_plain))
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
        """The strong ETag or date, by which the rest can be requested; None if there is none."""
        try:
            with open(self._etag_path, "rb", opener=_open_plain) as file:
                text = file.read(_MAX_VALIDATOR).decode("ascii", errors="replace")
        except OSError:  # also if it is a link or a pipe: reset() puts a file of ours there
            return None
        return text if is_validator(text) else None

    @property
    def head(self) -> bytes:
        """The first bytes."""
        self._file.seek(0)
        return self._file.read(SNIFF_SIZE)

    def reset(self, validator: str = "") -> None:
        """Discard all bytes. At no moment do any of them stand beside another image's validator."""
        self._etag_path.unlink(missing_ok=True)
        self._file.truncate(0)
        if validator:
            with self._etag_path.open("x", encoding="ascii") as file:
                file.write(validator)

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` bytes."""
        self._file.truncate(size)

    def write(self, chunk: bytes) -> None:
        """Append some bytes."""
        self._file.write(chunk)

    async def finish(self) -> Path:
        """Rename the file to the image's name, once all of it is on the disk."""
        path = self._stem.with_suffix(file_suffix(self.head))
        self._file.flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())
        self._etag_path.unlink(missing_ok=True)
        if sys.platform == "win32":  # pragma: no cover - an open file cannot be renamed there
            self._file.close()
        self._path.replace(path)
        self._finished = True
        remove_others(self._stem, path)
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


def _open_plain(path: str, flags: int) -> int:
    """Open a file that has no other name, and is no pipe or device.

    Otherwise somebody who can write to the directory could have another file overwritten, by a symbolic or
    a hard link, or could make the download wait for ever.

    Raises:
        FileExistsError: something else is in the way.

    """
    no_surprises = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | no_surprises, 0o666)
    except OSError as error:
        if error.errno in _NOT_OPENED:
            raise FileExistsError(errno.EEXIST, _IN_THE_WAY, path) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, _IN_THE_WAY, path)
    return descriptor


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
