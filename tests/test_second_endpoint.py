"""A second endpoint with the same envelope and the same pagination is a path and a class."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from apimall_async import Page
from apimall_async._conversion import Record
from apimall_async._endpoints import Endpoint
from apimall_async._extra import extra_field
from apimall_async._pagination import Options, iterate_items
from apimall_async.testing import LocalGateway, RecordedRequest


@attrs.frozen
class AudioTask(Record):
    """One audio generation."""

    task_id: str
    created_at: datetime
    status: str
    audio_url: str | None = None
    extra: Mapping[str, Any] = extra_field()


AUDIO_HISTORY = Endpoint("/api/v1/audio/history", Page[AudioTask])


def audio(number: int) -> AudioTask:
    """Make a task; the larger the number, the newer."""
    created_at = datetime(2026, 3, 12, tzinfo=UTC) + timedelta(minutes=number)
    url = f"https://cdn.example/{number}.mp3" if number % 3 else None
    return AudioTask(f"aud_{number:04}", created_at, "completed", url, extra={"seconds": number / 8})


@pytest.mark.parametrize("options", [Options(), Options(exact=True), Options(read_ahead=4)])
async def test_an_audio_history_is_read_by_the_same_code(options: Options) -> None:
    """Stand-in, conversion, pages, exact iteration and prefetch: each task once, while the list moves."""
    tasks = [audio(number) for number in range(300, 0, -1)]
    async with LocalGateway(tasks, path=AUDIO_HISTORY.path) as gateway, gateway.client() as client:

        @gateway.rule
        def move(request: RecordedRequest) -> None:
            if request.page == 3:
                gateway.insert(audio(300 + len(gateway.requests)))

        read = [task async for task in client._iterate(iterate_items, AUDIO_HISTORY, options)]
        assert {request.path for request in gateway.requests} == {AUDIO_HISTORY.path}
    assert read == tasks
