"""Where the subcommands that serve listen."""

import socket
import subprocess
from collections.abc import Callable

import pytest
from click.testing import Result


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6")
@pytest.mark.parametrize("command", [["gateway"], ["ui", "--demo"]])
def test_the_command_on_ipv6(spawn: Callable[..., subprocess.Popen[str]], command: list[str]) -> None:
    """It prints the URL, with brackets."""
    process = spawn(*command, "--host", "::1")
    assert process.stdout
    assert "http://[::1]:" in process.stdout.readline()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", "nonsense", ""])
@pytest.mark.parametrize("command", ["gateway", "ui"])
def test_the_command_stays_on_this_machine(run: Callable[..., Result], command: str, host: str) -> None:
    """What it serves has no login: an address that others can reach is wrong usage."""
    result = run(command, "--host", host)
    assert result.exit_code == 2
    assert "127.0.0.1 or ::1" in result.stderr
