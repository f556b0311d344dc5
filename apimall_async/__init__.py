"""Read the image history of an API Mall account: typed, exact, as fast as the gateway allows."""

from apimall_async._client import AsyncClient
from apimall_async._errors import (
    APIConnectionError,
    APIError,
    ApimallError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    ClientClosedError,
    ConfigurationError,
    InternalServerError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
)
from apimall_async._guard import RetryPolicy
from apimall_async._models import HistoryPage, ImageTask, TaskStatus
from apimall_async._version import __version__


__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "ApimallError",
    "AsyncClient",
    "AuthenticationError",
    "ClientClosedError",
    "ConfigurationError",
    "HistoryPage",
    "ImageTask",
    "InternalServerError",
    "NotFoundError",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitError",
    "RetryPolicy",
    "TaskStatus",
    "__version__",
]
