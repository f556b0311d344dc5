"""Read the image history of an API Mall account: typed, exact, as fast as the gateway allows."""

from apimall_async._client import AsyncClient
from apimall_async._conversion import Page, configure_converter
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
from apimall_async._models import HistoryPage, ImageTask, TaskStatus
from apimall_async._pagination import ItemIterator, PageIterator, Stats
from apimall_async._retry import RetryPolicy
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
    "ItemIterator",
    "NotFoundError",
    "Page",
    "PageIterator",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitError",
    "RetryPolicy",
    "Stats",
    "TaskStatus",
    "__version__",
    "configure_converter",
]

for _value in [value for name, value in vars().items() if name in __all__ and name != "__version__"]:
    _value.__module__ = __name__  # tracebacks and help show the names that users import
