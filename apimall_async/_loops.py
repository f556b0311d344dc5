"""What belongs to one event loop: several threads, each with a loop of its own, may share a client."""

import asyncio
from typing import Generic, TypeVar


T = TypeVar("T")


class PerLoop(Generic[T]):
    """One of something for each event loop."""

    def __init__(self) -> None:
        self._found: dict[asyncio.AbstractEventLoop, T] = {}

    def find(self) -> T | None:
        """Return that of the running loop, if there is one."""
        return self._found.get(asyncio.get_running_loop())

    def put(self, one: T) -> T:
        """Keep ``one`` for the running loop, and return it; forget those of loops that are closed by now."""
        for loop in list(self._found):
            if loop.is_closed():
                self._found.pop(loop, None)
        self._found[asyncio.get_running_loop()] = one
        return one

    def items(self) -> list[tuple[asyncio.AbstractEventLoop, T]]:
        """Return all, each with its loop."""
        return list(self._found.items())

    def pop_all(self) -> dict[asyncio.AbstractEventLoop, T]:
        """Forget all, and return them."""
        found, self._found = self._found, {}
        return found
