"""Untrusted text and URLs: what the gateway, a proxy or a file holds, made fit to be shown."""

import re


_WEB_URL = re.compile(r"https?://[^\s/\\?#@]+([/?#]\S*)?", re.IGNORECASE | re.ASCII)


def printable(text: str) -> str:
    """Replace what could steer a terminal: controls, escapes, bidi overrides, line separators.

    All of them are, in Unicode's sense, not printable; so is half of a surrogate pair.
    """
    if text.isprintable():
        return text
    return "".join(
        [character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text]
    )


def printable_line(text: str) -> str:
    """Make one printable line, which cannot forge a second one in a log."""
    return text if text.isprintable() else printable(" ".join(text.split()))


def web_url(url: str | None) -> str | None:
    """Return ``url`` if it is an absolute http(s) URL without user and password, else None."""
    return url if url and _WEB_URL.fullmatch(url) else None
