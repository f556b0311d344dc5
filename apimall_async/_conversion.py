"""The one way between JSON and models: a strict cattrs converter.

It structures what the gateway sends, as a body or as the objects in one, and unstructures to what the gateway
would send. Its hooks let msgspec read a body at one go; what that refuses they look at closely, and name each
bad field by its path.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from types import GenericAlias
from typing import Any, Generic, Self, TypeVar, cast, get_args, get_origin

import attrs
from cattrs import BaseConverter, Converter, transform_error
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from apimall_async._contract import MAX_PAGE_SIZE
from apimall_async._decoding import EXTRA, Decoder, Envelope, can_decode, records_maker
from apimall_async._extra import NO_EXTRA, extra_to_send, keep_extra
from apimall_async._json import load_json, to_json
from apimall_async._strict import register_strict_hooks, structure_array, structure_id, structure_object


T = TypeVar("T")
R = TypeVar("R", bound="Record")

_MAX_ITEMS = 20 * MAX_PAGE_SIZE  # in one response that are still looked at: naming a million takes gigabytes
_MAX_PROBLEMS = 5  # bad fields that a message names


class Record:
    """An item of a paged list: an attrs class with the fields of the JSON object, and ``extra``."""

    __slots__ = ("__weakref__",)  # here, lest each class have its own, and no two the same layout

    def to_dict(self) -> dict[str, Any]:
        """Return what the gateway sends: times as text, null as None, unknown fields at the end."""
        return unstructure(self)

    def to_json(self) -> str:
        """Return ``to_dict`` as JSON, on one line and in ASCII."""
        return to_json(unstructure(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make one of what ``to_dict`` returned, or the gateway sent.

        Raises:
            ValueError: fields are missing or wrong; the message names them by their paths.

        """
        return _structure_or_say(deepcopy(dict(data)), cls)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Make one of JSON, as ``from_dict`` does.

        Raises:
            ValueError: this is no JSON, or fields are missing or wrong.

        """
        return _structure_or_say(
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, cls
        )


@attrs.frozen
class Page(Generic[R]):
    """One response of a paged list."""

    items: tuple[R, ...]
    """In the list's order: newest first, as far as is known (the contract is silent)."""
    page: int
    """The page's number as the gateway echoes it; the first is 1."""
    limit: int
    """Items a page holds at most, as the gateway echoes it; it may be less than was requested."""
    request_id: str
    """What the vendor's support needs to find the request."""

    def __iter__(self) -> Iterator[R]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def structure(value: object, kind: type[T]) -> T:
    """Make a record or a page of a body in JSON, or of the objects in one.

    Raises:
        NotJSONError: the body is none.
        Exception: whatever cattrs raises; ``problems`` tells what is wrong.

    """
    return _converter().structure(value, kind)


def unstructure(value: "Record | Page[Any]") -> dict[str, Any]:
    """Make the objects that JSON is made of, as the gateway sends them."""
    return cast("dict[str, Any]", _converter().unstructure(value))


def configure_converter(converter: BaseConverter) -> None:
    """Teach a cattrs converter of your own to structure and unstructure tasks and pages, as the client does.

    They are taken strictly, as the gateway sends them, wherever they stand in your own classes; unknown
    fields are kept in ``extra``. What the converter does with other classes stays as it is.

    Args:
        converter: any converter of cattrs, also one of ``cattrs.preconf``.

    """
    for ours in _is_kind_of(Record), _is_kind_of(Page):
        converter.register_structure_hook_func(ours, structure)
        converter.register_unstructure_hook_func(ours, unstructure)


def problems(error: Exception) -> str:
    """Tell what ``structure`` found wrong: bad fields by their paths, the first few of them."""
    found = transform_error(error, path="$", format_exception=_problem)
    shown = found[:_MAX_PROBLEMS]
    if len(found) > len(shown):
        shown.append(f"and {len(found) - len(shown)} more")
    return "; ".join(shown)


def _problem(error: BaseException, _: object) -> str:
    return "missing" if isinstance(error, KeyError) else str(error)


def _structure_or_say(value: object, kind: type[T]) -> T:
    try:
        return structure(value, kind)
    except Exception as error:  # noqa: BLE001 - cattrs groups what it found
        message = problems(error)
    raise ValueError(f"no {kind.__name__}: {message}")


def _is_kind_of(base: type) -> Callable[[Any], bool]:
    def is_kind_of_base(kind: Any) -> bool:
        cls = get_origin(kind) or kind
        return inspect.isclass(cls) and issubclass(cls, base)

    return is_kind_of_base


@cache
def _page_class(kind: Any) -> tuple[Any, Any]:
    """Find the class of a page, and that of its items, for Page[T] or a subclass of it."""
    if kind is Page:
        raise TypeError("expected the class of the items, as in Page[ImageTask]")
    if get_origin(kind) is Page:
        return Page, get_args(kind)[0]
    return kind, _page_class(kind.__orig_bases__[0])[1]


