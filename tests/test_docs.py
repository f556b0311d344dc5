"""The documentation is true: every program and snippet in it runs, against a LocalGateway.

A Python snippet runs by itself, with top-level ``await``, and with an open ``client``. The test functions
it defines are called. What it prints is what the ``text`` block right below it says, if there is one.
Of the shell snippets the lines run that begin with ``apimall`` and history, export or download.
"""

import ast
import asyncio
import inspect
import os
import re
import runpy
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pytest
from aiohttp.test_utils import TestClient, TestServer

import apimall_async
from apimall_async.testing import LocalGateway


pytestmark = pytest.mark.docs

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    code: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_snippets(page: Path) -> list[Snippet]:
    """Find the blocks of a page, each with the output that it shows."""
    text = page.read_text()
    blocks = list(FENCE.finditer(text))
    snippets: list[Snippet] = []
    for block, after in zip_longest(blocks, blocks[1:]):
        output = None
        if after and after[1] == "text" and not text[block.end() : after.start()].strip():
            output = after[2]
        line = text.count("\n", 0, block.start()) + 1
        snippets.append(Snippet(page, line, block[1], block[2], output))
    return snippets


def snippets_in(language: str) -> Callable[[Any], Any]:
    """Run a test with each snippet in this language."""
    found = [snippet for page in PAGES for snippet in read_snippets(page) if snippet.language == language]
    return pytest.mark.parametrize("snippet", [pytest.param(one, id=str(one)) for one in found])


@pytest.fixture
def gateway(apimall_gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch) -> LocalGateway:
    """Run a gateway of 100 tasks, for whoever asks the environment."""
    monkeypatch.setenv("APIMALL_API_KEY", apimall_gateway.api_key)
    monkeypatch.setenv("APIMALL_BASE_URL", apimall_gateway.url)
    return apimall_gateway


