#!/usr/bin/env bash
# yarl 1.25.1: joining a relative path undoes %2F in the path of the base, so that one segment becomes two; `/` and
# `with_name` keep it. urllib.parse.urljoin of CPython keeps it, but drops empty segments of the base.
# Guess beforehand: RFC 3986 (5.2.3) merges the paths as they are, and so do both.
# Seen: /a%2Fb/x and c become /a/b/c (yarl); /a//b/x and c become /a/b/c (urllib). A signed URL does not survive it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q yarl==1.25.1
cat >"$folder/finding.py" <<'PYTHON'
from urllib.parse import urljoin

from yarl import URL

base = URL("http://host.test/a%2Fb/x", encoded=True)
print("yarl, join:     ", base.join(URL("c", encoded=True)))
print("yarl, with_name:", base.with_name("c"))
print("urllib, escape: ", urljoin("http://host.test/a%2Fb/x", "c"))
print("urllib, empty:  ", urljoin("http://host.test/a//b/x", "c"))
PYTHON
seen=$("$folder/venv/bin/python" "$folder/finding.py")
echo "$seen"
grep -q "^yarl, join:      http://host.test/a/b/c$" <<<"$seen"
grep -q "^yarl, with_name: http://host.test/a%2Fb/c$" <<<"$seen"
grep -q "^urllib, escape:  http://host.test/a%2Fb/c$" <<<"$seen"
grep -q "^urllib, empty:   http://host.test/a/b/c$" <<<"$seen"
