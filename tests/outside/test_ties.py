"""In databases that put tasks of one created_at in an order of their own for each page."""

from collections.abc import Iterator
from typing import Any

import aiohttp
import backends
import pytest
from accounts import LENGTHS, TABLES, Account, wrong


pytestmark = pytest.mark.outside

ACCOUNTS = LENGTHS[:31]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the databases."""
    if missing := backends.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with backends.tables(tmp_path_factory.mktemp("tables"), len(ACCOUNTS)) as url:
        yield url


def accounts(backend: str) -> list[Account]:
    """Return those that a back end has."""
    return [Account(backend, length) for length in ACCOUNTS]


@pytest.mark.parametrize("backend", TABLES)
@pytest.mark.parametrize("options", [{"exact": True}, {"read_ahead": 8}])
async def test_exact_iteration_loses_nothing(
    url: str, session: aiohttp.ClientSession, backend: str, options: dict[str, Any]
) -> None:
    """Each task comes once, and the times never rise."""
    assert not await wrong(url, accounts(backend), session, **options)


@pytest.mark.parametrize("backend", TABLES[1:])
async def test_plain_iteration_may(url: str, session: aiohttp.ClientSession, backend: str) -> None:
    """So these databases do what the tests are about; and it is no error."""
    outcomes = await wrong(url, accounts(backend), session)
    assert {outcome.split()[0] for outcome in outcomes.values()} == {"lost"}


async def test_plain_iteration_in_a_stable_order(url: str, session: aiohttp.ClientSession) -> None:
    """SQLite leaves equals in one order."""
    assert not await wrong(url, accounts("sqlite"), session)