def _structure_page(value: object, kind: Any) -> Page[Any]:
    cls, item = _page_class(kind)
    page: Page[Any] | None = _decode_page(value, cls, item) if isinstance(value, bytes) else None
    if page is not None:
        return page
    fields = load_json(value) if isinstance(value, bytes) else value
    envelope = _converter().structure(fields, Envelope[item])  # type: ignore[valid-type]
    if not envelope.success:
        raise ValueError("expected a page, got success: false")
    data = envelope.data
    return cls(data.items, data.page, data.limit, envelope.request_id)  # type: ignore[no-any-return]


def _decode_page(body: bytes, cls: Any, item: Any) -> Page[Any] | None:
    """Let msgspec read a page; None if it refuses."""
    decoder = _page_decoder(item)
    decoded = decoder.decode(body) if decoder else None
    if decoded is None:
        return None
    envelope, complete = decoded
    data = envelope.data
    if not envelope.success or len(data.items) > _MAX_ITEMS:
        return None
    items = _records_maker(item)(data.items)
    if not complete:
        try:
            for record, fields in zip(items, load_json(body)["data"]["items"], strict=True):
                keep_extra(record, fields)
        except ValueError:
            return None
    page: Page[Any] = cls(items, data.page, data.limit, envelope.request_id)
    return page


@cache
def _page_decoder(item: Any) -> Decoder | None:
    return Decoder(item, lambda struct: Envelope[struct]) if can_decode(item, Record) else None  # type: ignore[valid-type]


@cache
def _record_decoder(cls: Any) -> Decoder | None:
    return Decoder(cls, lambda struct: struct) if can_decode(cls, Record) else None


@cache
def _records_maker(cls: Any) -> Callable[[Iterable[Any]], tuple[Any, ...]]:
    return records_maker(cls, Record, NO_EXTRA)


def _structure_record(cls: Any, converter: Converter) -> Callable[[object, object], Any]:
    from_fields = make_dict_structure_fn(
        cls,
        converter,
        **{EXTRA: override(omit=True), "task_id": override(struct_hook=structure_id)},  # type: ignore[arg-type]
    )

    def structure_record(value: object, kind: object) -> Any:
        decoder = _record_decoder(cls) if isinstance(value, bytes) else None
        decoded = decoder.decode(cast("bytes", value)) if decoder else None
        record = _records_maker(cls)([decoded[0]])[0] if decoded else None
        if decoded and decoded[1]:
            return record
        fields = structure_object(load_json(value) if isinstance(value, bytes) else value, kind)
        record = record or from_fields(fields, cls)
        keep_extra(record, fields)
        return record

    return structure_record


def _unstructure_record(cls: Any, converter: Converter) -> Callable[[Any], dict[str, Any]]:
    known = make_dict_unstructure_fn(cls, converter, **{EXTRA: override(omit=True)})  # type: ignore[arg-type]
    return lambda record: {**known(record), **extra_to_send(record)}


def _unstructure_page(page: Page[Any]) -> dict[str, Any]:
    data = {"items": [unstructure(item) for item in page.items], "page": page.page, "limit": page.limit}
    return {"success": True, "data": data, "request_id": page.request_id}


def _structure_array(kind: Any, converter: Converter) -> Callable[[object, object], Any]:
    """Take arrays only, and none that is absurdly long, for a list or a tuple."""
    items: Any = GenericAlias(list, get_args(kind)[:1])
    structure_list = list_structure_factory(items, converter)

    def structure_items(value: object, _: object) -> Any:
        objects = structure_array(value, kind)
        if len(objects) > _MAX_ITEMS:
            raise ValueError(f"expected at most {MAX_PAGE_SIZE} items, got {len(objects)}")
        return get_origin(kind)(structure_list(objects, items))

    return structure_items


def _structure_object(kind: Any, converter: Converter) -> Callable[[object, object], Any]:
    from_fields = make_dict_structure_fn(kind, converter)
    return lambda value, _: from_fields(structure_object(value, kind), kind)


@cache
def _converter() -> Converter:
    """Make the converter, when it is used for the first time: an import need not wait for it."""
    converter = Converter()
    register_strict_hooks(converter)
    converter.register_structure_hook_factory(_is_kind_of(list), _structure_array)
    converter.register_structure_hook_factory(_is_kind_of(tuple), _structure_array)
    converter.register_structure_hook_factory(attrs.has, _structure_object)
    converter.register_structure_hook_factory(_is_kind_of(Record), _structure_record)
    converter.register_unstructure_hook_factory(_is_kind_of(Record), _unstructure_record)
    converter.register_structure_hook_func(_is_kind_of(Page), _structure_page)
    converter.register_unstructure_hook_func(_is_kind_of(Page), _unstructure_page)
    return converter
