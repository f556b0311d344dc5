"""What a notebook shows of pages and tasks: text and images, and nothing else, whatever the gateway sends."""

from datetime import datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markup import TASK, check, page_of, read

from apimall_async import ImageTask
from apimall_async._html import MAX_ROWS
from apimall_async.testing import sample_history


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></tr></table><h1>gone</h1>",
    '" onload="alert(1)" x=\'',
    "' onload='alert(1)",
    "<!-- ",
    "]]><![CDATA[",
    "&lt;b&gt; &amp; &#60;",
    "</title></textarea></style><style>*{display:none}",
    r"$\href{javascript:alert(1)}{x}$",
    "\0\x1b[2J\u202e\u2028\r\n",
    "x" * 100_000,
]
BAD_URLS = [
    *HOSTILE,
    "",
    "javascript:alert(1)",
    "JavaScript:alert(1)//https://cdn.example/",
    "data:image/svg+xml,<svg onload=alert(1)>",
    "vbscript:x",
    "file:///etc/passwd",
    "//cdn.example/1.webp",
    "/images/1.webp",
    "https:cdn.example",
    "https://",
    "https:///1.webp",
    "https://user:password@cdn.example/",
    " https://cdn.example/",
    "https://cdn.example/\n",
    "https://cdn.example/1.webp 2x",
    "https://cdn\\example/",
    "ht\ttps://cdn.example/",
    "\x01https://cdn.example/",
]


texts = st.one_of(st.sampled_from(HOSTILE + BAD_URLS), st.text(), st.text("<>&\"'/=`$\\ -!?ax", max_size=30))
moments = st.datetimes(timezones=st.timezones() | st.just(timezone(timedelta(hours=14))))
tasks_of_any_kind = st.builds(
    ImageTask,
    task_id=texts,
    model=texts,
    source=texts,
    created_at=moments,
    status=texts,
    credits_used=st.integers(),
    image_url=st.none() | texts | texts.map("https://cdn.example/{}".format),
    credits_refunded=st.none() | st.integers(),
    completed_at=st.none() | moments,
    extra=st.dictionaries(texts, texts | st.none() | st.integers() | st.lists(texts, max_size=2), max_size=2),
)


@given(tasks_of_any_kind)
@example(attrs.evolve(TASK, created_at=datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))))
def test_nothing_that_is_sent_becomes_markup(task: ImageTask) -> None:
    """Whatever the fields are, the elements and attributes are those of harmless tasks; the reprs a line."""
    check(task)
    check(page_of(task))


@pytest.mark.parametrize("text", [text for text in HOSTILE if len(text) <= 40])
def test_markup_in_an_unknown_field_is_shown_as_text(text: str) -> None:
    """So is markup in its name."""
    task = attrs.evolve(TASK, extra={text: "value", "name": text})
    assert read(task).text.replace("\r\n", "\n").count(text.replace("\r\n", "\n")) >= 2


@pytest.mark.parametrize("text", HOSTILE[:-1])
@pytest.mark.parametrize("field", ["task_id", "model", "source", "status", "image_url"])
def test_markup_in_a_field_is_shown_as_text(field: str, text: str) -> None:
    """The reader sees what was sent, letter by letter."""
    task = attrs.evolve(TASK, **{field: text})
    assert text.replace("\r\n", "\n") in read(task).text.replace("\r\n", "\n")
    if field != "image_url":
        assert text.replace("\r\n", "\n") in read(page_of(task)).text.replace("\r\n", "\n")


@pytest.mark.parametrize("url", BAD_URLS)
def test_only_a_web_address_is_loaded(url: str) -> None:
    """Anything else than http(s), or with a login in it, is no image."""
    task = attrs.evolve(TASK, image_url=url)
    assert read(task).all("img") == read(page_of(task)).all("img") == []


@pytest.mark.parametrize("url", ["https://cdn.example/a?b=1&c='\"<>", "HTTP://127.0.0.1:80/a", "https://e"])
def test_an_image_is_loaded_from_where_it_is(url: str) -> None:
    """Its address is not changed by the escapes."""
    task = attrs.evolve(TASK, image_url=url)
    assert [image["src"] for image in read(task).all("img")] == [url]
    assert [image["src"] for image in read(page_of(task)).all("img")] == [url]


def test_formulas_are_not_typeset() -> None:
    """Jupyter's MathJax, old and new, is told to leave all of it alone: a formula's link may be a script."""
    for value in (TASK, page_of(TASK)):
        (_, outermost), *_ = read(value).elements
        assert (outermost["class"] or "").split() == ["tex2jax_ignore", "mathjax_ignore"]


