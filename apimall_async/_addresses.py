"""What names a server that listens here: its URL, and the Host headers of requests to it."""

from collections.abc import Iterable


_DEFAULT_PORT = 80  # of http


def make_origin(host: str, port: int) -> str:
    """Return the URL of a server, without a path."""
    return f"http://{_in_url(host)}:{port}"


def host_headers(hosts: Iterable[str], port: int) -> frozenset[str]:
    """Return the Host headers that name a server at ``port`` of these names and addresses."""
    names = [_in_url(host) for host in hosts]
    shortened = names if port == _DEFAULT_PORT else []  # as RFC 9110 allows, and browsers do
    return frozenset([*(f"{name}:{port}" for name in names), *shortened])


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
