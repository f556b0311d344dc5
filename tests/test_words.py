"""The project uses the words of the field, so that everybody understands it and a search finds it.

There is one word for each thing, in the documentation and in the code. The words that were once used instead
are in a table, and are kept out.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest


ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("*.yaml")]
PROGRAMS = [*(ROOT / "apimall_async").rglob("*.py"), *DOCS.glob("*.py"), *DOCS.glob("[_e]*/*.py")]
NOTEBOOKS = [*DOCS.glob("examples/*.ipynb")]

WORDS = {  # a word that is not used: what is used instead
    "walk(s|ed|er|ers|ing)?": "iterate, iteration, iterator or pagination",
    "ask(s|ed|ing)?": "request",
    "answer(s|ed|ing)?": "response, respond",
    "born|births?": "created, new tasks",
    "lend(s|ing)?|lent|borrow(s|ed|er|ing)?": "pass, the caller's session",
    "tally|tallies": "stats",
    "seams?": "page boundary",
    "strikes?": "no-progress count",
    "patien(ce|t|tly)": "a limit, or how long",
    "strangers?": "untrusted text",
    "house": "project",
    "endings?": "exit code, or how something ended",
    "complain(s|ed|ing|ts?)?": "report, problem",
    "told|said": "logged, given, by default",
    "(of|from) the head": "the newest task",
}
OLD = {re.compile(rf"\b(?:{old})\b", re.IGNORECASE): new for old, new in WORDS.items()}
TEST = re.compile(r"tests/[\w/]+\.py(::\w+)?")  # pages name the tests that show what they say

SEARCHED = ["iterat", "paginat", "prefetch", "concurren", "429", "401", "retr", "resum", "rate limit"]
TITLES = ["Quickstart", "Models", "Pagination", "Rate limits", "Errors", "Client lifecycle", "Testing"]
TITLES += ["Command line", "Examples", "API reference"]

Texts = Iterable[tuple[int, str]]
"""Lines of a file, or names in it, each with the number of its line."""


def each(paths: list[Path]) -> Any:
    """Run a test with each of these."""
    found = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in sorted(paths)]
    return pytest.mark.parametrize("path", found)


def old_words(texts: Texts) -> list[str]:
    """List the old words, each with its line and what to use instead."""
    return [
        f"line {line}: {word[0]}; use: {new}"
        for line, text in texts
        for old, new in OLD.items()
        for word in old.finditer(TEST.sub("", text))
    ]


def texts_of(program: str) -> Iterator[tuple[int, str]]:
    """List what a program says, which is its docstrings and messages, and the names that it gives."""
    for node in ast.walk(ast.parse(program)):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Constant(value=str(text)):
                yield from enumerate(text.splitlines(), line)
            case (
                ast.FunctionDef(name=str(name))
                | ast.AsyncFunctionDef(name=str(name))
                | ast.ClassDef(name=str(name))
                | ast.arg(arg=str(name))
                | ast.keyword(arg=str(name))
                | ast.alias(asname=str(name))
                | ast.Name(id=str(name), ctx=ast.Store())
                | ast.Attribute(attr=str(name), ctx=ast.Store())
            ):
                yield line, apart(name)


def apart(name: str) -> str:
    """Take a name apart: ``_ExactPages`` and ``exact_pages`` both have the word "pages"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", name)


@each(PAGES)
def test_a_page_uses_the_words_of_the_field(path: Path) -> None:
    """Nor does the name of its file hold an old one."""
    lines = enumerate(path.read_text().splitlines(), 1)
    assert old_words([(0, apart(path.stem)), *lines]) == []


@each(PROGRAMS)
def test_a_program_uses_the_words_of_the_field(path: Path) -> None:
    """In names, docstrings and messages; nor does the name of its file hold an old one."""
    assert old_words([(0, apart(path.stem)), *texts_of(path.read_text())]) == []


@each(NOTEBOOKS)
def test_a_notebook_uses_the_words_of_the_field(path: Path) -> None:
    """In every cell."""
    cells = json.loads(path.read_text())["cells"]
    assert old_words((number, "".join(cell["source"])) for number, cell in enumerate(cells)) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It walks.", ["walks"]),
        ("Asked, not ANSWERED", ["Asked", "ANSWERED"]),
        (apart("_ExactWalk"), ["Walk"]),
        (apart("read_births_of"), ["births"]),
        ("a task that lasts, by tests/test_house.py::test_walks", []),
    ],
)
def test_old_words_are_found(text: str, found: list[str]) -> None:
    """In any form, in prose and in names; neither within another word nor in the name of a test."""
    assert [re.findall(r": (\w+);", one)[0] for one in old_words([(1, text)])] == found


def test_the_texts_of_a_program_are_found() -> None:
    """Names where they are given, docstrings and messages; not the names of others that it uses."""
    program = 'def one(two, *, three=f"four {five}"):\n    """Six."""\n    self.seven = eight.nine(ten=walk)'
    words = {word for _, text in texts_of(program) for word in re.findall(r"\w+", text)}
    assert words == {"one", "two", "three", "four", "Six", "seven", "ten"}


def test_the_titles_are_those_that_people_look_for() -> None:
    """Each is the title of a page."""
    pages = [page.read_text() for page in DOCS.glob("*.md")]
    missing = [title for title in TITLES if not any(f"\n# {title}\n" in f"\n{page}" for page in pages)]
    assert missing == []


@pytest.mark.parametrize("word", SEARCHED)
def test_a_search_finds_something(word: str) -> None:
    """More than one page has each of the words that people search for."""
    pages = [page.name for page in DOCS.glob("*.md") if word in page.read_text().lower()]
    assert len(pages) > 1
