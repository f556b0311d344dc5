"""Exit codes, and errors in words for somebody at a prompt."""

import errno
import os
from contextlib import suppress
from enum import IntEnum

import click

from apimall_async import (
    APIConnectionError,
    ApimallError,
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    RateLimitError,
)
from apimall_async._untrusted import printable_line


class ExitCode(IntEnum):
    """Those above 128 are what a shell reports of a program that the signal itself ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_ACCESS = 3
    RATE_LIMITED = 4
    NO_CONNECTION = 5
    HUNG_UP = 129
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


_EXIT_CODES: dict[type[Exception], ExitCode] = {
    ConfigurationError: ExitCode.USAGE,
    AuthenticationError: ExitCode.NO_ACCESS,
    PermissionDeniedError: ExitCode.NO_ACCESS,
    RateLimitError: ExitCode.RATE_LIMITED,
    APIConnectionError: ExitCode.NO_CONNECTION,
}

_NAMES = {
    "api_key": "APIMALL_API_KEY",
    "base_url": "--base-url",
    "timeout": "--timeout",
    "retry": "--retry-for",
    "restart": "run the command again",
}
"""What hints call the settings of a client here."""


def exit_code_of(error: Exception) -> ExitCode:
    """Choose the exit code."""
    return next((code for kind, code in _EXIT_CODES.items() if isinstance(error, kind)), ExitCode.FAILED)


def print_error(error: Exception) -> None:
    """Print to stderr what went wrong, and on a second line what to do about it, if that is known."""
    hint = error.format_hint(**_NAMES) if isinstance(error, ApimallError) else ""
    for line in filter(None, (describe(error), hint)):
        with suppress(OSError):  # a terminal that is gone, a full disk: the exit code is left
            click.echo(f"apimall: {printable_line(line)}", err=True)


def describe(error: Exception) -> str:
    """Describe what went wrong in one line, which may not be printable yet."""
    if isinstance(error, OSError):
        if error.errno == errno.EBADF:
            return "stdout is closed"
        return os.strerror(error.errno) if error.errno else str(error)
    facts = [
        f"{name} {value}"
        for name in ("status", "retry_after", "code", "request_id")
        if (value := getattr(error, name, None)) is not None
    ]
    message = getattr(error, "message", str(error))
    return f"{message} ({', '.join(facts)})" if facts else message
