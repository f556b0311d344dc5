"""The examples of the vendor's contract, to the letter, and bodies that are made of them."""

import json
from typing import Any

from multidict import CIMultiDict


EXAMPLE = b"""{
"success": true,
"data": {
"items": [
{
"task_id": "img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M",
"model": "nano-banana",
"source": "gempix2",
"created_at": "2026-03-12T09:30:00.000Z",
"status": "completed",
"image_url": "https://cdn.apimall.ai/generated/image-01.webp",
"credits_used": 8,
"credits_refunded": 0,
"completed_at": "2026-03-12T09:31:06.000Z"
}
],
"page": 1,
"limit": 20
},
"request_id": "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R"
}"""
"""*Response Example*."""

ERROR = b"""{
"success": false,
"error": {
"code": "unauthorized",
"message": "Unauthorized"
},
"request_id": "req_01HQ9M7J7X9P7Y8T6W5V4U3S2R"
}"""
"""*Error Response Example*."""

NO_HEADERS: CIMultiDict[str] = CIMultiDict()


def encode(value: object) -> bytes:
    """Make a body."""
    return json.dumps(value).encode()


def page_objects(*tasks: dict[str, Any]) -> dict[str, Any]:
    """Return the objects of a page: of the example, or of these tasks."""
    page: dict[str, Any] = json.loads(EXAMPLE)
    if tasks:
        page["data"]["items"] = list(tasks)
    return page


def task_objects(**changes: Any) -> dict[str, Any]:
    """Return the object of the example's task, with some fields changed."""
    task: dict[str, Any] = page_objects()["data"]["items"][0]
    return task | changes
