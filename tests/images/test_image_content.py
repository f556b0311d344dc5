"""What the first bytes show: an image's type, or a page that is none."""

import time
from pathlib import Path

import pytest
from image_host import JPEG, PNG, Host, files, make_task, response, sends

from apimall_async import APIResponseValidationError, AsyncClient
from apimall_async._images._content import SNIFF_SIZE, file_suffix


PAGE = b"<!doctype html><title>Service unavailable</title>"
SVG = b'<?xml version="1.0"?>\n<!-- Generator -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/html", PAGE),
        ("text/html; charset=utf-8", PNG),
        ("Application/XHTML+XML", SVG),
        ("application/json", b"1"),
        ("application/problem+json;x=y", b"1"),
        ("image/png", PAGE),
        ("", PAGE),
        ("image/png", b"\xef\xbb\xbf\r\n <HTML>"),
        ("", b"<!-- a --><html>"),
        ("", b"<h1>502 Bad Gateway</h1>"),
        ("application/xml", b'<?xml version="1.0"?>\n<Error><Code>SlowDown</Code></Error>'),
        ("", b"<!DOCTYPE html><svg></svg>"),
        ("image/png", b'{"error": "busy"}'),
        ("", b'\n[ {"error": "busy"}]'),
        ("", b"{}"),
        ("", b"{"),
        ("", b" \r\n" * 9),
        ("text/plain", b"upstream connect error"),
    ],
)
async def test_a_page_is_no_image(
    client: AsyncClient, host: Host, tmp_path: Path, media_type: str, body: bytes
) -> None:
    """It is an error that may pass; nothing of it is kept, and the next call requests the image."""
    host.script += [sends(response(200, body, {"Content-Type": media_type, "ETag": '"page"'}))]
    with pytest.raises(APIResponseValidationError, match="and no image") as caught:
        await client.download(make_task(host.url), tmp_path)
    assert caught.value.retryable
    assert files(tmp_path) == {}
    await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {"img_1.png": PNG}


async def test_a_page_does_not_cost_what_was_received(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The partial image is continued after it."""
    (tmp_path / "img_1.part").write_bytes(PNG[:100_000])
    (tmp_path / "img_1.etag").write_text('"v1"')
    host.script += [sends(response(200, PAGE, {"Content-Type": "text/html"}))]
    with pytest.raises(APIResponseValidationError, match="text/html"):
        await client.download(make_task(host.url), tmp_path)
    await client.download(make_task(host.url), tmp_path)
    assert host.requests[-1]["range"] == "bytes=99999-"
    assert files(tmp_path) == {"img_1.png": PNG}


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/xml", SVG),
        ("text/plain", PNG),
        ("application/octet-stream", JPEG),
        ("text/plain", b"II*\0\x08\0\0\0"),
        ("image/x-portable-pixmap", b"P3 1 1 255 0 0 0"),
        ("", b"{\\rtf\xff"),
    ],
)
async def test_an_image_of_any_kind_is_kept(
    client: AsyncClient, host: Host, tmp_path: Path, media_type: str, body: bytes
) -> None:
    """Also one that this package does not know, or that its host does not."""
    host.script += [sends(response(200, body, {"Content-Type": media_type}))]
    await client.download(make_task(host.url), tmp_path)
    assert files(tmp_path) == {f"img_1{file_suffix(body)}": body}


@pytest.mark.parametrize(
    ("suffix", "head"),
    [
        (".png", PNG),
        (".jpg", JPEG),
        (".gif", b"GIF89a"),
        (".gif", b"GIF87a"),
        (".webp", b"RIFF\x10\n\0\0WEBPVP8 "),
        (".avif", b"\0\0\0\x20ftypavif\0\0\0\0"),
        (".avif", b"\0\0\0\x20ftypmif1\0\0\0\0miafavif"),
        (".svg", b"<svg>"),
        (".svg", b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a -->\n<!DOCTYPE svg>\n<svg xmlns="">'),
        (".svg", b'<!DOCTYPE svg PUBLIC "a" "b" [<!ENTITY c "d">]><svg>'),
        (".svg", b"<svg:svg xmlns:svg=''>"),
        (".bin", b"\0\0\0\x20ftypheic\0\0\0\0mif1heic"),
        (".bin", b"\0\0\0\x20ftypisom\0\0avif"),
        (".bin", b"<html><svg>"),
        (".bin", b"<!DOCTYPE html><svg>"),
        (".bin", b"<!---->" * 145),
        (".bin", b"#!/bin/sh"),
        (".bin", b"MZ"),
    ],
)
def test_the_suffix_depends_on_the_content(suffix: str, head: bytes) -> None:
    """The first bytes decide; what is no image gets a suffix that no program opens."""
    assert file_suffix(head) == suffix


@pytest.mark.parametrize(
    "piece", [b"<!--", b"<?", b"<!---->", b"\n", b"<!-- -->\n", b"<?a?>", b"ftyp", b"[ "]
)
async def test_no_content_is_slow_to_look_at(
    client: AsyncClient, host: Host, tmp_path: Path, piece: bytes
) -> None:
    """Whatever is repeated in it."""
    host.image = b"    ftyp" * (piece == b"ftyp") + piece * SNIFF_SIZE
    started = time.process_time()
    try:
        await client.download(make_task(host.url), tmp_path)
    except APIResponseValidationError:
        assert files(tmp_path) == {}
    assert time.process_time() - started < 1
