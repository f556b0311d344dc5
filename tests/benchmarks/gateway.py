"""A LocalGateway in a process of its own that tells what it was asked.

Options as JSON in argv. Its first line is the URL and key. Each line on stdin asks for the answers
since the last: [when, status] of each. It ends with its stdin, so not later than its parent.
"""

import asyncio
import json
import sys
from typing import Any

from apimall_async.testing import LocalGateway, RateLimit


async def main(*, rate_limit: list[float] | None = None, **options: Any) -> None:
    """Serve until stdin ends."""
    limit = RateLimit(*rate_limit) if rate_limit else None  # type: ignore[arg-type]
    async with LocalGateway(rate_limit=limit, **options) as gateway:
        _say([gateway.url, gateway.api_key])
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while await lines.readline():
            answers, gateway.requests[:] = (
                [[request.received_at, request.status] for request in gateway.requests],
                [],
            )
            _say(answers)


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
