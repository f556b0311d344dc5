"""The secrets: texts that hide themselves, and the API key cut out of whatever a response repeats."""

import re
from typing import Any, TypeVar, cast

from apimall_async._errors import APIError
from apimall_async._json import NotJSONError, load_json, to_json


E = TypeVar("E", bound=APIError)

_CUT_OUT = "[API key]"
_SHORTEST = 8  # characters of a key; what is shorter stands in texts that have nothing to do with it
_SPELLINGS = 4  # times that JSON is within JSON
_MAX_DEPTH = 100  # levels of objects and arrays; no page is read that has so many
_ESCAPE = re.compile(r"""\\(?:u00([2-7][0-9a-fA-F])|(["/\\])|.)""", re.DOTALL)  # those of printable ASCII


class Secret(str):
    """A text that is not shown: tools that report errors show the variables of frames by their repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[hidden]'"


class Redactor:
    """Cuts one key out of bodies, texts and errors. One that is too short for a key stays."""

    def __init__(self, key: str) -> None:
        self._key = Secret(key)
        self._bytes = key.encode()
        self._has_escapes = not {'"', "/", "\\"}.isdisjoint(key)  # JSON has other spellings for these

    def body(self, body: bytes) -> bytes:
        """Cut it out of the texts of a response in JSON; a body without it stays as it is."""
        if not self._may_be_in(body):
            return body
        try:
            response = load_json(body)
        except NotJSONError:  # nothing of it will be shown
            return body.replace(self._bytes, _CUT_OUT.encode())
        return to_json(self._value(response, 0)).encode()

    def text(self, text: str) -> str:
        """Cut it out of a text, also out of JSON that the text quotes."""
        if len(self._key) < _SHORTEST:
            return text
        plain = text
        for _ in range(1 + _SPELLINGS):
            if self._key in plain:
                text = plain = plain.replace(self._key, _CUT_OUT)
            if "\\" not in plain:
                break
            plain = _ESCAPE.sub(_unescape, plain)
        return text

    def error(self, error: E) -> E:
        """Cut it out of what aiohttp quotes of a response."""
        error.message = self.text(error.message)
        error.args = (error.message,)
        return error

    def _may_be_in(self, body: bytes) -> bool:
        """Find out fast that it is not, as in nearly all bodies."""
        if len(self._bytes) < _SHORTEST:
            return False
        # JSON that begins with a zero byte among others is in UTF-16 or UTF-32.
        if self._bytes in body or b"\0" in body[:4]:
            return True
        escaped = b"\\" in body and (self._has_escapes or b"\\u00" in body)
        text = body.decode("latin-1") if escaped else ""
        return self.text(text) is not text

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if depth == _MAX_DEPTH:
            return None
        if isinstance(value, list):
            return [self._value(one, depth + 1) for one in cast("list[object]", value)]
        if isinstance(value, dict):
            fields = cast("dict[str, object]", value)
            return {self.text(name): self._value(one, depth + 1) for name, one in fields.items()}
        return value


def _unescape(escape: re.Match[str]) -> str:
    code, character = escape.groups()
    return chr(int(code, 16)) if code else character or escape[0]
