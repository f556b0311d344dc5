"""The contract's responses as bytes. Knows no socket and no history."""

import random
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import responses
from itertools import count

import attrs
from multidict import CIMultiDict

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._json import to_json


_INTEGER = re.compile("[0-9]{1,19}")
_RANGES = {"page": range(1, 2**63), "limit": range(1, MAX_PAGE_SIZE + 1)}
_DEFAULTS = {"page": 1, "limit": 20}
_MESSAGES = {  # where the contract's words (*Error Codes*) are not the standard phrase
    403: "API access not approved",
    404: "Resource not found",
    429: "Rate limit exceeded",
}


@attrs.define
class Response:
    """A status, a body, and headers, before they are sent."""

    status: int
    body: bytes
    headers: CIMultiDict[str]
    tasks: int = 0
    """How many the body holds."""

    @property
    def first_half(self) -> bytes:
        """Half of the body, rounded down."""
        return self.body[: len(self.body) // 2]


def json_headers() -> CIMultiDict[str]:
    """Make the headers of a response that has no others."""
    return CIMultiDict({"Content-Type": "application/json"})


class Refusal(Exception):  # noqa: N818 - no error here: the contract wants it
    """A request to which the contract responds with an error."""

    def __init__(self, status: int, message: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self._status = status
        self._message = message
        self._headers = headers or {}

    def response(self, request_id: str) -> Response:
        """Make the response that has the error."""
        headers = json_headers()
        headers.update(self._headers)
        return Response(self._status, error_body(self._status, request_id, self._message), headers)


class RequestIds:
    """Makes request ids: ``req_`` and 26 characters, each once."""

    def __init__(self, seed: int) -> None:
        self._prefix = f"req_{random.Random(seed).randrange(10**16):016}"  # noqa: S311 - no secret
        self._numbers = count(1)

    def __call__(self) -> str:
        return f"{self._prefix}{next(self._numbers):010}"


def read_query(query: Mapping[str, str]) -> tuple[int, int]:
    """Read page and limit (contract: *Query Parameters*).

    Raises:
        Refusal: 400, one of them is no integer or out of its range.

    """
    return _read(query, "page"), _read(query, "limit")


def _read(query: Mapping[str, str], name: str) -> int:
    text = query.get(name)
    if text is None:
        return _DEFAULTS[name]
    allowed = _RANGES[name]
    # int() alone would take " 7", "1_0" and other alphabets' digits, and choke on 5000 of them.
    if _INTEGER.fullmatch(text) and int(text) in allowed:
        return int(text)
    bounds = f"from 1 to {allowed[-1]}" if name == "limit" else "from 1 up"
    raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} must be an integer {bounds}")


def page_response(items: Sequence[bytes], page: int, limit: int, request_id: str) -> Response:
    """Join items, each in JSON, to the contract's page (*Response Parameters*)."""
    body = b'{"success":true,"data":{"items":[%b],"page":%d,"limit":%d},"request_id":"%b"}' % (
        b",".join(items),
        page,
        limit,
        request_id.encode(),
    )
    return Response(HTTPStatus.OK, body, json_headers(), len(items))


def error_body(status: int, request_id: str, message: str = "") -> bytes:
    """Encode the contract's error (*Error Response Example*)."""
    phrase = responses.get(status, "Error")  # a proxy may send a status of its own
    error = {
        "code": phrase.lower().replace(" ", "_"),
        "message": message or _MESSAGES.get(status, phrase),
    }
    return to_json({"success": False, "error": error, "request_id": request_id}).encode()
