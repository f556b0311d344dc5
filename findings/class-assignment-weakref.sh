#!/usr/bin/env bash
# CPython with attrs 26.1.0: an object's __class__ can be set to another class with the same slots. It cannot
# if each of the two classes has its own slot __weakref__, as attrs gives it to every slotted class, although
# names, order, size and weakref offset are equal. With __weakref__ in the slots of a common base it can.
# Guess beforehand: classes with equal __slots__ are exchangeable, and __weakref__ is a slot as any other.
# Seen: TypeError, "object layout differs", on 3.11.7; and no error with the slot in the base.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q attrs==26.1.0
cat >"$folder/finding.py" <<'PYTHON'
import attrs


class Nothing:
    __slots__ = ()


class Weakref:
    __slots__ = ("__weakref__",)


for base in Nothing, Weakref:
    one, other = (attrs.make_class("Task", ["task_id"], bases=(base,), slots=True) for _ in range(2))
    task = one("a")
    same = (one.__basicsize__, one.__weakrefoffset__) == (other.__basicsize__, other.__weakrefoffset__)
    try:
        task.__class__ = other
    except TypeError as error:
        print(f"{base.__name__}: {one.__slots__}, same size and offset: {same}: {error}")
    else:
        print(f"{base.__name__}: {one.__slots__}, same size and offset: {same}: {task}")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/finding.py")
echo "$seen"
grep -q "^Nothing: ('task_id', '__weakref__'), same size and offset: True: __class__ assignment:.*layout differs" <<<"$seen"
grep -q "^Weakref: ('task_id',), same size and offset: True: Task(task_id='a')$" <<<"$seen"
