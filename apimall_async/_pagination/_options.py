"""What to iterate over, checked before any request; and what one iteration counts."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast

import attrs

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._conversion import Record
from apimall_async._page_ranges import PageRange


A = ParamSpec("A")
T = TypeVar("T")


def check_integer(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise ValueError, which names the argument, unless it is an integer in range."""
    if type(value) is not int or value < least or (most is not None and value > most):
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be an integer, {bounds}, not {value!r}")


def without_limit(method: Callable[A, T]) -> Callable[A, T]:
    """Tell whoever passes ``limit=``, as to ``list_history``, which of two things it may mean here."""

    @wraps(method)
    def checked(*args: A.args, **options: A.kwargs) -> T:
        if "limit" in options:
            raise TypeError(
                f"{method.__name__}() takes no limit=: it is page_size= for tasks a page, "
                "max_items= for tasks in all"
            )
        return method(*args, **options)

    return checked


def _integer(least: int, most: int | None = None) -> Any:
    def check(_: object, attribute: "attrs.Attribute[int]", value: object) -> None:
        check_integer(attribute.name, value, least, most)

    return check


class Known(Protocol):
    """An item that the caller knows."""

    @property
    def task_id(self) -> str: ...
    @property
    def created_at(self) -> datetime | None: ...


class _Named(NamedTuple):
    """An item of which the caller knows the id alone."""

    task_id: str
    created_at: datetime | None = None


def _known(name: str, value: object) -> Known:
    if isinstance(value, str) and value:
        return _Named(value)
    if isinstance(value, Record) and hasattr(value, "task_id") and hasattr(value, "created_at"):
        return cast("Known", value)
    raise ValueError(f"{name} must be a task or the id of one, not {value!r}")


def _after(value: object) -> tuple[Known, ...]:
    """Return what to continue behind: one item, or several in the order in which they were read."""
    if value is None:
        return ()
    if isinstance(value, Iterable) and not isinstance(value, str | Record):
        return tuple([_known("after", one) for one in cast("Iterable[object]", value)])
    return (_known("after", value),)


def _until(value: object) -> Known | datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"until must be an aware datetime, not {value!r}")
        return value
    return _known("until", value)


@attrs.frozen
class Options:
    """What to iterate over; ValueError names the argument that is not valid."""

    page_size: int = attrs.field(default=MAX_PAGE_SIZE, validator=_integer(1, MAX_PAGE_SIZE))
    start_page: int = attrs.field(default=1, validator=_integer(1))
    max_items: int | None = attrs.field(default=None, validator=attrs.validators.optional(_integer(0)))
    read_ahead: int = attrs.field(default=0, validator=_integer(0))
    exact: bool = False
    after: tuple[Known, ...] = attrs.field(default=(), converter=_after)
    until: Known | datetime | None = attrs.field(default=None, converter=_until)

    @property
    def needs_proof(self) -> bool:
        """Whether the iteration is to be exact."""
        return self.exact or self.read_ahead > 0 or bool(self.after)

    def first_page(self) -> PageRange:
        """Choose the first page to request: the smallest that begins where the iteration does."""
        start = (self.start_page - 1) * self.page_size
        least = self.page_size if self.after else min(self.page_size, self.max_items or self.page_size)
        limit = next(size for size in range(least, self.page_size + 1) if start % size == 0)
        return PageRange(start // limit + 1, limit)


@attrs.define
class Stats:
    """What one iteration read, and what it cost; it grows while the iteration goes on."""

    pages: int = 0
    tasks: int = 0
    duplicates: int = 0
    """Tasks shown again: where pages overlap, and where new tasks pushed them down."""
    boundaries_repaired: int = 0
    """Pages that did not carry on from the one before: another one was read between them."""
    boundaries_unproven: int = 0
    """Pages that carry on only if the order of tasks created at the same time is stable."""
    retries: int = 0
    waited: float = 0.0
    """Seconds that requests of this iteration were held back, or waited for a retry."""
