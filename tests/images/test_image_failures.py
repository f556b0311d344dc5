"""The errors of a download: each of its class, without the key, and about the image's host alone."""

import pickle
import socket
from pathlib import Path

import pytest
from image_host import KEY, Host, files, make_task, response, sends

from apimall_async import APIConnectionError, APIStatusError, AsyncClient, InternalServerError, RateLimitError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, APIStatusError),
        (404, APIStatusError),
        (206, APIStatusError),
        (416, APIStatusError),
        (304, APIStatusError),
        (302, APIStatusError),
        (429, RateLimitError),
        (503, InternalServerError),
        (599, InternalServerError),
    ],
)
async def test_each_status_is_an_error_that_blames_no_key(
    client: AsyncClient, host: Host, tmp_path: Path, status: int, kind: type[APIStatusError]
) -> None:
    """401 is not about the API's key, 404 not about its URL; no file is left behind."""
    host.script += [sends(response(status, b"", {"Retry-After": "7"}))]
    with pytest.raises(APIStatusError) as caught:
        await client.download(make_task(host.url), tmp_path)
    error = caught.value
    assert (type(error), error.status, error.retryable) == (kind, status, kind.retryable)
    assert error.retry_after == (7 if kind.retryable else None)
    assert "key" not in str(error)
    assert files(tmp_path) == {}
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.hint) == (str(error), error.hint)


@pytest.mark.parametrize("data", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n"])
async def test_invalid_http_is_a_connection_error(
    client: AsyncClient, host: Host, tmp_path: Path, data: bytes
) -> None:
    """No exception of aiohttp's gets through."""
    host.script += [sends(data)] * 2
    with pytest.raises(APIConnectionError, match="could not be downloaded") as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.__context__ is None
    assert files(tmp_path) == {}


async def test_no_error_holds_the_key(
    client: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the gateway puts it into the name of a host."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"unknown: {KEY}")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(APIConnectionError, match=r"\[API key\]") as caught:
        await client.download(make_task(f"http://{KEY}.test/{KEY}?{KEY}"), tmp_path)
    assert KEY not in repr(caught.value) + str(caught.value)
