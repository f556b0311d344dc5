"""Where a subcommand that serves listens: an address of this machine that no other one reaches."""

import ipaddress
from collections.abc import Callable
from typing import Any

import click


def _check_loopback(_: click.Context, __: click.Parameter, host: str) -> str:
    """Refuse an address that other machines can reach: what is served has no login."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if not (address and address.is_loopback):
        raise click.BadParameter(f"{host!r} is not an address of this machine alone: 127.0.0.1 or ::1")
    return str(address)


def address_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a subcommand the options ``--host`` and ``--port``."""
    with_port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        metavar="N",
        help="To listen on.  [default: a free one]",
    )
    with_host = click.option(
        "--host",
        callback=_check_loopback,
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="To listen at: 127.0.0.1, ::1, or another of loopback.",
    )
    return with_host(with_port(command))
