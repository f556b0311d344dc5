"""One download: its limits, the requests with their redirects, and the rest of a partial file by a range."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from http import HTTPStatus
from pathlib import Path

import aiohttp
import attrs
from yarl import URL

from apimall_async._errors import APIError, APIResponseValidationError, APITimeoutError
from apimall_async._images._failures import status_error, translate_error, validation_error, with_hint
from apimall_async._images._hosts import parse_url
from apimall_async._images._names import file_stem, find_complete
from apimall_async._images._partial import PartialFile
from apimall_async._images._sessions import IDLE_TIMEOUT, shared_session
from apimall_async._models import ImageTask


_MAX_REDIRECTS = 5
_CHUNK_SIZE = 2**16  # bytes
_LOCK_INTERVAL = 0.05  # seconds between two tries, while another download holds the lock
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
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
    allow_private: bool,
) -> Path:
    """Download a task's image, unless it is there. ``allow_private`` permits addresses that are not public.

    Raises:
        ValueError: the task has no image_url.
        APIError: the download failed; the subclass says how.
        OSError: the file cannot be written.

    """
    if not task.image_url:
        raise ValueError(f"the task {task.task_id!r} has no image_url, its status is {task.status!r}")
    stem = directory / file_stem(task.task_id)
    if complete := find_complete(stem):
        return complete
    url = parse_url(task.image_url)
    async with shared_session(allow_private=allow_private) as session:
        transfer = _Transfer(session, url, stem, limits.max_bytes, on_bytes)
        try:
            async with asyncio.timeout(limits.timeout):
                return await transfer.run()
        except TimeoutError:
            message = (
                f"the image was not complete within {limits.timeout:g} seconds, "
                f"or its host sent nothing for {IDLE_TIMEOUT:g}"
            )
            failure = with_hint(APITimeoutError(message), "allow more time, or try again")
    raise failure  # out here it has no __context__, which would hold the request


@attrs.frozen
class _Transfer:
    session: aiohttp.ClientSession
    url: URL
    stem: Path
    max_bytes: int
    on_bytes: Callable[[int], object] | None

    async def run(self) -> Path:
        """Download the image, or find that another download of it has just finished."""
        while not (part := PartialFile.claim(self.stem)):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(_LOCK_INTERVAL)
        with closing(part):
            if complete := find_complete(self.stem):
                return complete
            if not await self._receive(part):
                part.reset()
                await self._receive(part)
            return await part.finish()

    async def _receive(self, part: PartialFile) -> bool:
        """Receive the image, or the rest of it; False if the host does not send a rest that fits.

        The range begins at the last byte received: so it is never empty, even if all bytes are there.
        """
        validator, start = part.validator, part.size - 1
        range_headers = {"Range": f"bytes={start}-", "If-Range": validator} if validator and start > 0 else {}
        with closing(await self._request(range_headers)) as response:
            if response.status == HTTPStatus.OK:
                total = response.content_length
                part.reset(response.headers.get("ETag", ""))
            elif range_headers and response.status in _RANGE_STATUSES:
                total = _total_size(response, start, validator)
                if not total:
                    return False
                part.truncate(start)
            else:
                raise status_error(response)
            try:
                await self._store(response, part, total)
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
        if (total or 0) > self.max_bytes:
            raise self._too_large()
        async with aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                if part.size + len(chunk) > self.max_bytes:
                    raise self._too_large()
                part.write(chunk)
                if self.on_bytes:
                    self.on_bytes(len(chunk))
        if part.size != (total or part.size) or not part.size:
            raise validation_error("the image is empty, or not as long as its host announced")

    def _too_large(self) -> APIError:
        return validation_error(f"the image has more than {self.max_bytes} bytes")

    async def _request(self, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Send a request, and follow redirects."""
        url = self.url
        for _ in range(_MAX_REDIRECTS + 1):
            response = await _get(self.session, url, headers)
            location = response.headers.get("Location")
            if response.status not in _REDIRECT_STATUSES or location is None:
                return response
            response.close()
            url = parse_url(location, url)
        raise validation_error(f"the image's host redirects more than {_MAX_REDIRECTS} times")


async def _get(session: aiohttp.ClientSession, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
    try:
        return await session.get(url, headers=headers, allow_redirects=False)
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as one of ours
        failure = translate_error(error)
    raise failure


async def _chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    try:
        async for chunk in response.content.iter_chunked(_CHUNK_SIZE):
            yield chunk
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - as above; what the consumer raises does not pass through here
        failure = translate_error(error)
    else:
        return
    raise failure


def _total_size(response: aiohttp.ClientResponse, start: int, validator: str | None) -> int:
    """Return the complete image's size by a response to a range; 0 if it is not the rest of this image."""
    found = re.fullmatch(
        r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", response.headers.get("Content-Range", "")
    )
    if not found or response.headers.get("ETag", validator) != validator:
        return 0
    first, last, total = map(int, found.groups())
    return total if (first, last + 1) == (start, total) else 0
