"""Exit codes, and errors in words for somebody at a prompt."""

import math
import os
from enum import IntEnum

import click

from apimall_async import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
)
from apimall_async.cli._text import clean_line


class Ending(IntEnum):
    """Exit codes. The last two are what a shell reports of a program that the signal itself ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_ACCESS = 3
    RATE_LIMITED = 4
    NO_CONNECTION = 5
    INTERRUPTED = 130
    CLOSED_PIPE = 141


# The library's own hints speak of Python; these speak of the command. The first that fits counts.
_KINDS: dict[type[Exception], tuple[Ending, str]] = {
    ConfigurationError: (Ending.USAGE, ""),
    AuthenticationError: (
        Ending.NO_ACCESS,
        "check APIMALL_API_KEY; keys are made at https://www.apimall.ai/api-keys",
    ),
    PermissionDeniedError: (
        Ending.NO_ACCESS,
        "check that the account has API access, and that --base-url names the gateway",
    ),
    RateLimitError: (Ending.RATE_LIMITED, "try again later, or be more patient: --retry-for"),
    APITimeoutError: (Ending.NO_CONNECTION, "check the network, or be more patient: --timeout"),
    APIConnectionError: (Ending.NO_CONNECTION, "check the network, the proxy and --base-url"),
    NotFoundError: (
        Ending.FAILED,
        "check --base-url: it takes the gateway's origin, without /api/v1",
    ),
    InternalServerError: (
        Ending.FAILED,
        "try again later; if it goes on, send the request_id to the vendor's support",
    ),
    APIResponseValidationError: (
        Ending.FAILED,
        "a newer release of apimall-async may know this answer",
    ),
    PaginationError: (Ending.FAILED, "run the command again"),
}
_OTHER = (Ending.FAILED, "")


def ending_of(error: Exception) -> Ending:
    """Choose the exit code."""
    return _look_up(error)[0]


def complain(error: Exception) -> None:
    """Say on stderr what went wrong, and on a second line what to do about it, if that is known."""
    for line in filter(None, (describe(error), _advise(error))):
        click.echo(f"apimall: {clean_line(line)}", err=True)


def _look_up(error: Exception) -> tuple[Ending, str]:
    return next((found for kind, found in _KINDS.items() if isinstance(error, kind)), _OTHER)


def describe(error: Exception) -> str:
    """Say in a line, not yet a clean one, what went wrong."""
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else str(error)
    facts = [
        f"{name} {value}"
        for name in ("status", "code", "request_id")
        if (value := getattr(error, name, None)) is not None
    ]
    message = getattr(error, "message", str(error))
    return f"{message} ({', '.join(facts)})" if facts else message


def _advise(error: Exception) -> str:
    advice = _look_up(error)[1]
    if isinstance(error, APIStatusError) and error.retry_after is not None:
        return f"the gateway asks to wait {math.ceil(error.retry_after)} s; {advice}"
    return advice
