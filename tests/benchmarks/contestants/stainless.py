"""The design of generated clients: the openai package's base client, with a page-number page class."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Generic, TypeVar

from openai import APIStatusError, RateLimitError
from openai._base_client import (
    AsyncAPIClient,
    AsyncPaginator,
    BaseAsyncPage,
    BasePage,
    PageInfo,
    make_request_options,
)
from openai._models import BaseModel


T = TypeVar("T")


class ImageTask(BaseModel):
    """One of the history's items."""

    task_id: str
    model: str
    source: str
    created_at: datetime
    status: str
    credits_used: int
    image_url: str | None = None
    credits_refunded: int | None = None
    completed_at: datetime | None = None


class Data(BaseModel, Generic[T]):
    """What the envelope holds."""

    items: list[T]
    page: int
    limit: int


class AsyncHistoryPage(BaseAsyncPage[T], BasePage[T], Generic[T]):
    """A page that knows the number of the next."""

    success: bool
    data: Data[T]
    request_id: str

    def _get_page_items(self) -> list[T]:
        return self.data.items

    def next_page_info(self) -> PageInfo | None:
        """Say what to ask for next."""
        if len(self.data.items) < self.data.limit:
            return None
        return PageInfo(params={"page": self.data.page + 1})


class Client(AsyncAPIClient):
    """As generated: timeouts and retries are the base client's defaults."""

    def __init__(self, url: str, key: str, *, max_retries: int = 2) -> None:
        super().__init__(
            version="1.0.0",
            base_url=url,
            _strict_response_validation=False,
            max_retries=max_retries,
        )
        self._key = key

    def _auth_headers(self, security: object) -> dict[str, str]:  # noqa: ARG002
        return {"Authorization": f"Bearer {self._key}"}

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> APIStatusError:
        kind = RateLimitError if response.status_code == 429 else APIStatusError
        return kind(err_msg, response=response, body=body)

    def list_history(
        self, *, page: int = 1, limit: int = 20
    ) -> AsyncPaginator[ImageTask, AsyncHistoryPage[ImageTask]]:
        """Read a page, if awaited, or the history from it on, if iterated over."""
        return self.get_api_list(
            "/api/v1/images/history",
            page=AsyncHistoryPage[ImageTask],
            model=ImageTask,
            options=make_request_options(query={"page": page, "limit": limit}),
        )


@asynccontextmanager
async def connect(
    url: str, key: str, *, max_retries: int = 2
) -> AsyncIterator[Callable[[int], Awaitable[list[ImageTask]]]]:
    """Give a function that fetches one page."""
    async with Client(url, key, max_retries=max_retries) as client:

        async def fetch(page: int) -> list[ImageTask]:
            return (await client.list_history(page=page, limit=50)).data.items

        yield fetch


async def read(url: str, key: str) -> int:
    """Read the history; count its tasks."""
    tasks = 0
    async with Client(url, key) as client:
        async for _ in client.list_history(limit=50):
            tasks += 1
    return tasks
