#!/usr/bin/env bash
# msgspec 0.22.0 with attrs 26.1.0: after msgspec has filled an object of an attrs class, it looks up each of
# its fields once more, to find those that were not in the JSON. Of a slotted class a field that was not raises
# an AttributeError inside, which is dropped. So an optional field that is seldom sent costs several times as
# much as one that is always sent. Objects of msgspec.Struct are not read back.
# Guess beforehand: the decoder remembers which keys it has seen, as it does for a Struct.
# Seen: ten look-ups for ten fields, whether they were sent or not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q attrs==26.1.0 msgspec==0.22.0
cat >"$folder/finding.py" <<'PYTHON'
import attrs
import msgspec

NAMES = [f"field_{number}" for number in range(10)]
looked_up = []


def __getattribute__(self, name):
    looked_up.append(name)
    return object.__getattribute__(self, name)


Task = attrs.make_class(
    "Task", {name: attrs.field(default=None, type=int | None) for name in NAMES}, slots=True
)
Task.__getattribute__ = __getattribute__
for count in 10, 9, 0:
    looked_up.clear()
    body = msgspec.json.encode({name: 1 for name in NAMES[:count]})
    msgspec.json.decode(body, type=Task)
    print(f"{count} of 10 fields sent:", len([name for name in looked_up if name in NAMES]), "look-ups")
PYTHON
seen=$("$folder/venv/bin/python" "$folder/finding.py")
echo "$seen"
[ "$(grep -c '10 look-ups$' <<<"$seen")" -eq 3 ]
