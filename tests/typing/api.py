"""Typed usage of every public name. Type checkers read it; nobody runs it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

import aiohttp
import attrs
from aiohttp import web
from cattrs import BaseConverter, Converter
from yarl import URL

from apimall_async import (
    APIConnectionError,
    APIError,
    ApimallError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncClient,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    HistoryPage,
    ImageTask,
    InternalServerError,
    ItemIterator,
    NotFoundError,
    Page,
    PageIterator,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    Stats,
    TaskStatus,
    __version__,
    configure_converter,
)
from apimall_async.testing import (
    Fault,
    History,
    LocalGateway,
    PastEnd,
    RateLimit,
    RecordedRequest,
    Ties,
    sample_history,
)
from apimall_async.ui import create_app, demo_gateway, serve


version: str = __version__


# A client.

AsyncClient()
AsyncClient("sk-")
AsyncClient(api_key="sk-", base_url="https://gateway.apimall.ai", proxy="http://127.0.0.1:3128")
AsyncClient(base_url=URL("https://gateway.apimall.ai"), timeout=aiohttp.ClientTimeout(total=5))
AsyncClient(timeout=None, retry=None)
AsyncClient(timeout=5, retry=RetryPolicy())
assert_type(AsyncClient().with_options(timeout=None, retry=None), AsyncClient)
assert_type(AsyncClient().with_options(timeout=5), AsyncClient)
RetryPolicy(max_tries=3, max_time=20, wait_initial=0.1, wait_max=5.0)
assert_type(RetryPolicy().max_tries, int)
assert_type(RetryPolicy().max_time, float)
assert_type(RetryPolicy().wait_initial, float)
assert_type(RetryPolicy().wait_max, float)

AsyncClient(None, "https://gateway.apimall.ai")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
AsyncClient(retry=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def pass_a_session() -> None:
    """A session of the caller's."""
    async with aiohttp.ClientSession() as session, AsyncClient(session=session) as client:
        assert_type(client, AsyncClient)
        assert_type(client.closed, bool)
        await client.close()


# Reading.


async def read(client: AsyncClient) -> None:
    """Pages, tasks, and the iterations with every argument."""
    assert_type(await client.list_history(), HistoryPage)
    assert_type(await client.list_history(2, 50), HistoryPage)
    page = await client.list_history(page=2, limit=50)
    assert_type(page.items, tuple[ImageTask, ...])
    assert_type(page.page, int)
    assert_type(page.limit, int)
    assert_type(page.request_id, str)
    assert_type(len(page), int)
    assert_type(list(page), list[ImageTask])
    same: Page[ImageTask] = page
    assert_type(same.items, tuple[ImageTask, ...])

    assert_type(client.iter_history(), ItemIterator[ImageTask])
    assert_type(client.iter_history_pages(), PageIterator[HistoryPage])
    generator: AsyncGenerator[ImageTask] = client.iter_history()
    assert_type(await anext(generator), ImageTask)
    async with client.iter_history(after=page.items[-1], until="img_1") as tasks:
        assert_type(await anext(tasks), ImageTask)
        assert_type(await anext(tasks.pages()), Page[ImageTask])
        assert_type(tasks.stats, Stats)
        assert_type(tasks.stats.boundaries_unproven, int)
        assert_type(tasks.stats.waited, float)
    async with client.iter_history_pages(after=page.items, until=datetime.now(UTC)) as pages:
        assert_type(await anext(pages), HistoryPage)
    async for task in client.iter_history(
        page_size=50, start_page=1, max_items=None, read_ahead=8, exact=True
    ):
        assert_type(task, ImageTask)
    async for page in client.iter_history_pages(
        page_size=50, start_page=1, max_items=5, read_ahead=8, exact=True
    ):
        assert_type(page, HistoryPage)
    await client.iter_history().aclose()

    client.iter_history(50)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def look_at(task: ImageTask) -> None:
    """Each field."""
    assert_type(task.task_id, str)
    assert_type(task.model, str)
    assert_type(task.source, str)
    assert_type(task.created_at, datetime)
    assert_type(task.status, str)
    assert_type(task.credits_used, int)
    assert_type(task.image_url, str | None)
    assert_type(task.credits_refunded, int | None)
    assert_type(task.completed_at, datetime | None)
    assert_type(task.extra, Mapping[str, Any])
    known: set[str] = {TaskStatus.PENDING, TaskStatus.PROCESSING, TaskStatus.COMPLETED, TaskStatus.FAILED}
    assert_type(task.status in known, bool)

    assert_type(task.to_dict(), dict[str, Any])
    assert_type(task.to_json(), str)
    assert_type(ImageTask.from_dict({"task_id": "img_1"}), ImageTask)
    assert_type(ImageTask.from_json("{}"), ImageTask)
    assert_type(ImageTask.from_json(b"{}"), ImageTask)

    task.status = "completed"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


