"""Programs that tests start, each with a port and a folder of its own, and end."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self


def find(program: str) -> str | None:
    """Where it is; often not on the PATH of those who are not root, and Debian's PostgreSQL on nobody's."""
    postgresql = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    return shutil.which(
        program, path=":".join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin", *map(str, postgresql)])
    )


def free_port() -> int:
    """Find one that stays free while its server is down.

    It is below those that the system gives to outgoing connections, to this very port among them.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class Program:
    """A server that can be killed and started again, with all its processes, at its port."""

    command: Sequence[str | Path]
    """Runs it in the foreground."""
    process_options: Mapping[str, Any] = {}
    """How, and as whom: arguments of subprocess.Popen."""
    limit = 10.0
    """Seconds that it may take to get ready, or to end."""

    def __init__(self, home: Path) -> None:
        """Take where its files go."""
        self.port = free_port()
        self.home = home
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What it wrote."""
        return (self.home / "output").read_text()

    def start(self) -> None:
        """Start it, and return once it listens."""
        assert self._process is None
        with (self.home / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self.command, stdout=output, stderr=output, start_new_session=True, **self.process_options
            )
        try:
            self.wait(self.listens)
        except BaseException:
            self.kill()
            raise

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal, and return once it has ended. Does nothing if it has."""
        process, self._process = self._process, None
        if process is None:
            return
        os.killpg(process.pid, how)
        try:
            process.wait(self.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def restart(self) -> None:
        """Kill it as if the power failed, and start it again."""
        self.kill()
        self.start()

    def signal(self, what: signal.Signals) -> None:
        """Send a signal to the program itself."""
        assert self._process
        self._process.send_signal(what)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(signal.SIGTERM)

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait until something is so, which it will only be if the program runs."""
        assert self._process
        deadline = time.monotonic() + self.limit
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command[0]} does not get ready: {self.output}")
            time.sleep(0.01)

    def listens(self) -> bool:
        """Tell whether it is ready."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
