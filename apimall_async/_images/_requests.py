"""Requests to images' hosts: what they hold, the redirects, and the waits that hosts request."""

from collections.abc import AsyncGenerator

import aiohttp
from yarl import URL

from apimall_async._images._failures import translate_error, validation_error
from apimall_async._images._urls import parse_url
from apimall_async._images._waits import check_wait, note_wait


_CHUNK_SIZE = 2**16  # bytes
_MAX_REDIRECTS = 5
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_HEADERS = frozenset({"accept", "accept-encoding", "host", "if-range", "range", "user-agent"})


async def get(session: aiohttp.ClientSession, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
    """Send a request, and follow redirects.

    Raises:
        TooEarlyError: the host of one of the URLs wants to be left alone.
        APIError: no response, or one that leads where no request may go.
        TimeoutError: the host was silent.

    """
    for _ in range(_MAX_REDIRECTS + 1):
        check_wait(url)
        response = await _get_once(session, url, headers)
        note_wait(url, response)
        location = response.headers.get("Location")
        if response.status not in _REDIRECT_STATUSES or location is None:
            return response
        response.close()
        url = parse_url(location, url)
    raise validation_error(f"the image's host redirects more than {_MAX_REDIRECTS} times")


async def read_chunks(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Read the body, some bytes at a time."""
    try:
        async for chunk in response.content.iter_chunked(_CHUNK_SIZE):
            yield chunk
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - as below; what the consumer raises does not pass through here
        failure = translate_error(error)
    else:
        return
    raise failure


async def _get_once(
    session: aiohttp.ClientSession, url: URL, headers: dict[str, str]
) -> aiohttp.ClientResponse:
    try:
        return await session.get(
            url, headers=headers, allow_redirects=False, middlewares=(_send_no_other_headers,)
        )
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as one of ours
        failure = translate_error(error)
    raise failure


async def _send_no_other_headers(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Remove what tracing tools add to every request: the host is none of the application's services.

    They do so when a session is made or a request begins. This comes after all of them.
    """
    for name in [name for name in request.headers if name.lower() not in _HEADERS]:
        request.headers.popall(name, None)
    return await handler(request)