def test_a_page_is_a_table() -> None:
    """A row a task, in order, with what one looks for; a summary above."""
    tasks = [attrs.evolve(task, image_url="https://cdn.example/1.webp") for task in sample_history(50)]
    page = page_of(*tasks)
    reader = read(page)
    assert len(reader.all("tr")) == 1 + 50
    assert len(reader.all("img")) == 50
    positions = [reader.text.index(task.task_id) for task in tasks]
    assert positions == sorted(positions)
    used = sum(task.credits_used for task in tasks)
    refunded = sum(task.credits_refunded or 0 for task in tasks)
    assert f"page 1: 50 tasks, {used} credits, {refunded} refunded\n" in reader.text
    assert "2026-03-12 09:30:00\N{NO-BREAK SPACE}UTC" in reader.text
    assert f"{tasks[0].model} · {tasks[0].source}" in reader.text
    assert len(page._repr_html_()) < 60_000


def test_a_table_is_bounded() -> None:
    """Of a page that holds more than it may, only the first tasks are shown, and how many there are."""
    reader = read(page_of(*sample_history(5_000)))
    assert len(reader.all("tr")) == 1 + MAX_ROWS + 1
    assert "… and 4950 more" in reader.text
    assert "page 1: 5000 tasks" in reader.text


def test_a_text_is_bounded() -> None:
    """A field that goes on for ever is cut."""
    task = attrs.evolve(TASK, model="x" * 10**6)
    for value in (task, page_of(task)):
        assert "x" * 200 + "…" in read(value).text
        assert len(value._repr_html_()) < 5_000


def test_refunds_are_shown() -> None:
    """Beside what was charged, where there are any."""
    text = read(page_of(attrs.evolve(TASK, credits_refunded=8))).text
    assert text.count("8 refunded") == 2  # in the row, and in the sum
    for nothing in (0, None):
        assert "refunded" not in read(page_of(attrs.evolve(TASK, credits_refunded=nothing))).text


def test_an_empty_page_says_so() -> None:
    """It is no blank."""
    assert "page 1: 0 tasks, 0 credits" in read(page_of()).text
    assert repr(page_of()) == "<HistoryPage page=1 limit=50: 0 tasks>"


def test_a_task_shows_all_of_its_fields() -> None:
    """Each under the name that it has in Python."""
    text = read(TASK).text
    assert [name for name in TASK.to_dict() if f"{name}\n" not in text] == []
    assert "None" in read(attrs.evolve(TASK, completed_at=None)).text


def test_a_task_shows_unknown_fields() -> None:
    """In the order in which they came, after all that are known; they are bounded in length and number."""
    extra: dict[str, Any] = {"prompt": "a fox", "seeds": [1, None], "n" * 100: "v" * 1000}
    text = read(attrs.evolve(TASK, extra=extra)).text
    end = f"prompt\na fox\n\nseeds\n[1, None]\n\n{'n' * 40}…\n{'v' * 200}…\n\n\n\n\n"
    assert text == read(TASK).text.removesuffix("\n\n\n") + end
    many = read(attrs.evolve(TASK, extra={f"field {number}": number for number in range(1_000)}))
    assert len(many.all("tr")) == len(TASK.to_dict()) + 50 + 1
    assert "…\nand 950 more\n" in many.text


def test_colours_are_the_notebooks_own() -> None:
    """Themes are light or dark: neither text nor background has a colour of its own, only a status' dot."""
    for value in (TASK, page_of(TASK, attrs.evolve(TASK, status="failed", image_url=None))):
        for tag, attributes in read(value).elements:
            rules = dict(rule.split(":") for rule in (attributes.get("style") or "").split(";") if rule)
            assert tag == "span" or rules.get("color", "inherit") == "inherit"
            assert rules.get("background", "#8882") == "#8882"  # translucent


def test_a_repr_is_a_line() -> None:
    """It names what one looks for, and a page does not spell out its tasks."""
    assert repr(TASK) == "<ImageTask img_1 completed nano-banana 2026-03-12 09:30:00+00:00>"
    other = attrs.evolve(TASK, task_id="img_2")
    assert repr(page_of(TASK)) == "<HistoryPage page=1 limit=50: 1 task, img_1 to img_1>"
    assert (
        repr(page_of(TASK, *sample_history(48), other))
        == "<HistoryPage page=1 limit=50: 50 tasks, img_1 to img_2>"
    )
    assert repr(attrs.evolve(TASK, model="\x1b[2J\n")).isprintable()
