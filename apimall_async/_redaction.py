"""The API key, cut out of what comes back: a proxy, or a hostile gateway, may echo it."""

import re

from apimall_async._errors import APIError


_HIDDEN = b"[API key]"
_ESCAPE = re.compile(rb"\\(?:u00(?!22|5[cC])([2-7][0-9a-fA-F])|.)", re.DOTALL)  # JSON's, of printable ASCII


class Redactor:
    """Cuts one key out of bodies and errors."""

    def __init__(self, key: str) -> None:
        self._text = key
        self._key = key.encode()

    def body(self, body: bytes) -> bytes:
        """Cut it out of a response's body, also where it is spelled with escapes."""
        key = self._key
        body = body.replace(key, _HIDDEN)
        if b"\\" in body and b"\\u00" in body:  # the first is found, or not, in a thirtieth of the time
            plain = _ESCAPE.sub(
                lambda match: bytes.fromhex(match[1].decode()) if match[1] else match[0], body
            )
            if key in plain:
                return plain.replace(key, _HIDDEN)
        return body

    def error(self, error: APIError) -> None:
        """Cut it out of what aiohttp quotes of a response."""
        error.message = error.message.replace(self._text, _HIDDEN.decode())
        error.args = (error.message,)
