"""The exit code of the command, and what it prints then."""

import importlib
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

import apimall_async
from apimall_async import ApimallError, APITimeoutError, cli
from apimall_async.cli._app import apimall
from apimall_async.cli._errors import exit_code_of, print_error
from apimall_async.testing import Fault, LocalGateway


Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (
            Fault.error(401),
            3,
            ["Unauthorized (status 401, code unauthorized, request_id req_", "check APIMALL_API_KEY"],
        ),
        (Fault.error(403), 3, ["API access not approved", "has API access"]),
        (Fault.error(404), 1, ["Resource not found", "origin"]),
        (Fault.error(429), 4, ["Rate limit exceeded", "--retry-for"]),
        (Fault.error(429, retry_after=7.2), 4, ["retry_after 7.2", "try again later"]),
        (Fault.html(502), 1, ["502", "try again later"]),
        (Fault.reset(), 5, ["", "check the network"]),
        (Fault.half(), 1, ["expected JSON", "newer release"]),
        (Fault.stuck(2), 1, ["requested page 1, got page 2", "again"]),
        (Fault.error(418), 1, ["418"]),
    ],
)
def test_each_failure_has_its_code_and_words(
    run: Run, gateway: LocalGateway, fault: Fault, code: int, words: list[str]
) -> None:
    """One line says what happened, the next what to do; stdout has nothing, and the key is nowhere."""
    gateway.fault(fault)
    result = run("history", "--retry-for", "0", "--format", "csv")
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (code, "")
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert line.startswith("apimall: ")
        assert word in line
    assert gateway.api_key not in result.stderr


def test_no_gateway_there(run: Run, gateway: LocalGateway) -> None:
    """A refused connection has the code of the network."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert run("history", "--retry-for", "0", "--base-url", url).exit_code == 5


def test_timeouts_are_the_network_s(capsys: pytest.CaptureFixture[str]) -> None:
    """The hint names the option that helps."""
    error = APITimeoutError("no whole response within 30 seconds")
    print_error(error)
    assert exit_code_of(error) == 5
    assert "--timeout" in capsys.readouterr().err


def test_errors_yet_unknown_are_plain_failures(capsys: pytest.CaptureFixture[str]) -> None:
    """An error without facts and a hint is one line."""
    print_error(ApimallError("new"))
    assert exit_code_of(ApimallError("new")) == 1
    assert capsys.readouterr().err == "apimall: new\n"


@pytest.mark.parametrize("key", [None, ""])
def test_missing_key_is_wrong_usage(
    run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    """It names the variable, and the way without; nothing is sent."""
    monkeypatch.delenv("APIMALL_API_KEY") if key is None else monkeypatch.setenv("APIMALL_API_KEY", key)
    result = run("history")
    assert result.exit_code == 2
    assert "set APIMALL_API_KEY, or try --demo" in result.stderr
    assert gateway.requests == []


def test_unusable_configuration_is_wrong_usage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that no header can carry is refused, and not shown."""
    monkeypatch.setenv("APIMALL_API_KEY", "sk-secret secret")
    result = run("history")
    assert result.exit_code == 2
    assert "spaces" in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["history", "--page-size", "51"],
        ["history", "--page-size", "0"],
        ["history", "--page", "0"],
        ["history", "--limit", "0"],
        ["history", "--read-ahead", "-1"],
        ["history", "--format", "xml"],
        ["history", "--api-key", "sk-"],
        ["history", "--demo", "--base-url", "http://127.0.0.1:1"],
        ["gateway", "--rate", "nan"],
        ["gateway", "--latency-ms", "inf"],
        ["gateway", "--past-end", "403"],
        ["nonsense"],
    ],
)
def test_wrong_usage(run: Run, gateway: LocalGateway, arguments: list[str]) -> None:
    """Bad arguments are found before any request."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["history", "--max-items", "5"], "--max-items is now --limit"),
        (["download", "images", "--max-items", "5"], "--max-items is now --limit"),
        (["download", "images", "--at-once", "2"], "--at-once is now --concurrency"),
    ],
)
def test_an_option_s_old_name_is_refused(
    run: Run, gateway: LocalGateway, arguments: list[str], hint: str
) -> None:
    """The new name is given, and the help has the new name alone."""
    result = run(*arguments)
    assert (result.exit_code, gateway.requests) == (2, [])
    assert result.stderr.endswith(f"Error: {hint}\n")
    old, *_, new = hint.split()
    help_text = run(arguments[0], "--help").stdout
    assert (old in help_text, new in help_text) == (False, True)


@pytest.fixture
def run_on_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run the command with real files for streams; return the exit code and stderr's text."""

    def run_on_files(descriptor: int, *arguments: str) -> tuple[int, str]:
        log = tmp_path / "stderr"
        with open(descriptor, "w") as out, log.open("w") as err, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = apimall.main(arguments, standalone_mode=False)
            out.flush()  # as the interpreter does at its end
        return code, log.read_text()

    return run_on_files


def test_closed_pipe_needs_no_words(
    run_on_files: Callable[..., tuple[int, str]], gateway: LocalGateway
) -> None:
    """The reader went away, perhaps because it has enough; what it left unread is dropped."""
    reader, writer = os.pipe()
    os.close(reader)
    assert run_on_files(writer, "history") == (141, "")


def test_full_disk_is_a_failure(run_on_files: Callable[..., tuple[int, str]], gateway: LocalGateway) -> None:
    """The rows are lost, and this is reported, once."""
    full = os.open("/dev/full", os.O_WRONLY)
    assert run_on_files(full, "history") == (1, "apimall: No space left on device\n")


def test_port_in_use(run_on_files: Callable[..., tuple[int, str]], gateway: LocalGateway) -> None:
    """A gateway that cannot listen says why."""
    port = gateway.url.rpartition(":")[2]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    words = "apimall: Address already in use\n"
    assert run_on_files(nowhere, "gateway", "--port", port) == (1, words)


def test_interrupt_is_quiet(run: Run, gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is the user's wish, not a failure."""
    monkeypatch.setattr("asyncio.run", _interrupt)
    result = run("history")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "")


def _interrupt(work: Coroutine[Any, Any, None]) -> None:
    work.close()
    raise KeyboardInterrupt


class Absent:
    """Finds no module of these packages, as if they were not installed."""

    def __init__(self, *packages: str) -> None:
        self._packages = packages

    def find_spec(self, name: str, *_: object) -> None:
        """Find none."""
        if name.startswith(self._packages):
            message = f"No module named {name!r}"
            raise ModuleNotFoundError(message, name=name)


@pytest.fixture
def import_without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import the command afresh where a package is absent."""

    def import_without(package: str) -> Any:
        monkeypatch.setattr(apimall_async, "cli", cli)  # restored afterwards
        for name in list(sys.modules):
            if name.startswith(("apimall_async.cli", "click", "rich", package)):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Absent(package), *sys.meta_path])
        return importlib.import_module("apimall_async.cli")

    return import_without


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(
    import_without: Callable[[str], Any], capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    """Both names of the command end with one line and the code of wrong usage."""
    with pytest.raises(SystemExit) as exit_:
        import_without(missing).main()
    assert exit_.value.code == 2
    assert capsys.readouterr().err == (
        "apimall: this command needs an extra: pip install 'apimall-async[cli]'\n"
    )


def test_a_broken_installation_is_not_hidden(import_without: Callable[[str], Any]) -> None:
    """Another missing module is none that the extra would bring."""
    with pytest.raises(ModuleNotFoundError, match=r"apimall_async\.cli\._history"):
        import_without("apimall_async.cli._history")
