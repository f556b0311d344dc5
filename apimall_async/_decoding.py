"""JSON to records in one pass by msgspec, as strict as cattrs' hooks; it says yes, or nothing."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin

import attrs
import msgspec


T = TypeVar("T")

MAX_ID = 512  # characters; iterations remember ids
MAX_TEXT = 16_384  # characters of any other text; a signed URL may have some thousand
INT64 = range(-(2**63), 2**63)  # more fits into no table or file

EXTRA = "extra"
"""The field of a record that holds what its class does not know."""

Count = Annotated[int, msgspec.Meta(ge=1, le=INT64[-1])]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]

_STRICT: Mapping[object, Any] = {
    datetime: Annotated[datetime, msgspec.Meta(tz=True)],
    int: Annotated[int, msgspec.Meta(ge=INT64[0], le=INT64[-1])],
    str: Text,
}
_PLAIN = frozenset({str, int, float, bool, datetime, NoneType})
_Factory: Any = attrs.Factory
_STRICT_ID = Annotated[str, msgspec.Meta(max_length=MAX_ID)]


@attrs.define(eq=False, repr=False)
class Data(Generic[T]):
    """``data`` in the envelope of a page."""

    items: tuple[T, ...]
    page: Count
    limit: Count


@attrs.define(eq=False, repr=False)
class Envelope(Generic[T]):
    """A page as the gateway sends it (contract: *Response Parameters*)."""

    success: bool
    data: Data[T]
    request_id: Text


def wire_fields(cls: type) -> list["attrs.Attribute[Any]"]:
    """List the fields that a record has on the wire: all but ``extra``."""
    return [field for field in attrs.fields(cls) if field.name != EXTRA]


def can_decode(cls: type, base: type) -> bool:
    """Whether msgspec makes of JSON what cattrs makes of it, for this class of records.

    It knows nothing of what attrs can do to a field, nor of the slots of a second base.
    """
    return cls.__bases__ == (base,) and all(
        field.init
        and field.alias == field.name
        and not (field.validator or field.converter or isinstance(field.default, _Factory))
        and _kinds_of(field) <= _PLAIN
        for field in cast("list[Any]", wire_fields(cls))
    )


def _kinds_of(field: Any) -> frozenset[object]:
    union = get_origin(field.type) in {Union, UnionType}
    return frozenset(get_args(field.type) if union else (field.type,))


class Decoder:
    """Decodes bodies of one kind: a record, or an envelope of records."""

    def __init__(self, cls: type, kind: Callable[[type], Any]) -> None:
        """Decode ``kind`` of the struct that stands for the record ``cls``."""
        self._complete = msgspec.json.Decoder(kind(_struct(cls, forbid_unknown_fields=True)))
        self._known = msgspec.json.Decoder(kind(_struct(cls, forbid_unknown_fields=False)))

    def decode(self, body: bytes) -> tuple[Any, bool] | None:
        """Decode a body to structs, and tell whether it holds no field that is unknown; None if refused."""
        with suppress(Exception):  # whatever it is, cattrs will name what is wrong
            return self._complete.decode(body), True
        with suppress(Exception):
            return self._known.decode(body), False
        return None


def _struct(cls: type, *, forbid_unknown_fields: bool) -> type[msgspec.Struct]:
    """Make msgspec's own class with the fields of a record, and with the bounds that msgspec checks."""
    fields: list[Any] = [
        (field.name, _strict_type(field), *([] if field.default is attrs.NOTHING else [field.default]))
        for field in wire_fields(cls)
    ]
    return msgspec.defstruct(
        cls.__name__, fields, forbid_unknown_fields=forbid_unknown_fields, gc=False, kw_only=True
    )


def _strict_type(field: "attrs.Attribute[Any]") -> Any:
    if field.name == "task_id":
        return _STRICT_ID
    kinds: list[Any] = [_STRICT.get(kind, kind) for kind in _kinds_of(field)]
    return reduce(lambda one, other: one | other, kinds)


def records_maker(
    cls: type[T], base: type, no_extra: object
) -> Callable[[Iterable[msgspec.Struct]], tuple[T, ...]]:
    """Return a function that makes records of their structs.

    The ``__init__`` of a frozen class sets each field past its own ``__setattr__``, which takes longer than
    all else that is done for a page. So a twin that is not frozen is filled, and becomes the frozen class:
    the interpreter allows this to classes of the same slots.
    """
    astuple = msgspec.structs.astuple
    fields: dict[str, Any] = {field.name: attrs.field() for field in wire_fields(cls)}
    fields[EXTRA] = attrs.field(default=no_extra)
    twin: Any = attrs.make_class(cls.__name__, fields, bases=(base,), slots=True, eq=False, repr=False)

    def make(structs: Iterable[msgspec.Struct]) -> tuple[T, ...]:
        records: list[T] = []
        for struct in structs:
            record = twin(*astuple(struct))
            record.__class__ = cls
            records.append(record)
        return tuple(records)

    return make
