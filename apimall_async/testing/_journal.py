"""What the gateway was asked, for tests to read."""

from collections.abc import Mapping

import attrs


@attrs.define(kw_only=True)
class RecordedRequest:
    """One request as it arrived, and how it was answered."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in any case: ``request.headers["authorization"]``."""
    received_at: float
    """Seconds on ``time.monotonic``'s clock."""
    page: int | None = None
    """The page asked for; None where the request names none that can be served."""
    limit: int | None = None
    """The limit asked for, before any cap."""
    status: int | None = None
    """What was answered; None until then, and for good if the connection was reset or left silent."""
    tasks: int = 0
    """Tasks in the answer."""
