"""Untrusted text and URLs: what is shown of them steers no terminal, and forges no line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimall_async._untrusted import printable, printable_line, web_url


any_text = st.text(st.characters()) | st.text("\x1b[]\r\n\t \x00\x9b\u202e\u2066\u2028\ud800ab")


@given(any_text)
def test_what_is_printable_stays(text: str) -> None:
    """Every other character is replaced by one, so that the text keeps its length."""
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(one == other or not one.isprintable() for one, other in zip(text, shown, strict=True))


@given(any_text)
def test_one_line(text: str) -> None:
    """White space between words becomes one space; a printable text stays as it is."""
    line = printable_line(text)
    assert line.isprintable()
    assert line == (text if text.isprintable() else printable(" ".join(text.split())))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a  b", "a  b"),
        ("a\r\n  b\n", "a b"),
        ("\x1b[2Ja", "\ufffd[2Ja"),
        ("a\u202eb\u2028c", "a\ufffdb c"),
        ("\ud800", "\ufffd"),
        ("ä\U0001f600", "ä\U0001f600"),
    ],
)
def test_lines(text: str, line: str) -> None:
    """Controls, escapes, bidi overrides, line separators, halves of surrogate pairs; not other alphabets."""
    assert printable_line(text) == line


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example/a.webp",
        "HTTP://cdn.example",
        "http://127.0.0.1:8080/a?b=c#d",
        "https://cdn.example?a@b",
        "https://[::1]/a",
    ],
)
def test_web_urls(url: str) -> None:
    """Absolute URLs of http and https are returned as they are."""
    assert web_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "//cdn.example/a",
        "/a",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://",
        "https:///a",
        "https:\\\\cdn.example",
        "https://user:password@cdn.example/a",
        "https://cdn.example@evil.example/a",
        "https://cdn.example/a b",
        "https://cdn.example/a\n",
        " https://cdn.example/a",
    ],
)
def test_what_is_no_web_url(url: str | None) -> None:
    """Nor is one with a user or a password: it could name another host than it seems to."""
    assert web_url(url) is None
