"""Damages a good response a little. Bytes at random are hardly ever JSON, and never a page."""

import copy
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+0-9.eE]+|[a-zA-Z]+|.', re.DOTALL)
_TEXTS = [
    "", " ", "8", "null", "completed", "\0", "\x1b[2J\x1b]0;x\x07", "\x9b31m", "\u202eevil\u2066",
    "\u2028\r\n",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='x", "<!-- ", "&lt;", "]]>",
    "https://cdn.example/a?b='\"<>", "https://u:p@cdn.example/", "javascript:alert(1)", "HTTP://e", "//e/x",
    "../../x", "CON", "img_1A", "img_1a", "=1+1", "\t@SUM(A1)", "[red]x[/red] :smile:", "\U0001f600" * 30,
    "x" * 900,
]  # fmt: skip
_TIMES = [
    "2026-03-12T09:30:00.000Z", "2026-03-12", "20260312T0930", "2026-W01-1",
    "2026-03-12T09:30:00.1234567890123Z",
    "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59:59.999999", "9999-12-31T24:00:00",
    "2026-03-12\ud7ff09:30Z", "2026-03-12T09:30:00+24:00", "0000-01-01T00:00:00Z", "-2026-03-12T09:30:00Z",
]  # fmt: skip
_NUMBERS = [0, -1, 1, 20, 51, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, 7.9, 1e308]
_VALUES: list[Any] = [None, True, False, [], {}, [[]], [None], *_TEXTS, *_TIMES, *_NUMBERS]
_UNKNOWN = [
    "extra",
    "prompt",
    "a,b",
    "",
    "task_id ",
    "items",
    "\x1b[2J\n",
    "<b>",
    "=1+1",
    "\u2028",
    "x" * 900,
]
_TOKENS = [
    b"", b"1e999", b"-1e999", b"1e-999", b"-0", b"NaN", b"Infinity", b"00", b"9" * 400, b"0." + b"9" * 400,
    b"\xff",
    b"\xef\xbb\xbf", b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\\u0000"', b'"\0"', b'"\\x"',
    b"[" * 300 + b"]" * 300, b'{"a":' * 300, b'"task_id"', b'"items"', b'"success"', b"{", b"}", b"[", b"]",
    b",",
]  # fmt: skip
_STATUSES = [b"200", b"204", b"302", b"401", b"403", b"404", b"408", b"418", b"429", b"500", b"503", b"999"]
_WAITS = [
    b"3", b"1.5", b"-1", b"nan", b"1e3", b"9" * 400, b"Thu, 12 Mar 2026 09:31:30 GMT",
    b"Thu, 12 Mar 2026 09:31:30",
    b"Fri, 31 Dec 9999 23:59:59 -2359", b"Mon, 01 Jan 0001 00:00:00 +9999", b"Thu, 12 Mar 99 99:99:99 GMT",
    b"Thursday, 12-Mar-26 09:31:30 EST", b"Thu Mar 12 09:31:30 2026", b"\xff\xfe", b"", b"0.",
    b"12 12 12 12 12",
]  # fmt: skip


def mutate(data: bytes, random: Random) -> bytes:
    """Damage it in one position."""
    head, _, body = data.partition(b"\n\n")
    match random.randrange(10):
        case 0 | 1:
            head = _damage_head(head, random)
        case 2 | 3:
            body = _swap_token(body, random)
        case _:
            body = _graft(body, random)
    return head + b"\n\n" + body


def _damage_head(head: bytes, random: Random) -> bytes:
    status, *lines = head.split(b"\n")
    match random.randrange(3):
        case 0:
            status = random.choice(_STATUSES)
        case 1:
            lines.append(b"Retry-After: " + random.choice(_WAITS))
        case _:
            lines = [*lines[-3:], b"Date: " + random.choice(_WAITS)]
    return b"\n".join([status, *lines])


def _swap_token(body: bytes, random: Random) -> bytes:
    """Replace one token by another, also by one that is no JSON."""
    tokens = _TOKEN.findall(body) or [b""]
    position = random.randrange(len(tokens))
    tokens[position] = random.choice([random.choice(_TOKENS), tokens[position] * 2, random.choice(tokens)])
    return b"".join(tokens)


def _graft(body: bytes, random: Random) -> bytes:
    """Change the tree: what comes out is JSON if the body is."""
    try:
        root = [json.loads(body)]
    except (ValueError, RecursionError):
        return _swap_token(body, random)
    positions = list(_positions(root))
    texts = [(container, key) for container, key in positions if isinstance(container[key], str)]
    if texts and random.randrange(2):  # the likeliest to leave a page one
        container, key = random.choice(texts)
        text, kept = random.choice([*_TEXTS, *_TIMES]), random.choice(["", "", container[key]])
        container[key] = random.choice([text + kept, kept + text])
        return _dumped(root, body)
    container, key = random.choice(positions)
    value = container[key]
    match random.randrange(7):
        case 0:
            container[key] = copy.deepcopy(random.choice(_VALUES))
        case 1:
            alike = [other for other in _VALUES if type(other) is type(value)]
            container[key] = copy.deepcopy(random.choice(alike or _VALUES))
        case 2:
            del container[key]
        case 3:
            times = random.choice([2, 3, 51, 1_001] if len(body) < 1_000 else [2])
            container[key] = value * times if isinstance(value, list) else [value] * times
        case 4:
            other, name = random.choice(positions)
            container[key] = copy.deepcopy(other[name])
        case 5 if isinstance(container, dict):
            container[random.choice(_UNKNOWN)] = copy.deepcopy(random.choice(_VALUES))
        case _:
            container[key] = {"x": value}
    return _dumped(root, body)


def _dumped(root: list[Any], before: bytes) -> bytes:
    try:
        return json.dumps(root[0]).encode() if root else b""
    except RecursionError:  # too deep
        return before


def _positions(container: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(container if isinstance(container, dict) else range(len(container))):
        yield container, key
        if isinstance(container[key], dict | list):
            yield from _positions(container[key])
