"""Rate limiters that nobody here wrote, each in front of an endless history, in processes of their own."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from programs import Program, find


APPS = Path(__file__).parent / "limited_apps"
NPM = (
    "express@5.3.0",
    "express-rate-limit@8.7.5",
    "fastify@5.12.8",
    "@fastify/rate-limit@11.2.0",
    "rate-limiter-flexible@11.4.0",
)
PYPI = (
    "django==5.2.19",
    "djangorestframework==3.18.3",
    "fastapi-limiter==0.2.0",
    "flask-limiter==4.1.1",
    "slowapi==0.1.10",
    "uvicorn>=0.32",
    "waitress>=3",
)
NODE = (
    "express-rate-limit",
    "express-rate-limit draft-6",
    "express-rate-limit draft-8",
    "fastify",
    "fastify ban",
    "fastify exponentialBackoff",
    "rate-limiter-flexible",
)
PYTHON = (
    "slowapi",
    "fastapi-limiter",
    "Flask-Limiter",
    "Flask-Limiter moving-window",
    "Flask-Limiter moving-window, headers",
    "Django REST framework",
)
PROXIES = ("nginx 503", "nginx 429", "haproxy")

_NGINX = """
{user}
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ }}
http {{
  log_format status "$status"; access_log /dev/stdout status;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  limit_req_zone $binary_remote_addr zone=account:1m rate={rate}r/m; limit_req_status {status};
  upstream gateway {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      limit_req zone=account burst=10 nodelay;
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""
_HAPROXY = """
global
  log stdout format raw local0
defaults
  mode http
  log global
  log-format "%ST"
  option dontlognull
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend outside
  bind 127.0.0.1:{port}
  stick-table type ip size 1k expire 10m store http_req_rate({seconds}s)
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {requests} }}
  default_backend inside
backend inside
  server gateway 127.0.0.1:{behind}
"""


class Limiter(Program):
    """One that writes the status of each response on a line."""

    limit = 20.0

    def __init__(self, home: Path, folder: Path) -> None:
        """Take where its files go, and where it runs."""
        home.mkdir(parents=True, exist_ok=True)
        super().__init__(home)
        self.process_options = {"cwd": folder}

    def statuses(self) -> Counter[int]:
        """Count its responses by status."""
        return Counter(int(line) for line in re.findall(r"^\d{3}$", self.output, re.MULTILINE))


@contextmanager
def running(
    name: str,
    requests: int,
    seconds: int,
    *,
    home: Path,
    packages: Path,
    node: str = "node",
    python: str = "",
) -> Iterator[Limiter]:
    """Run a limiter that lets so many requests through in so many seconds.

    ``packages`` is where npm installed its part; ``python`` has the limiters from PyPI.
    """

    def app(name: str, home: Path) -> Limiter:
        program = [python or sys.executable, APPS / "app.py"] if name in PYTHON else [node, APPS / "app.mjs"]
        limiter = Limiter(home, packages)
        limiter.command = [*program, name, str(limiter.port), str(requests), str(seconds)]
        return limiter

    with ExitStack() as started:
        if name not in PROXIES:
            yield started.enter_context(app(name, home))
            return
        behind = started.enter_context(app("none", home / "behind"))
        limiter = Limiter(home, home)
        limiter.command = _configured(limiter, name, requests, seconds, behind.port)
        yield started.enter_context(limiter)


def _configured(
    limiter: Limiter, name: str, requests: int, seconds: int, behind: int
) -> Sequence[str | Path]:
    config = limiter.home / "config"
    config.write_text(
        (_HAPROXY if name == "haproxy" else _NGINX).format(
            user="user root;" if os.geteuid() == 0 else "",  # its workers write into home
            home=limiter.home,
            port=limiter.port,
            behind=behind,
            requests=requests,
            seconds=seconds,
            rate=round(requests * 60 / seconds),
            status=name[-3:],
        )
    )
    program = find(name.split(maxsplit=1)[0]) or name
    return (
        [program, "-db", "-f", config]
        if name == "haproxy"
        else [program, "-c", config, "-e", limiter.home / "e"]
    )
