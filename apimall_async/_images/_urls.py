"""Which URLs may be requested, each as it was given: a signature holds for these very bytes."""

import re
from urllib.parse import quote

from yarl import URL

from apimall_async._images._failures import validation_error


_ABSOLUTE = re.compile(r"(https?://[^/?#]*)([^#]*)", re.IGNORECASE)  # up to the path, and up to the fragment
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # RFC 3986, 3.1
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))  # what a line of HTTP can hold as it is


def parse_url(text: str, base: URL | None = None) -> URL:
    """Parse a URL that may be requested, or the target of a redirect from ``base``.

    The host's address is checked later, when the connection is made.
    """
    try:
        url, secret = _parse(_resolve(text, base) if base else text)
    except ValueError:  # also what idna finds wrong in a host's name
        url, secret = URL(), False
    if not url.raw_host:
        raise validation_error("the image's URL does not begin with http(s):// and a host")
    if secret:  # it would be sent as Authorization
        raise validation_error("the image's URL holds a user or a password")
    if base and (base.scheme, url.scheme) == ("https", "http"):
        raise validation_error("the image's host redirects from https to http")
    return url


def _parse(text: str) -> tuple[URL, bool]:
    """Return the URL, and whether it names a user or a password."""
    found = _ABSOLUTE.fullmatch(text.partition("#")[0])
    if not found:
        return URL(), False
    start, target = found.groups()
    server = URL(start)
    if not (server.host and (server.raw_host or "").isprintable()):  # reading .host decodes it, too
        return URL(), False
    # yarl would undo escapes that it thinks needless, and drop a lone "?". As one path, it keeps all.
    if not target.startswith("/"):
        target = f"/{target}"
    url = server.origin().with_path(_escape(target), encoded=True)
    return url, server.user is not None or server.password is not None


def _resolve(text: str, base: URL) -> str:
    """Make a redirect's target absolute (RFC 3986, 5.2); what begins with / stays as it is, too."""
    if _SCHEME.match(text):
        return text
    if text.startswith("//"):
        return f"{base.scheme}:{text}"
    path, mark, query = text.partition("#")[0].partition("?")
    if not path:
        path = base.raw_path.partition("?")[0] if mark else base.raw_path  # which has the query, too
    elif not path.startswith("/"):
        path = _join(base.raw_path.partition("?")[0], path)
    return f"{base.origin()}{path}{mark}{query}"


def _join(base_path: str, path: str) -> str:
    """Follow a path from another one. yarl would undo escapes in both, urllib would drop empty segments."""
    joined = base_path.split("/")[:-1]
    segments = path.split("/")
    if segments[-1] in {".", ".."}:
        segments.append("")
    for segment in segments:
        if segment == "..":
            joined[1:] = joined[1:-1]
        elif segment != ".":
            joined.append(segment)
    return "/".join(joined)


def _escape(target: str) -> str:
    """Escape what no request can hold: spaces, controls, and letters beyond ASCII."""
    return quote(target, safe=_VISIBLE, errors="surrogateescape")  # as aiohttp decodes a header's bytes
