"""The servers, each in a process of its own: LocalGateway, and nginx in front of it."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


HERE = Path(__file__).parent


class Response(NamedTuple):
    """One response, as the server has it."""

    when: float
    status: int | None
    key: str = ""
    port: int = 0


class Gateway:
    """A running LocalGateway."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._stdin, self._stdout = process.stdin, process.stdout
        line = self._stdout.readline()
        if not line:
            raise RuntimeError("the gateway did not start: see its traceback above")
        self.url, self.key = json.loads(line)

    @property
    def address(self) -> dict[str, str]:
        """What a contestant needs to know."""
        return {"url": self.url, "key": self.key}

    def responses(self) -> list[Response]:
        """List the responses since the last call."""
        self._stdin.write("\n")
        self._stdin.flush()
        return [Response(*response) for response in json.loads(self._stdout.readline())]


@contextmanager
def gateway(tasks: int, **options: Any) -> Iterator[Gateway]:
    """Run a LocalGateway; options are its own."""
    process = subprocess.Popen(
        [sys.executable, HERE / "gateway.py", json.dumps({"tasks": tasks, **options})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the parent, who ends this
    )
    with process:
        try:
            yield Gateway(process)
        finally:
            process.kill()


class Nginx:
    """A running nginx."""

    def __init__(self, ports: list[int], log: Path) -> None:
        self.ports = ports
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self._log = log
        self._read = 0

    def responses(self) -> list[Response]:
        """List the responses since the last call."""
        time.sleep(0.1)
        lines = self._log.read_text().splitlines()
        new, self._read = lines[self._read :], len(lines)
        fields = (line.split() for line in new)
        return [Response(float(when), int(status), port=int(port)) for when, status, port in fields]


def find_nginx() -> str | None:
    """Where nginx is; often not on the PATH of those who are not root."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


_CONFIG = """
daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format responses "$msec $status $server_port";
  access_log {home}/responses.log responses;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  keepalive_requests 1000000;
  limit_req_zone $server_name zone=account:1m rate={rate}r/s;
  limit_req_status 429;
  upstream gateway {{ server {upstream}; keepalive 32; keepalive_requests 1000000; }}
  server {{
    {listen}
    server_name account;
    location / {{
      limit_req zone=account burst={burst} nodelay;
      proxy_pass http://gateway;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host {upstream};
      proxy_buffers 16 16k;
    }}
  }}
}}
"""


@contextmanager
def nginx(behind: Gateway, *, rate: int, burst: int, ports: int = 1) -> Iterator[Nginx]:
    """Run nginx with ``limit_req`` in front of a gateway; its ports share the one limit."""
    program = find_nginx()
    assert program
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        free = _free_ports(ports)
        config = _CONFIG.format(
            home=home,
            rate=rate,
            burst=burst,
            upstream=behind.url.removeprefix("http://"),
            listen=" ".join(f"listen 127.0.0.1:{port};" for port in free),
        )
        (home / "nginx.conf").write_text(config)
        # The shell ends nginx when its stdin ends, so not later than its parent.
        run = [program, "-c", f"{home}/nginx.conf", "-e", f"{home}/error.log"]
        process = subprocess.Popen(
            ["sh", "-c", '"$@" & cat; kill $!', "sh", *run],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        with process:
            try:
                _wait_listening(free[-1], home / "error.log")
                yield Nginx(free, home / "responses.log")
            finally:
                assert process.stdin
                process.stdin.close()
                process.wait()


def _free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _wait_listening(port: int, log: Path) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nginx did not start: {log.read_text()}")