@snippets_in("python")
def test_a_python_snippet_runs(
    snippet: Snippet, gateway: LocalGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs to its end, and prints what the page says."""
    client = gateway.client()
    namespace = {"__name__": "snippet", "client": client}
    try:
        run(compile_snippet(snippet), namespace)
        for name in [name for name in namespace if name.startswith("test_")]:
            call_test(namespace[name], gateway)
    finally:
        asyncio.run(client.close())
    if snippet.output is not None:
        assert capsys.readouterr().out == snippet.output


def compile_snippet(snippet: Snippet) -> Any:
    """Compile it so that a traceback names the page and the line."""
    source = "\n" * snippet.line + snippet.code
    return compile(source, snippet.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def run(code: Any, namespace: dict[str, Any]) -> None:
    """Execute code; in a loop if it awaits, without one if it may start its own."""

    async def await_it() -> None:
        await eval(code, namespace)

    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(await_it())
    else:
        exec(code, namespace)


def call_test(test: Callable[..., Any], gateway: LocalGateway) -> None:
    """Call a test that a page shows, as pytest would."""
    result = test(*[gateway for _ in inspect.signature(test).parameters])
    if inspect.iscoroutine(result):
        asyncio.run(result)


@snippets_in("sh")
def test_the_commands_of_a_shell_snippet_run(snippet: Snippet, gateway: LocalGateway, tmp_path: Path) -> None:
    """Each ends with 0, in an empty directory."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in snippet.code.splitlines():
        if line.startswith(("apimall history", "apimall export", "apimall download")):
            # The very line: a reader's shell would expand and redirect it, too.
            environment = os.environ | {"PATH": path, "APIMALL_BASE_URL": gateway.url}
            subprocess.run(line, shell=True, check=True, cwd=tmp_path, env=environment, timeout=60)


def python_m(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python -m module``; in a process, because pytest's import hook cannot run a package."""
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)


def test_python_m_is_the_command() -> None:
    """``python -m apimall_async`` is ``apimall``."""
    with python_m("apimall_async", "--version") as process:
        assert process.communicate(timeout=60)[0] == f"apimall {apimall_async.__version__}\n"
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for one process")
def test_python_m_testing_is_a_gateway() -> None:
    """``python -m apimall_async.testing`` prints a URL and a key, and ends quietly when interrupted."""
    with python_m("apimall_async.testing", "--items", "1") as process:
        assert process.stdout
        url, key = process.stdout.readline().strip(), process.stdout.readline().strip()
        client = apimall_async.AsyncClient(key, base_url=url)
        page = asyncio.run(client.list_history())
        process.send_signal(signal.SIGINT)
    assert len(page.items) == 1
    assert process.returncode == 0


def load(program: str) -> dict[str, Any]:
    """Load one of the programs without running its main part."""
    return runpy.run_path(str(EXAMPLES / program), run_name="example")


def run_program(program: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one of the programs as a user does."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    runpy.run_path(str(EXAMPLES / program), run_name="__main__")


def test_every_program_is_tested_and_shown() -> None:
    """A test names it, and a page includes it."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    pages = "".join(page.read_text() for page in PAGES)
    programs = sorted(EXAMPLES.glob("*.py"))
    assert programs
    assert [path.name for path in programs if f'"{path.stem}' not in tests] == []
    assert [path.name for path in programs if f"{{literalinclude}} examples/{path.name}" not in pages] == []


def test_list_a_page(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the ten newest tasks."""
    run_program("list_page.py", monkeypatch=monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [task.task_id for task in gateway.tasks[:10]]


def test_read_all(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It counts every task by its status."""
    run_program("read_all.py", monkeypatch=monkeypatch)
    counts = Counter(task.status for task in gateway.tasks)
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert printed == {status: str(count) for status, count in counts.items()}


async def test_web_service(gateway: LocalGateway) -> None:
    """Its one client serves all requests; what the gateway refuses is a 503 with the reason."""
    app = load("web_service.py")["make_app"]()
    async with TestClient(TestServer(app)) as http:
        for _ in range(2):
            async with http.get("/latest") as response:
                assert response.status == 200
                assert (await response.json())[0]["task_id"] == gateway.tasks[0].task_id
        key = next(iter(gateway.accounts))
        gateway.accounts = {}  # the key is revoked
        async with http.get("/latest") as response:
            assert response.status == 503
            assert "401" in await response.text()
            assert key not in await response.text()


def test_recover_task_ids(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the ids of a stretch of time, and reads little beyond its begin."""
    since, until = gateway.tasks[70].created_at, gateway.tasks[60].created_at
    run_program("recover_task_ids.py", since.isoformat(), until.isoformat(), monkeypatch=monkeypatch)
    assert capsys.readouterr().out.split() == [task.task_id for task in gateway.tasks[61:71]]


def test_bill_by_month(
    gateway: LocalGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It sums what each month cost, refunds taken off."""
    oldest = gateway.tasks[-1]
    long_ago = oldest.created_at - timedelta(days=60)
    gateway.update(attrs.evolve(oldest, created_at=long_ago, credits_used=11, credits_refunded=4))
    run_program("bill_by_month.py", monkeypatch=monkeypatch)
    march = sum(task.credits_used - (task.credits_refunded or 0) for task in gateway.tasks[:-1])
    assert capsys.readouterr().out.split() == ["2026-01", "7", "2026-03", str(march)]


# --- what the pages point at ----------------------------------------------------------------------------

PAPERS = sorted({*PAGES, *ROOT.glob("*.md")})
TEST_ID = re.compile(r"tests/[\w/]+\.py::test_\w+")


def pages(papers: list[Path]) -> Any:
    """Run a test with each of these."""
    return pytest.mark.parametrize(
        "page", [pytest.param(one, id=str(one.relative_to(ROOT))) for one in papers]
    )


@pages(PAPERS)
def test_a_test_that_a_page_names_is_there(page: Path) -> None:
    """A promise that names its test has one."""
    missing = [
        name
        for name in TEST_ID.findall(page.read_text())
        if name.partition("::")[2] not in names_in(ROOT / name.partition("::")[0])
    ]
    assert missing == []


@cache
def names_in(path: Path) -> set[str]:
    """Name the tests of a file; none if it is not there."""
    tree = ast.parse(path.read_text() if path.exists() else "")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pages([ROOT / "docs" / "threat-model.md"])
def test_each_line_names_its_test(page: Path) -> None:
    """The last cell of a row of its tables does."""
    rows = [
        line for line in page.read_text().splitlines() if line.startswith("| ") and "| test |" not in line
    ]
    assert len(rows) > 40
    assert [row for row in rows if not TEST_ID.search(row.rsplit("|", 2)[1])] == []


@pages(PAPERS)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file that is there, and a heading in it; Sphinx knows only those in docs/."""
    wrong: list[str] = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@cache
def anchors(page: Path) -> set[str]:
    """Name the headings as links do."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
