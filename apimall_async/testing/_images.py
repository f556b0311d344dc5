"""The images that the gateway's ``image_url``s point to: small, made from the task id."""

import re
from http import HTTPStatus
from zlib import crc32

from multidict import CIMultiDict

from apimall_async.testing._contract import Response


_PATH = re.compile(r"/images/([^/]+)\.svg")
_RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")  # as a client requests it to resume
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512" width="512" height="512">'
    '<defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="hsl({hue} 75% 62%)"/>'
    '<stop offset="1" stop-color="hsl({other} 70% 38%)"/></linearGradient></defs>'
    '<rect width="512" height="512" fill="url(#g)"/><g fill="#fff">'
    '<circle cx="{x}" cy="{y}" r="{r}" opacity=".22"/>'
    '<circle cx="{y}" cy="{r}" r="{x}" opacity=".1"/></g></svg>\n'
)


def image_path(task_id: str) -> str:
    """Return where on the gateway a task's image is."""
    return f"/images/{task_id}.svg"


def task_of(path: str) -> str | None:
    """Return the id of the task whose image has this path; None if it is no image's."""
    found = _PATH.fullmatch(path)
    return found and found[1]


def draw(task_id: str) -> bytes:
    """Draw a gradient and two discs, the same for the same task."""
    dice = crc32(task_id.encode())
    hue, other = dice % 360, (dice % 360 + 40 + dice // 360 % 80) % 360
    x, y, r = (80 + (dice >> shift) % 352 for shift in (3, 11, 19))
    return _SVG.format(hue=hue, other=other, x=x, y=y, r=r).encode()


def image_response(task_id: str, wanted: str | None) -> Response:
    """Respond with the image, or with the range ``wanted`` of it (RFC 9110, 14.2)."""
    image = draw(task_id)
    headers = CIMultiDict({"Content-Type": "image/svg+xml", "Accept-Ranges": "bytes"})
    found = _RANGE.fullmatch(wanted or "")
    if not found:
        return Response(HTTPStatus.OK, image, headers)
    first, last = int(found[1]), min(int(found[2] or len(image)), len(image) - 1)
    if first > last:
        headers["Content-Range"] = f"bytes */{len(image)}"
        return Response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", headers)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(image)}"
    return Response(HTTPStatus.PARTIAL_CONTENT, image[first : last + 1], headers)
