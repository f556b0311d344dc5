#!/usr/bin/env bash
# cattrs 26.2.1 with attrs 26.1.0: a field of a generic class whose type is Annotated[tuple[T, ...], ...] is not
# resolved when the class is structured for a concrete T, although tuple[T, ...] without Annotated is.
# msgspec 0.22.0 resolves both.
# Guess beforehand: Annotated changes nothing, cattrs drops it where it knows no hook for it.
# Seen: StructureHandlerNotFoundError, "Unsupported type: ~T", and a page that msgspec reads.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q attrs==26.1.0 cattrs==26.2.1 msgspec==0.22.0
cat >"$folder/finding.py" <<'PYTHON'
from typing import Annotated, Generic, TypeVar

import attrs
import cattrs
import msgspec

T = TypeVar("T")


@attrs.frozen
class Task:
    name: str


@attrs.frozen
class Plain(Generic[T]):
    items: tuple[T, ...]


@attrs.frozen
class Bounded(Generic[T]):
    items: Annotated[tuple[T, ...], msgspec.Meta(max_length=50)]


def structured(kind):
    try:
        return str(cattrs.structure({"items": [{"name": "a"}]}, kind))
    except BaseException as error:
        while hasattr(error, "exceptions"):
            error = error.exceptions[0]
        return f"{type(error).__name__}: {error}"


print("plain, cattrs: ", structured(Plain[Task]))
print("bounded, cattrs:", structured(Bounded[Task]))
print("bounded, msgspec:", msgspec.json.decode(b'{"items": [{"name": "a"}]}', type=Bounded[Task]))
PYTHON
seen=$("$folder/venv/bin/python" "$folder/finding.py")
echo "$seen"
grep -q "^plain, cattrs:  Plain(items=(Task(name='a'),))$" <<<"$seen"
grep -q "^bounded, cattrs: StructureHandlerNotFoundError: Unsupported type: ~T" <<<"$seen"
grep -q "^bounded, msgspec: Bounded(items=(Task(name='a'),))$" <<<"$seen"
