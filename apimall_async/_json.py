"""JSON as text: read as leniently as Python's json reads it, written in ASCII."""

import json
import math
from contextlib import suppress
from typing import Any

import msgspec


class NotJSONError(ValueError):
    """A body is no JSON."""


def load_json(body: bytes) -> Any:
    """Read JSON, all that Python's json reads, though NaN and the infinities, which JSON lacks, as null.

    Raises:
        NotJSONError: this is none.

    """
    # Some of their errors hold the body: none must become a __context__.
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(body)
    with suppress(ValueError, RecursionError):  # slower, and reads more
        return json.loads(body, parse_constant=_finite, parse_float=_finite)
    kind = "HTML" if body.lstrip().startswith(b"<") else "something else"
    raise NotJSONError(f"expected JSON, got {len(body)} bytes of {kind}")


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def to_json(value: object) -> str:
    """Write JSON on one line, in printable ASCII: so no terminal is steered, and no text is lost."""
    with suppress(ValueError, OverflowError):  # half a surrogate pair; an integer of more than 64 bits
        body = msgspec.json.encode(value)
        if body.isascii() and b"\x7f" not in body:
            return body.decode()
    finite = load_json(json.dumps(value).encode())
    return json.dumps(finite, separators=(",", ":"))
