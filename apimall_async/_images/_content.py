"""What a file holds, by its first bytes: the type of an image, or a text that is none."""

import re

from multidict import CIMultiDictProxy

from apimall_async._images._failures import not_an_image


SNIFF_SIZE = 2**12  # first bytes, which are enough for all below

# Atomic groups and possessive quantifiers: without backtracking, no content makes a match slow.
_MARK = rb"(?:\xef\xbb\xbf)?\s*+"
_PROLOG = rb"(?:(?><\?.*?\?>|<!--.*?-->)\s*+)*+"
_SIGNATURES = {
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    ".jpg": re.compile(rb"\xff\xd8\xff"),
    ".gif": re.compile(rb"GIF8[79]a"),
    ".webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    ".avif": re.compile(rb".{4}ftyp(?:.{4}){0,15}?avi[fs]", re.DOTALL),
    ".svg": re.compile(_MARK + _PROLOG + rb"<(?:svg[\s/>]|svg:svg[\s/>]|!DOCTYPE\s+svg[\s\[>])", re.DOTALL),
    ".bin": re.compile(b""),
}
"""Suffixes, and what files of that type begin with; the last one matches all."""
SUFFIXES = tuple(_SIGNATURES)
_UNKNOWN = SUFFIXES[-1]

_MARKUP = rb"<(?:!doctype|[/a-z])"
_JSON = rb"[{\[]\s*+(?:[\"{}\[\]0-9tfn-]|\Z)"
_PAGE_OR_JSON = re.compile(
    _MARK + _PROLOG + rb"(?:" + _MARKUP + rb"|" + _JSON + rb"|\Z)", re.DOTALL | re.IGNORECASE
)
_TYPES_OF_PAGES = re.compile(r"text/html|application/xhtml\+xml|(?:text|application)/(?:[^;]*\+)?json")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")  # as browsers tell it (MIME Sniffing, 3)


def file_suffix(head: bytes) -> str:
    """Detect the type by a file's first bytes. What the URL or a header says of it is ignored."""
    return next(suffix for suffix, signature in _SIGNATURES.items() if signature.match(head))


def check_type(headers: CIMultiDictProxy[str]) -> None:
    """Raise an error that may pass if a response is a page or JSON, by its own account."""
    media_type = _media_type(headers)
    if _TYPES_OF_PAGES.fullmatch(media_type):
        raise not_an_image(media_type)


def check_content(head: bytes, headers: CIMultiDictProxy[str]) -> None:
    """Raise an error that may pass if what came begins like a page, JSON or a text, and like no image.

    So do the pages that hosts and proxies show during an outage, at times with status 200.
    """
    if file_suffix(head) != _UNKNOWN:
        return
    if _PAGE_OR_JSON.match(head):
        raise not_an_image("a page or JSON")
    if _media_type(headers).startswith("text/") and not _BINARY.search(head):
        raise not_an_image("a text")


def _media_type(headers: CIMultiDictProxy[str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()
