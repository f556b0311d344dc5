"""One download: its limits, its partial file, and the rest of that by a range."""

import asyncio
import re
from collections.abc import Callable
from contextlib import aclosing, closing
from http import HTTPStatus
from pathlib import Path

import aiohttp
import attrs
from yarl import URL

from apimall_async._errors import APIError, APIResponseValidationError, APITimeoutError
from apimall_async._images._content import check_content, check_type
from apimall_async._images._failures import status_error, validation_error, with_hint
from apimall_async._images._names import file_stem, find_complete
from apimall_async._images._partial import PartialFile
from apimall_async._images._requests import get, read_chunks
from apimall_async._images._sessions import IDLE_TIMEOUT, shared_session
from apimall_async._images._urls import parse_url
from apimall_async._images._validators import is_same, strong_validator
from apimall_async._images._waits import TooEarlyError
from apimall_async._models import ImageTask


_LOCK_INTERVAL = 0.05  # seconds between two tries, while another download holds the lock
_RANGE_STATUSES = frozenset({HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})


@attrs.frozen
class Limits:
    """The limits of one download; a ValueError names the one that is not valid."""

    max_bytes: int = attrs.field(validator=attrs.validators.ge(1))
    timeout: float = attrs.field(validator=attrs.validators.gt(0))


async def download(
    task: ImageTask,
    directory: Path,
    limits: Limits,
    on_bytes: Callable[[int], object] | None,
    *,
    overwrite: bool,
    allow_private: bool,
) -> Path:
    """Download a task's image, unless it is there and must not be overwritten.

    While its host wants to be left alone, the download waits, for no longer than its timeout.
    ``allow_private`` permits addresses that are not public.

    Raises:
        ValueError: the task has no image_url.
        APIError: the download failed; the subclass says how.
        OSError: the file cannot be written.

    """
    if not task.image_url:
        raise ValueError(f"the task {task.task_id!r} has no image_url, its status is {task.status!r}")
    stem = directory / file_stem(task.task_id)
    if not overwrite and (complete := find_complete(stem)):
        return complete
    transfer = _Transfer(parse_url(task.image_url), stem, limits, on_bytes, overwrite)
    waited = 0.0
    while True:
        result = await transfer.run_in_slot(allow_private=allow_private)
        if isinstance(result, Path):
            return result
        waited += result.seconds
        if waited > limits.timeout:
            raise result.error
        await asyncio.sleep(result.seconds)


@attrs.frozen
class _Transfer:
    url: URL
    stem: Path
    limits: Limits
    on_bytes: Callable[[int], object] | None
    overwrite: bool

    async def run_in_slot(self, *, allow_private: bool) -> Path | TooEarlyError:
        """Download the image when there is a slot; or return for how long its host wants to be left alone."""
        async with shared_session(allow_private=allow_private) as session:
            try:
                async with asyncio.timeout(self.limits.timeout):
                    return await self._run(session)
            except TooEarlyError as early:
                return early
            except TimeoutError:
                message = (
                    f"the image was not complete within {self.limits.timeout:g} seconds, "
                    f"or its host sent nothing for {IDLE_TIMEOUT:g}"
                )
                failure = with_hint(APITimeoutError(message), "allow more time, or try again")
        raise failure  # out here it has no __context__, which would hold the request

    async def _run(self, session: aiohttp.ClientSession) -> Path:
        """Download the image, or find that another download of it has just finished."""
        while not (part := PartialFile.claim(self.stem)):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(_LOCK_INTERVAL)
        with closing(part):
            if not self.overwrite and (complete := find_complete(self.stem)):
                return complete
            if not await self._receive(session, part):
                part.reset()
                await self._receive(session, part)
            return await part.finish()

    async def _receive(self, session: aiohttp.ClientSession, part: PartialFile) -> bool:
        """Receive the image, or the rest of it; False if the host does not send a rest that fits.

        The range begins at the last byte received: so it is never empty, even if all bytes are there.
        """
        validator, start = part.validator, part.size - 1
        range_headers = {"Range": f"bytes={start}-", "If-Range": validator} if validator and start > 0 else {}
        with closing(await get(session, self.url, range_headers)) as response:
            if response.status == HTTPStatus.OK:
                check_type(response.headers)
                total = response.content_length
                part.reset(strong_validator(response.headers))
            elif validator and range_headers and response.status in _RANGE_STATUSES:
                total = _total_size(response, start, validator)
                if not total:
                    return False
                part.truncate(start)
            else:
                raise status_error(response)
            try:
                await self._store(response, part, total)
                check_content(part.head, response.headers)
            except APIResponseValidationError:
                part.reset()  # resuming would not make it valid
                raise
        return True

    async def _store(self, response: aiohttp.ClientResponse, part: PartialFile, total: int | None) -> None:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise validation_error("the image's host sent it compressed, which was not requested")
        if total is None and "chunked" not in response.headers.get("Transfer-Encoding", ""):
            raise validation_error(
                "the image's host sent no length, so nothing shows whether the image is complete"
            )
        if (total or 0) > self.limits.max_bytes:
            raise self._too_large()
        async with aclosing(read_chunks(response)) as chunks:
            async for chunk in chunks:
                if part.size + len(chunk) > self.limits.max_bytes:
                    raise self._too_large()
                part.write(chunk)
                if self.on_bytes:
                    self.on_bytes(len(chunk))
        if part.size != (total or part.size) or not part.size:
            raise validation_error("the image is empty, or not as long as its host announced")

    def _too_large(self) -> APIError:
        return validation_error(f"the image has more than {self.limits.max_bytes} bytes")


def _total_size(response: aiohttp.ClientResponse, start: int, validator: str) -> int:
    """Return the complete image's size by a response to a range; 0 if it is not the rest of this image."""
    found = re.fullmatch(
        r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", response.headers.get("Content-Range", "")
    )
    if not found or not is_same(response.headers, validator):
        return 0
    first, last, total = map(int, found.groups())
    return total if (first, last + 1) == (start, total) else 0
