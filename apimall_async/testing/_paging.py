"""How the pages of a list are cut, as back ends do it: what the contract leaves open."""

from collections.abc import Callable, Collection
from typing import Any, Generic, Literal, TypeAlias, get_args

import attrs

from apimall_async.testing._contract import Response, error_body, json_headers, page_response
from apimall_async.testing._history import History, R


PastEnd: TypeAlias = Literal[
    "empty", "empty-as-last", "last", "last-as-requested", "null", "missing", 400, 404, 410, 416, 422
]
"""How a back end responds to a page behind the last one.

- ``"empty"``: no tasks, and the number that was requested. Most do.
- ``"empty-as-last"``: no tasks, and the number of the last page (``paginate`` of Pylons).
- ``"last"``: the last page again, with its own number (Django's ``get_page``, json-server 1).
- ``"last-as-requested"``: the tasks of the last page, with the number that was requested.
- ``"null"``: ``"items": null``.
- ``"missing"``: no ``items`` at all.
- 400, 404, 410, 416 or 422: this status, and an error in the form of a back end that sends it: WordPress,
  Django REST framework, the contract, PostgREST, FastAPI.
"""

Ties: TypeAlias = Literal["stable", "any"]
"""Tasks of one ``created_at``: ``"stable"`` in one order, or in ``"any"``, another one at each request."""

Hidden: TypeAlias = Collection[str] | Callable[[R], bool]

_ECHO_LAST = ("empty-as-last", "last")
_SHOW_LAST = ("last", "last-as-requested")
_ITEMS = {"null": b'"items":null,', "missing": b""}  # instead of an empty list
_ERRORS = {
    400: b'{"code":"rest_post_invalid_page_number","message":"The page number requested is larger than the'
    b' number of pages available.","data":{"status":400}}',
    404: b'{"detail":"Invalid page."}',
    416: b'{"code":"PGRST103","details":null,"hint":null,"message":"Requested range not satisfiable"}',
    422: b'{"detail":[{"type":"less_than_equal","loc":["query","page"],"msg":"Input should be'
    b' less than or equal to the number of pages"}]}',
}


def _one_of(kind: Any) -> Any:
    """Make a validator of a setting whose values are those of a Literal."""
    allowed = get_args(kind)

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value not in allowed:
            raise ValueError(
                f"{attribute.name} must be one of {', '.join(map(repr, allowed))}, not {value!r}"
            )

    return check


def _check_hidden(_: object, __: object, value: Any) -> None:
    # A text is a collection of texts, too, but hardly meant as one. ValueError, as for every wrong argument.
    if isinstance(value, str | bytes) or not (callable(value) or isinstance(value, Collection)):
        raise ValueError(f"hidden must be a collection of task ids or a function, not {value!r}")  # noqa: TRY004


@attrs.define
class Paging(Generic[R]):
    """Makes pages of a history, in one of the ways that back ends have."""

    past_end: PastEnd = attrs.field(validator=_one_of(PastEnd))
    hidden: Hidden[R] = attrs.field(validator=_check_hidden)
    ties: Ties = attrs.field(validator=_one_of(Ties))

    def respond(self, history: History[R], page: int, limit: int, request_id: str, *, echo: int) -> Response:
        """Make the response that shows one page, and says that it is page ``echo``."""
        rows, last = self._read(history, page, limit)
        if page <= last:
            return self._page(rows, echo, limit, request_id)
        if isinstance(self.past_end, int):
            body = _ERRORS.get(self.past_end) or error_body(self.past_end, request_id)
            return Response(self.past_end, body, json_headers())
        if self.past_end in _SHOW_LAST:
            rows, last = self._read(history, last, limit)
        response = self._page(rows, last if self.past_end in _ECHO_LAST else echo, limit, request_id)
        if self.past_end in _ITEMS:
            response.body = response.body.replace(b'"items":[],', _ITEMS[self.past_end])
        return response

    def _read(self, history: History[R], page: int, limit: int) -> tuple[list[tuple[R, bytes]], int]:
        return history.read(page, limit, shuffle_ties=self.ties == "any")

    def _page(self, rows: list[tuple[R, bytes]], page: int, limit: int, request_id: str) -> Response:
        hidden = self.hidden
        if callable(hidden):
            shown = [encoded for task, encoded in rows if not hidden(task)]
        else:
            shown = [encoded for task, encoded in rows if task.task_id not in hidden]
        return page_response(shown, page, limit, request_id)
