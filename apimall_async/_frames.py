"""The frames of a traceback: whose code raised an error, and which frames nobody may see.

The variables of aiohttp's frames hold the request's headers, and with them the API key. Tools that report
errors show them: Sentry, ``rich`` with locals, ``pytest -l``. So these frames never leave the client.
"""

import sys
from collections.abc import Iterator
from types import TracebackType

import aiohttp


_LIBRARIES = {"aiohttp", "aiosignal", "apimall_async", "multidict", "yarl"}
_SESSION = (aiohttp.ClientError, OSError)
# By the module that calls code of the caller's: what that may raise of the network.
_OF_THE_NETWORK: dict[str, tuple[type[BaseException], ...]] = {
    "aiosignal": (),  # tracers
    "aiohttp.client_middlewares": (aiohttp.ClientError, TimeoutError),
    "aiohttp.client": _SESSION,  # methods of the session's own class, or what a test puts in their place
    "apimall_async._transport": _SESSION,
}


def find_callers_error(error: BaseException) -> BaseException | None:
    """Return the error that code of the caller's raised: a middleware, a tracer, or the session's own class.

    None if aiohttp did, or what it calls. Also where code of the caller's raises one of aiohttp's errors, or
    a timeout, it tells of the network; but not in a tracer, which has nothing to do with it.
    """
    # aiohttp raises a ClientOSError from any OSError.
    if isinstance(error, aiohttp.ClientOSError) and isinstance(error.__cause__, OSError):
        return find_callers_error(error.__cause__)
    caller, frames = _last_frames(error)
    modules = {_module(frame).partition(".")[0] for frame in _each(frames)}
    if modules <= sys.stdlib_module_names or isinstance(error, _OF_THE_NETWORK.get(caller, (BaseException,))):
        return None
    return error


def cut_frames(error: BaseException, until: BaseException | None) -> None:
    """Leave of an error's traceback the frames of the caller's code that raised it, or none.

    Likewise of the errors that it is linked to, up to the one that the caller was handling.
    """
    seen: set[int] = {id(until), id(None)}
    linked: list[BaseException | None] = [error]
    while linked:
        one = linked.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        linked += one.__cause__, one.__context__
        caller, frames = _last_frames(one)
        one.__traceback__ = frames if not caller or find_callers_error(one) is one else None


def _last_frames(error: BaseException) -> tuple[str, TracebackType | None]:
    """Return the frames below the last one of aiohttp or of this package, and the module of that one."""
    caller, frames = "", error.__traceback__
    for frame in _each(error.__traceback__):
        name = _module(frame)
        if name.partition(".")[0] in _LIBRARIES:
            caller, frames = name, frame.tb_next
    return caller, frames


def _each(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback:
        yield traceback
        traceback = traceback.tb_next


def _module(traceback: TracebackType) -> str:
    return str(traceback.tb_frame.f_globals.get("__name__", ""))
