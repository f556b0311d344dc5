"""The contract's answers as bytes. Knows no socket and no history."""

import random
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import responses
from itertools import count

import attrs
import msgspec
from multidict import CIMultiDict

from apimall_async import ImageTask


HISTORY_PATH = "/api/v1/images/history"

_INTEGER = re.compile("[0-9]{1,19}")
_RANGES = {"page": range(1, 2**63), "limit": range(1, 51)}
_DEFAULTS = {"page": 1, "limit": 20}
_MESSAGES = {  # where the contract's words (*Error Codes*) are not the standard phrase
    403: "API access not approved",
    404: "Resource not found",
    429: "Rate limit exceeded",
}


@attrs.define
class Answer:
    """A status, a body, and headers, before it travels."""

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
    """Make the headers of an answer that has no others."""
    return CIMultiDict({"Content-Type": "application/json"})


class Refusal(Exception):  # noqa: N818 - no error here: the contract wants it
    """A request that the contract answers with an error."""

    def __init__(self, status: int, message: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self._status = status
        self._message = message
        self._headers = headers or {}

    def answer(self, request_id: str) -> Answer:
        """Say so to the client."""
        headers = json_headers()
        headers.update(self._headers)
        return Answer(self._status, error_body(self._status, request_id, self._message), headers)


class RequestIds:
    """Spells ``req_`` and 26 characters, each once."""

    def __init__(self, seed: int) -> None:
        self._head = f"req_{random.Random(seed).randrange(10**16):016}"  # noqa: S311 - no secret
        self._numbers = count(1)

    def __call__(self) -> str:
        return f"{self._head}{next(self._numbers):010}"


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
    end = f"to {allowed[-1]}" if name == "limit" else "up"
    raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} must be an integer from 1 {end}")


def encode_task(task: ImageTask) -> bytes:
    """Encode one of ``data.items`` (*Response Parameters*)."""
    return msgspec.json.encode(
        {
            "task_id": task.task_id,
            "model": task.model,
            "source": task.source,
            "created_at": _spell(task.created_at),
            "status": task.status,
            "image_url": task.image_url,
            "credits_used": task.credits_used,
            "credits_refunded": task.credits_refunded,
            "completed_at": task.completed_at and _spell(task.completed_at),
        }
    )


def _spell(moment: datetime) -> str:
    """Spell it like 2026-03-12T09:30:00.000Z, or to the microsecond if it is as fine as that."""
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def page_body(tasks: Sequence[bytes], page: int, limit: int, request_id: str) -> bytes:
    """Join encoded tasks to the contract's answer."""
    return b'{"success":true,"data":{"items":[%b],"page":%d,"limit":%d},"request_id":"%b"}' % (
        b",".join(tasks),
        page,
        limit,
        request_id.encode(),
    )


def error_body(status: int, request_id: str, message: str = "") -> bytes:
    """Encode the contract's error (*Error Response Example*)."""
    phrase = responses.get(status, "Error")  # a proxy may send a status of its own
    error = {
        "code": phrase.lower().replace(" ", "_"),
        "message": message or _MESSAGES.get(status, phrase),
    }
    return msgspec.json.encode({"success": False, "error": error, "request_id": request_id})