@attrs.frozen
class PromptedTask(ImageTask):
    """A task with one more field."""

    prompt: str | None = None


def structure(mine: Converter, base: BaseConverter) -> None:
    """A converter of a user's own, and a class of a user's own."""
    configure_converter(mine)
    configure_converter(base)
    assert_type(mine.structure({}, ImageTask), ImageTask)
    assert_type(mine.structure({}, HistoryPage), HistoryPage)
    assert_type(PromptedTask.from_json("{}"), PromptedTask)
    assert_type(PromptedTask.from_dict({}).prompt, str | None)


# Errors.


async def fail(client: AsyncClient) -> None:
    """What each of them tells."""
    try:
        await client.list_history()
    except (AuthenticationError, PermissionDeniedError, NotFoundError) as error:
        assert_type(error.status, int)
    except (RateLimitError, InternalServerError) as error:
        assert_type(error.retry_after, float | None)
    except APIStatusError as error:
        assert_type(error.status, int)
    except (APITimeoutError, APIConnectionError) as error:
        assert_type(error.retryable, bool)
        assert_type(error.connected, bool)
    except (APIResponseValidationError, PaginationError) as error:
        assert_type(error.request_id, str | None)
    except APIError as error:
        assert_type(error.hint, str)
        assert_type(error.format_hint(base_url="--base-url", retry="--retries"), str)
        assert_type(error.message, str)
        assert_type(error.code, str | None)
    except (ConfigurationError, ClientClosedError) as error:
        root: ApimallError = error
        raise root from None


def is_value_error(error: ConfigurationError) -> ValueError:
    """A wrong setting can be caught as a wrong value."""
    return error


# Testing.


async def stand_in() -> None:
    """A gateway with everything."""
    tasks = sample_history(10, seed=1, max_batch=4)
    assert_type(tasks, list[ImageTask])
    limit = RateLimit(5, 10, 2.0)
    RateLimit.window(5, 2.0, retry_after=1)
    gateway = LocalGateway(
        tasks,
        seed=1,
        api_key="sk-1",
        accounts={"sk-2": 10},
        host="127.0.0.1",
        port=0,
        hosts=["gateway.test:80"],
        max_limit=20,
        rate_limit=limit,
        latency=0.1,
        past_end="last",
        hidden={tasks[3].task_id},
        ties="any",
    )
    past_end: PastEnd = 404
    ties: Ties = "stable"
    other = LocalGateway(tasks, past_end=past_end, hidden=lambda task: task.status == "failed", ties=ties)
    assert_type(other, LocalGateway)
    other.hidden = [tasks[3].task_id]
    LocalGateway[ImageTask](7, hidden=lambda task: task.status == "failed")
    async with gateway as same, same.client() as client:
        assert_type(same, LocalGateway)
        assert_type(client, AsyncClient)
        assert_type(same.url, str)
        assert_type(same.tasks, list[ImageTask])
        assert_type(same.history, History)
        assert_type(same.requests, list[RecordedRequest])
        assert_type(same.insert_new(2), list[ImageTask])
        same.insert(*tasks)
        same.delete(tasks[0].task_id)
        same.update(tasks[1])
        same.fault(Fault(), Fault.error(429, retry_after="soon"), Fault.html(502), Fault.empty())
        same.fault(Fault.half(), Fault.truncate(), Fault.reset(), Fault.stall(in_body=True))
        same.fault(Fault.endless(), Fault.drip(0.1), Fault.slow(1), Fault.cap(20), Fault.stuck(2))

        @same.rule
        def refuse(request: RecordedRequest) -> Fault | None:
            return Fault.error(500) if request.page == 2 else None

        @same.rule
        async def wait(request: RecordedRequest) -> None:
            await asyncio.sleep(float(request.page or 0))

    with gateway.in_thread() as threaded:
        assert_type(threaded, LocalGateway)


async def show_the_history(client: AsyncClient) -> None:
    """Mount the page, or serve it alone."""
    assert_type(create_app(client, hosts={"127.0.0.1:8000"}, poll_interval=5.0), web.Application)
    async with serve(client, port=0) as url:
        assert_type(url, str)
    async with demo_gateway(100) as gateway:
        assert_type(gateway, LocalGateway)


async def keep_the_images(client: AsyncClient, task: ImageTask, directory: Path) -> None:
    """Download to wherever a path can name, and hear of the bytes."""
    assert_type(await client.download(task, directory), Path)
    await client.download(task, "images", max_bytes=2**20, timeout=5.0, on_bytes=print, overwrite=True)
