"""The endpoints that a client reads: each a path, and the class of its pages."""

from typing import Any, Generic, TypeVar

import attrs

from apimall_async._contract import HISTORY_PATH
from apimall_async._conversion import Page
from apimall_async._models import HistoryPage


P_co = TypeVar("P_co", bound=Page[Any], covariant=True)


@attrs.define(eq=False, repr=False)
class Endpoint(Generic[P_co]):
    """A paged list of the gateway."""

    path: str
    page: type[P_co]


IMAGE_HISTORY = Endpoint(HISTORY_PATH, HistoryPage)
