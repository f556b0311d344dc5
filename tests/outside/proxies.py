"""Programs between a client and a gateway, run in the foreground: nginx, haproxy, and a gateway."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from programs import Program, find

from apimall_async import AsyncClient, RetryPolicy
from apimall_async.testing import Fault, LocalGateway


KEY = LocalGateway(0).api_key
QUICK = RetryPolicy(max_tries=3, wait_initial=0.01, wait_max=0.02)
PERSISTENT = RetryPolicy(max_tries=500, max_time=30.0, wait_initial=0.02, wait_max=0.1)

each_kind = pytest.mark.parametrize(
    "options", [{}, {"exact": True}, {"read_ahead": 8}], ids=["plain", "exact", "prefetching"]
)


def ids(gateway: LocalGateway) -> list[str]:
    """Return the ids that there are."""
    return [task.task_id for task in gateway.tasks]


def port_of(gateway: LocalGateway) -> int:
    """Return the port at which it listens."""
    return int(gateway.url.rpartition(":")[2])


async def read(client: AsyncClient, options: dict[str, Any]) -> list[str]:
    """Read the ids of the whole history."""
    return [task.task_id async for task in client.iter_history(**options)]


async def read_while(
    disturb: Callable[[], object], client: AsyncClient, options: dict[str, Any]
) -> list[str]:
    """Read the ids, and meanwhile ``disturb()``, three times and one at a time."""
    seen: list[str] = []
    disturbance: Awaitable[object] = asyncio.sleep(0)
    async for task in client.iter_history(**options):
        seen.append(task.task_id)
        if len(seen) in {200, 600, 1_000}:
            await disturbance
            disturbance = asyncio.create_task(asyncio.to_thread(disturb))
    await disturbance
    return seen


async def outlast(
    proxy: "Proxy", behind: LocalGateway, fault: Fault, errors: Any, match: str | None = None
) -> None:
    """Two faults are tried again, and the page is whole; three use up the tries, and are the error."""
    async with proxy.client(retry=QUICK) as client:
        behind.fault(fault, fault)
        assert (await client.list_history(limit=50)).items == tuple(behind.tasks[:50])
        behind.fault(fault, fault, fault)
        with pytest.raises(errors, match=match):
            await client.list_history(limit=50)
    assert len(behind.requests) == 6


class Gateway(Program):
    """A LocalGateway in a process of its own; the same history after every start."""

    def __init__(self, home: Path, tasks: int, latency: float) -> None:
        """Take how many tasks it has, and how long a response takes, in seconds."""
        home.mkdir()
        super().__init__(home)
        options = {"port": self.port, "items": tasks, "latency-ms": latency * 1000}
        given = [f"--{name}={value}" for name, value in options.items()]
        self.command = [sys.executable, "-m", "apimall_async.testing", *given]


class Proxy(Program):
    """A program with a configuration, and a line in its log for each response."""

    log: Path
    gently: signal.Signals
    """Has it finish what it does, its log too, and end."""

    def client(self, **options: Any) -> AsyncClient:
        """Make a client for the gateway behind, one that does not give up soon."""
        return AsyncClient(KEY, base_url=self.url, **{"retry": PERSISTENT, **options})

    def responses(self) -> list[str]:
        """End it, so that nothing is missing, and return its responses, a line each."""
        self.kill(self.gently)
        return self.log.read_text().splitlines()

    def statuses(self) -> list[int]:
        """End it, and return the status of each response; 0 or less if there was none."""
        return [int(response.split()[0]) for response in self.responses()]


_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {home}/pid;
error_log {home}/error.log notice;
events {{ worker_connections 512; }}
http {{
  log_format responses "$status $upstream_status $connection $gzip_ratio";
  access_log {home}/responses responses;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  default_type application/json;
  {http}
  upstream gateway {{ server 127.0.0.1:{upstream}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port} {listen};
    {server}
    location / {{
      proxy_pass http://gateway;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host 127.0.0.1:{upstream};
      {location}
    }}
  }}
}}
"""


class Nginx(Proxy):
    """nginx in front of a port, with more directives where they belong."""

    gently = signal.SIGQUIT

    def __init__(
        self,
        home: Path,
        upstream: int,
        *,
        http: str = "",
        listen: str = "",
        server: str = "",
        location: str = "",
    ) -> None:
        super().__init__(home)
        self.log = home / "responses"
        config = _NGINX.format(
            user="user root;" if os.geteuid() == 0 else "",  # its workers write into home
            home=home,
            port=self.port,
            upstream=upstream,
            http=http,
            listen=listen,
            server=server,
            location=location,
        )
        (home / "config").write_text(config)
        self.command = [find("nginx") or "nginx", "-c", home / "config", "-e", home / "error.log"]

    def reload(self) -> None:
        """Have new workers take over, and the old ones close the connections that are kept alive."""
        errors = self.home / "error.log"
        before = errors.read_text().count("gracefully shutting down")
        self.signal(signal.SIGHUP)
        self.wait(lambda: errors.read_text().count("gracefully shutting down") > before)


_HAPROXY = """
global
  log stdout format raw local0
  stats socket {home}/admin mode 600 level admin
  nbthread 1
  set-var proc.n int(0)
defaults
  mode http
  log global
  log-format "%ST %ts %ci:%cp"
  option dontlognull
  retries 0
  timeout connect 500ms
  timeout client 5s
  timeout server 5s
  {defaults}
frontend outside
  bind 127.0.0.1:{port}
  {frontend}
  default_backend inside
backend inside
  http-request set-header Host 127.0.0.1:{upstream}
  {backend}
  server gateway 127.0.0.1:{upstream} {server}
"""


class Haproxy(Proxy):
    """haproxy in front of a port, with more lines where they belong."""

    gently = signal.SIGUSR1

    def __init__(
        self,
        home: Path,
        upstream: int,
        *,
        defaults: str = "",
        frontend: str = "",
        backend: str = "",
        server: str = "",
    ) -> None:
        super().__init__(home)
        self.log = home / "output"
        config = _HAPROXY.format(
            home=home,
            port=self.port,
            upstream=upstream,
            defaults=defaults,
            frontend=frontend,
            backend=backend,
            server=server,
        )
        (home / "config").write_text(config)
        self.command = [find("haproxy") or "haproxy", "-db", "-f", home / "config"]

    def responses(self) -> list[str]:
        """Leave out what it says of itself."""
        return [line for line in super().responses() if line[:1] in "-0123456789" and line]

    def send(self, *commands: str) -> str:
        """Send commands through its admin socket."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(self.limit)
            admin.connect(str(self.home / "admin"))
            admin.sendall(f"{';'.join(commands)}\n".encode())
            return b"".join(iter(lambda: admin.recv(65_536), b"")).decode()
