"""What an image's file is named: the stem by the task, the suffix by the content."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from image_host import PNG, Host, files, make_task

from apimall_async import AsyncClient
from apimall_async._images._names import file_stem


HOSTILE = ["../../x", "..", ".hidden", "a/b", "a\\b", "C:x", "CON", "con", "nul.txt", "COM1", "a\0b", "", " "]
IDS = st.one_of(
    st.text(), st.from_regex(r"(img|IMG|img_)_?[0-9A-Za-z]{0,3}", fullmatch=True), st.sampled_from(HOSTILE)
)


@given(IDS, IDS)
@example("img_1A", "img_1a")
@example("img_1", "img_1 ")
@example("x" * 300, "x" * 301)
@example("\ud800", "\ud801")
@example("img_1\n", "img_1")
def test_names_are_harmless_and_never_collide(one: str, other: str) -> None:
    """Letters, digits, - and _; short; not hidden, no device of Windows; equal only for equal ids."""
    stem = file_stem(one)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,110}", stem)
    assert not re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", stem)
    assert (stem.casefold() == file_stem(other).casefold()) == (one == other)


def test_a_usual_id_is_the_name() -> None:
    """The id can be recognized, and of another id what can be read of it."""
    assert file_stem("img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M") == "img_01HQ9M7XJQ7PZ3GQ9F6C5W3N2M"
    assert file_stem("../../Etc/passwd").startswith("etc_passwd-")
    assert file_stem("../..").startswith("task-")


@pytest.mark.parametrize("task_id", [*HOSTILE, "x" * 300, "/etc/passwd", "\N{SNOWMAN}\u202e"])
async def test_no_id_leads_out_of_the_directory(
    client: AsyncClient, host: Host, tmp_path: Path, task_id: str
) -> None:
    """The file is in the directory, and nothing is anywhere else."""
    inner = tmp_path / "in" / "ner"
    path = await client.download(make_task(host.url, task_id), inner)
    assert path.parent == inner
    assert list(files(inner)) == [path.name]
    assert list(files(tmp_path / "in")) == ["ner"]


async def test_neither_url_nor_header_decides_the_name(
    client: AsyncClient, host: Host, tmp_path: Path
) -> None:
    """The host's header says text, the URL says something else, and the file is named by its content."""
    path = await client.download(make_task(host.url + "/evil.exe?x=.html"), tmp_path)
    assert files(tmp_path) == {"img_1.png": PNG}
    assert path == tmp_path / "img_1.png"
