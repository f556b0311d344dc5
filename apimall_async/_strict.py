"""Hooks that make a cattrs converter strict: they take the very kinds that JSON has.

cattrs by itself turns null into "None", and "8" into 8.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import EnumType
from typing import Any, TypeVar

import msgspec
from cattrs import Converter

from apimall_async._decoding import INT64, MAX_ID, MAX_TEXT, Count


T = TypeVar("T")


def register_strict_hooks(converter: Converter) -> None:
    """Structure texts, integers, booleans and times strictly; unstructure times as the gateway sends them."""
    converter.register_structure_hook(str, _text_or_member)
    converter.register_structure_hook(int, _integer_or_member)
    converter.register_structure_hook_func(lambda kind: kind == Count, _count)
    converter.register_structure_hook(bool, _exactly(bool, "a boolean"))
    converter.register_structure_hook(datetime, _timestamp)
    converter.register_unstructure_hook(datetime, _spell)


def structure_id(value: object, kind: object) -> str:
    """Take a text that is short enough for an identifier, and that can be encoded."""
    text = _text(value, kind, MAX_ID)
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    raise ValueError("expected an identifier, got half of a surrogate pair")


def _exactly(kind: type[T], name: str) -> Callable[[object, object], T]:
    def structure(value: object, _: object) -> T:
        if type(value) is kind:
            return value
        got = "null" if value is None else type(value).__name__
        raise TypeError(f"expected {name}, got {got}")

    return structure


_string = _exactly(str, "a string")
_whole = _exactly(int, "an integer")
structure_array: Callable[[object, object], list[Any]] = _exactly(list, "an array")
structure_object: Callable[[object, object], dict[str, Any]] = _exactly(dict, "an object")


def _text(value: object, kind: object, limit: int = MAX_TEXT) -> str:
    text = _string(value, kind)
    if len(text) > limit:
        raise ValueError(f"expected at most {limit} characters, got {len(text)}")
    return text


def _text_or_member(value: object, kind: object) -> object:
    text = _text(value, kind)
    return kind(text) if isinstance(kind, EnumType) else text  # a StrEnum is a kind of text to cattrs


def _integer_or_member(value: object, kind: object) -> object:
    number = _integer(value, kind)
    return kind(number) if isinstance(kind, EnumType) else number


def _integer(value: object, kind: object) -> int:
    number = _whole(value, kind)
    if number not in INT64:
        raise ValueError("expected an integer of 64 bits")
    return number


def _count(value: object, kind: object) -> int:
    number = _integer(value, kind)
    if number < 1:
        raise ValueError(f"expected at least 1, got {number}")
    return number


def _timestamp(value: object, kind: object) -> datetime:
    text = _string(value, kind)
    with suppress(msgspec.ValidationError):
        return _aware(msgspec.convert(text, datetime))
    try:
        return _aware(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError("expected an ISO 8601 timestamp") from None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _spell(moment: datetime) -> str:
    """Spell a time like 2026-03-12T09:30:00.000Z, or to the microsecond if it is as fine as that."""
    with suppress(OverflowError):  # in UTC it is before year 1, or after 9999
        moment = moment.astimezone(UTC)
    precision = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    text = moment.isoformat(timespec=precision)
    return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text
