"""What is published: the sdist and the wheel that ``nox -s release-check`` has built into dist/."""

import os
import re
import subprocess
import tomllib
from datetime import UTC, date, datetime
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from zipfile import ZipFile

import pytest

from apimall_async import __version__


if not os.environ.get("APIMALL_DIST"):
    pytest.skip("nothing is built: nox -s release-check", allow_module_level=True)

ROOT = Path(__file__).parent.parent
DIST = Path(os.environ["APIMALL_DIST"])
TAG = os.environ.get("APIMALL_TAG")  # what is released; unset between releases
(WHEEL,) = DIST.glob("*.whl")
NAMES = ZipFile(WHEEL).namelist()
METADATA = f"apimall_async-{__version__}.dist-info/METADATA"


def owner(need: str) -> str:
    """Tell whose requirement it is."""
    return re.split(r"[\[<>=;]", need)[0]


@pytest.fixture(scope="module")
def metadata() -> Message:
    """What an index shows of the package."""
    return HeaderParser().parsestr(ZipFile(WHEEL).read(METADATA).decode())


def test_the_sdist_and_the_wheel_are_of_this_version() -> None:
    """One of each, and nothing else."""
    names = {f"apimall_async-{__version__}-py3-none-any.whl", f"apimall_async-{__version__}.tar.gz"}
    assert {path.name for path in DIST.iterdir()} - {".gitignore"} == names


def test_the_wheel_holds_the_package_alone() -> None:
    """It is typed, has the page's files and the testing package; no tests, nothing generated."""
    tops = {name.partition("/")[0] for name in NAMES}
    assert tops == {"apimall_async", METADATA.partition("/")[0]}
    kinds = {Path(name).suffix for name in NAMES if name.startswith("apimall_async/")}
    assert kinds == {".py", ".typed", ".css", ".html", ".js", ".svg"}
    assert {"apimall_async/py.typed", "apimall_async/testing/plugin.py"} <= set(NAMES)
    assert not [name for name in NAMES if re.search(r"(^|/)(tests?|docs)/|(^|/)test_|conftest", name)]


def test_the_sdist_makes_the_same_wheel(tmp_path: Path) -> None:
    """Byte for byte what the checkout makes, so nothing that building needs is missing."""
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT], check=True)
    assert (tmp_path / WHEEL.name).read_bytes() == WHEEL.read_bytes()


def test_the_long_description_has_no_broken_link(metadata: Message) -> None:
    """Files that do not come along are named, not linked to."""
    text = str(metadata.get_payload())
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", text) == []
    assert "Client lifecycle (`docs/lifecycle.md`)" in text
    assert len(text.splitlines()) == len((ROOT / "README.md").read_text().splitlines())


def test_the_metadata_says_what_is_needed(metadata: Message) -> None:
    """The licence and its file, the extras, and nothing that only tests need."""
    assert (metadata["Name"], metadata["Version"]) == ("apimall-async", __version__)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert metadata.get_all("Provides-Extra") == ["cli", "parquet"]
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra" not in need]
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert len(needs) == len(asked)
    assert {owner(need) for need in needs} == {owner(need) for need in asked}


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    """It is unreleased, or has the day; what a tag releases has the tag's version and a day."""
    entry = re.search(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert entry
    assert entry[1] == __version__
    if TAG:
        assert f"v{entry[1]}" == TAG
    if TAG or entry[2] != "unreleased":
        assert date.fromisoformat(entry[2]) <= datetime.now(UTC).date()
