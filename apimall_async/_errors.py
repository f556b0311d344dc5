"""The one hierarchy of errors.

Nothing outside it leaves the client, except ValueError for bad arguments, and the disk's own OSError from
``download``. Every error can be pickled, and none holds the API key.
"""

import copyreg
from typing import Any


class ApimallError(Exception):
    """The root: ``except ApimallError`` catches whatever this library raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild without ``__init__``, whose required keywords pickle would not pass."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigurationError(ApimallError, ValueError):
    """The client cannot be built or used as configured; no request was sent."""


class ClientClosedError(ApimallError):
    """The client, or the session lent to it, has been closed."""


def _printable(text: str) -> str:
    """Make one line of a stranger's words, which can neither steer a terminal nor forge a line of a log."""
    if text.isprintable():
        return text
    line = " ".join(text.split())
    return "".join(
        [character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line]
    )


class APIError(ApimallError):
    """A request failed, or the gateway answered ``success: false``.

    Attributes:
        message: what went wrong, in the gateway's words where it sent any.
        code: the gateway's error code, such as ``"unauthorized"``, or None.
        request_id: what the vendor's support asks for, or None where none was sent.
        retryable: whether the same request may succeed later; the client has tried that already.
        hint: what to do about it, as the text of the error ends.

    """

    hint = ""
    retryable = False

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        self.message = _printable(message)
        self.code = code and _printable(code)
        self.request_id = request_id and _printable(request_id)
        super().__init__(self.message)

    def __str__(self) -> str:
        """Say what failed, what to do, and what to quote to support."""
        facts = [f"{name}={value}" for name, value in self._facts().items() if value is not None]
        text = self.message + (f" ({', '.join(facts)})" if facts else "")
        return f"{text}; {self.hint}" if self.hint else text

    def _facts(self) -> dict[str, object]:
        return {"code": self.code, "request_id": self.request_id}


class APIConnectionError(APIError):
    """No whole answer came back: name resolution, connecting, TLS, or a cut connection."""

    hint = "check the network, the proxy and base_url"
    retryable = True


class APITimeoutError(APIConnectionError):
    """One attempt took longer than ``timeout`` seconds."""

    hint = "check the network, or give AsyncClient a longer timeout"


class APIStatusError(APIError):
    """The gateway, or a proxy in front of it, answered with an error status.

    Attributes:
        status: the HTTP status code.
        retry_after: seconds to wait as told by ``Retry-After`` (RFC 9110, 10.2.3), or None.

    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after: float | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.status = status
        self.retry_after = retry_after

    def _facts(self) -> dict[str, object]:
        return {"status": self.status, "retry_after": self.retry_after, **super()._facts()}


class AuthenticationError(APIStatusError):
    """401: API key required or invalid API key."""

    hint = "check the key given as api_key= or in APIMALL_API_KEY"


class PermissionDeniedError(APIStatusError):
    """403: API access not approved, or request made on a non-gateway host."""

    hint = "check that the account has API access and that base_url names the gateway"


class NotFoundError(APIStatusError):
    """404: resource not found."""

    hint = "check base_url: it takes the gateway's origin, without /api/v1"


class RateLimitError(APIStatusError):
    """429: rate limit exceeded, and the retries allowed by RetryPolicy are used up."""

    hint = "send fewer requests, or allow more time in RetryPolicy"
    retryable = True


class InternalServerError(APIStatusError):
    """5xx: the gateway failed, and so did the retries."""

    hint = "try again later; if it goes on, send request_id to the vendor's support"
    retryable = True


class APIResponseValidationError(APIError):
    """An answer outside the contract; the message names each bad field by its path."""

    hint = "check base_url; or a newer release of apimall-async may know this answer"


class PaginationError(APIError):
    """The pages cannot be walked to an end; every task before this error was yielded."""

    hint = "start the walk again"
