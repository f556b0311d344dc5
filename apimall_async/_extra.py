"""Unknown fields: what the gateway sends of a record, and this version does not know. They are kept."""

import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import attrs

from apimall_async._decoding import EXTRA, wire_fields
from apimall_async._untrusted import printable_line


_MAX_DEPTH = 64  # levels of objects and arrays in unknown fields
_MAX_NAMES = 50  # unknown fields that are named in the log, each of them once
_MAX_NAME = 100  # characters of such a name

_logger = logging.getLogger("apimall_async")
_named: set[str] = set()


class Extra(Mapping[str, Any]):
    """The fields of a record that this version does not know: read only, as JSON had them."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return repr(self._fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return Extra, (self._fields,)


NO_EXTRA = Extra({})


def extra_field() -> Any:
    """Make the attrs field ``extra`` of a record."""
    return attrs.field(default=NO_EXTRA, converter=Extra, kw_only=True, hash=False)


def extra_to_send(record: Any) -> dict[str, Any]:
    """Return the unknown fields of a record, to be changed at will; none has the name of a known one."""
    known = _wire_names(record.__class__)
    return {name: deepcopy(value) for name, value in record.extra.items() if name not in known}


def keep_extra(record: Any, fields: Mapping[str, Any]) -> None:
    """Complete a record that nobody has seen yet by the fields that its class does not know."""
    known = _wire_names(record.__class__)
    extra = {name: value for name, value in fields.items() if name not in known}
    if not extra:
        return
    if any(isinstance(value, dict | list) for value in extra.values()):
        _check_depth(extra)
    object.__setattr__(record, EXTRA, Extra(extra))
    if not extra.keys() <= _named:
        for name in {printable_line(name[:_MAX_NAME]) for name in extra} - _named:
            _log_once(name)


def _check_depth(fields: object) -> None:
    """Refuse what is nested so deep that Python could read it, but not write it or show it."""
    level = [fields]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise ValueError(f"expected unknown fields of at most {_MAX_DEPTH} levels")


@cache
def _wire_names(cls: type) -> frozenset[str]:
    return frozenset(field.name for field in wire_fields(cls))


def _log_once(name: str) -> None:
    if len(_named) < _MAX_NAMES:
        _named.add(name)
        _logger.info("the gateway sends a field that this version does not know, kept in extra: %s", name)
