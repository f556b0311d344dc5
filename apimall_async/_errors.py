"""The one hierarchy of errors.

Nothing outside it leaves the client, except ValueError for bad arguments, the disk's own OSError from
``download``, and what a middleware or a tracer of the caller's session raises. Every
error can be pickled, and none holds the API key.
"""

import copyreg
from typing import Any

from apimall_async._untrusted import printable_line


_PYTHON_NAMES = {
    "api_key": "the key given as api_key= or in APIMALL_API_KEY",
    "base_url": "base_url",
    "timeout": "timeout=",
    "retry": "RetryPolicy",
    "restart": "start the iteration again",
}
"""What hints call the settings of a client."""


class ApimallError(Exception):
    """The root: ``except ApimallError`` catches whatever this library raises."""

    _hint = ""

    @property
    def hint(self) -> str:
        """What to do about it; empty where the message says it all."""
        return self.format_hint()

    @hint.setter
    def hint(self, template: str) -> None:
        self._hint = template

    def format_hint(self, **names: str) -> str:
        """Return the hint with other names for the settings than Python's, for a front end of your own.

        Args:
            names: for ``api_key``, ``base_url``, ``timeout`` and ``retry``; and for ``restart``, which says
                how to begin again.

        """
        hint = self._hint
        for name, shown in (_PYTHON_NAMES | names).items():
            hint = hint.replace(f"{{{name}}}", shown)
        return hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild without ``__init__``, whose required keywords pickle would not pass."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class ConfigurationError(ApimallError, ValueError):
    """The client cannot be built or used as configured; no request was sent."""


class ClientClosedError(ApimallError):
    """The client, or the session that was passed to it, has been closed."""


class APIError(ApimallError):
    """A request failed, or the gateway responded with ``success: false``.

    Attributes:
        message: what went wrong, in the gateway's words where it sent any.
        code: the gateway's error code, such as ``"unauthorized"``, or None.
        request_id: what the vendor's support needs to find the request, or None where none was sent.
        retryable: whether the same request may succeed later; the client has tried that already.
        page: in an iteration, the number of the page that was requested; else None.

    """

    retryable = False
    page: int | None = None

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        self.message = printable_line(message)
        self.code = code and printable_line(code)
        self.request_id = request_id and printable_line(request_id)
        super().__init__(self.message)

    def __str__(self) -> str:
        """Say what failed, what to do, and what to quote to support."""
        facts = [f"{name}={value}" for name, value in self._facts().items() if value is not None]
        text = self.message + (f" ({', '.join(facts)})" if facts else "")
        hint = self.hint
        return f"{text}; {hint}" if hint else text

    def _facts(self) -> dict[str, object]:
        return {"code": self.code, "request_id": self.request_id}


class APIConnectionError(APIError):
    """No whole response came back: name resolution, connecting, TLS, or a cut connection.

    Attributes:
        connected: whether there was a connection; False where the host cannot be resolved or reached.

    """

    connected = True
    _hint = "check the network, the proxy and {base_url}"
    retryable = True


class APITimeoutError(APIConnectionError):
    """One attempt took longer than ``timeout`` seconds, or all of them longer than ``max_time``."""

    _hint = "check the network, or allow more time: {timeout}"


class APIStatusError(APIError):
    """The gateway, or a proxy in front of it, responded with an error status.

    Attributes:
        status: the HTTP status code.
        retry_after: seconds to wait, from ``Retry-After`` (RFC 9110, 10.2.3), or None.

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

    _hint = "check {api_key}; keys are made at https://www.apimall.ai/api-keys"


class PermissionDeniedError(APIStatusError):
    """403: API access not approved, or request made on a non-gateway host."""

    _hint = "check that the account has API access, and that {base_url} names the gateway"


class NotFoundError(APIStatusError):
    """404: resource not found."""

    _hint = "check {base_url}: it takes the gateway's origin, without /api/v1"


class RateLimitError(APIStatusError):
    """429: rate limit exceeded, and the retries allowed by RetryPolicy are used up."""

    _hint = "try again later, or allow more time for retries: {retry}"
    retryable = True


class InternalServerError(APIStatusError):
    """5xx: the gateway failed, and so did the retries."""

    _hint = "try again later; if it goes on, send the request_id to the vendor's support"
    retryable = True


class APIResponseValidationError(APIError):
    """A response outside the contract; the message names each bad field by its path."""

    _hint = "check {base_url}; or a newer release of apimall-async may know this response"
    no_items = False
    """Whether the page has null for its items, or none, as some gateways send it for one past the end."""


class PaginationError(APIError):
    """The pages lead to no end, or (exact) a gap cannot be ruled out; every task before this was yielded."""

    _hint = "{restart}"
