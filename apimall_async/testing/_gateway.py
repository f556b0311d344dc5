"""The stand-in itself: its life, its accounts, its journal, and one request's way through it."""

import asyncio
import contextlib
import inspect
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from apimall_async import AsyncClient, ImageTask
from apimall_async.testing._contract import (
    HISTORY_PATH,
    Answer,
    Refusal,
    RequestIds,
    json_headers,
    page_body,
    read_query,
)
from apimall_async.testing._faults import Fault
from apimall_async.testing._history import History
from apimall_async.testing._images import image_answer, task_of
from apimall_async.testing._journal import RecordedRequest
from apimall_async.testing._limits import RateLimit
from apimall_async.testing._samples import sample_history


DEFAULT_API_KEY = "sk-" + "0123456789abcdef" * 3
"""The key of a gateway that was given none; good for nothing else."""

Rule = Callable[[RecordedRequest], Fault | Awaitable[Fault | None] | None]

_JOURNAL = 100_000  # requests at most that are kept
_BACKLOG = 1024  # connections the system may hold before they are accepted
_NO_FAULT = Fault()


class LocalGateway:
    """A gateway on loopback that serves a history by the contract, and its images.

    ``async with`` starts and closes it; ``with gateway.in_thread()`` does without an event loop.
    Its methods may be called from any thread.
    """

    def __init__(
        self,
        tasks: int | Iterable[ImageTask] = 100,
        *,
        seed: int = 0,
        api_key: str = DEFAULT_API_KEY,
        accounts: Mapping[str, int | Iterable[ImageTask]] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        hosts: Collection[str] = (),
        max_limit: int = 50,
        rate_limit: RateLimit | None = None,
        latency: float = 0.0,
    ) -> None:
        """Make a gateway, not yet started.

        Args:
            tasks: the history, newest first; or how many to make by ``sample_history``.
            seed: of what is made; the same seed, the same history.
            api_key: the key that opens the history.
            accounts: more keys, each with a history of its own.
            host: the address to listen on.
            port: 0 takes a free one, which the gateway keeps if it is started again.
            hosts: further Host headers ("name:port") to accept, as of a proxy in front.
            max_limit: a larger limit is served, and echoed, as this.
            rate_limit: refuses requests with 429; None refuses none.
            latency: seconds before each answer.

        """
        self.api_key = api_key
        self.accounts: Mapping[str, History] = {
            key: History(_make(given, seed + number), seed=seed + number)
            for number, (key, given) in enumerate({api_key: tasks, **(accounts or {})}.items())
        }
        """The history of each API key."""
        self.max_limit = max_limit
        self.rate_limit = rate_limit
        self.latency = latency
        self.requests: list[RecordedRequest] = []
        """The journal: every request in order of arrival, the latest 100 000 at most."""
        self._host = host
        self._port = port
        self._proxies = hosts
        self._own_hosts: Collection[str] = ()
        self._script: deque[Fault] = deque()
        self._rules: list[Rule] = []
        self._request_id = RequestIds(seed)
        self._listener: asyncio.Server | None = None
        self._handler: web.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Does nothing if it does already.

        Raises:
            OSError: the port is taken.

        """
        if self._listener:
            return
        handler = web.Server(self._handle, handler_cancellation=True, access_log=None)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(handler, self._host, self._port, backlog=_BACKLOG)
        self._handler = handler
        self._settle(self._listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, and cut what is being answered. Does nothing if it is closed."""
        listener, self._listener = self._listener, None
        if not (listener and self._handler):
            return
        await _stop_accepting(listener)
        if busy := tuple(self._busy):
            for task in busy:
                task.cancel()
            await asyncio.wait(busy)
        await self._handler.shutdown(0.1)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @contextlib.contextmanager
    def in_thread(self) -> Generator[Self, None, None]:
        """Run it beside the caller, in a thread and an event loop of its own.

        For programs without an event loop, and for those that block theirs.
        """
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="LocalGateway", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @property
    def url(self) -> str:
        """What AsyncClient takes for base_url.

        Raises:
            RuntimeError: the gateway was never started, so has no port yet.

        """
        if not self._port:
            message = "the gateway has no port before it is started"
            raise RuntimeError(message)
        return f"http://{self._host}:{self._port}"

    def client(self, api_key: str | None = None, **options: Any) -> AsyncClient:
        """Make an AsyncClient for this gateway; ``options`` are AsyncClient's own."""
        return AsyncClient(api_key or self.api_key, base_url=self.url, **options)

    # --- the history of api_key ----------------------------------------------------------------

    @property
    def history(self) -> History:
        """The history of ``api_key``; those of other keys are in ``accounts``."""
        return self.accounts[self.api_key]

    @property
    def tasks(self) -> list[ImageTask]:
        """The tasks of ``api_key`` as they are now, newest first: a copy."""
        return self.history.tasks

    def insert(self, *tasks: ImageTask) -> None:
        """See History.insert."""
        self.history.insert(*tasks)

    def insert_new(self, n: int = 1) -> list[ImageTask]:
        """See History.insert_new."""
        return self.history.insert_new(n)

    def delete(self, *task_ids: str) -> None:
        """See History.delete."""
        self.history.delete(*task_ids)

    def update(self, task: ImageTask) -> None:
        """See History.update."""
        self.history.update(task)

    # --- what goes wrong -----------------------------------------------------------------------

    def fault(self, *faults: Fault) -> None:
        """Spoil the next answers to /api/ requests with these, in order, one each.

        ``Fault()`` lets one pass.
        """
        self._script.extend(faults)

    def rule(self, rule: Rule) -> Rule:
        """Call ``rule`` with each request, images too, before it is answered. A decorator, too.

        It may change the history, wait (if it is async), and return a Fault for this answer, which
        then goes before the script of ``fault``. Of several rules the first to return one decides.
        """
        self._rules.append(rule)
        return rule

    # --- one request ---------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._busy.add(request.task)
        try:
            return await self._respond(request)
        finally:
            self._busy.discard(request.task)

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        record = self._record(request)
        fault = await self._choose_fault(record)
        answer = self._answer(record, fault)
        if delay := self.latency + fault.latency:
            await asyncio.sleep(delay)
        response = await fault.deliver(request, answer)
        record.status, record.tasks = int(answer.status), answer.tasks
        return response

    def _record(self, request: web.BaseRequest) -> RecordedRequest:
        record = RecordedRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            received_at=time.monotonic(),
        )
        if record.path == HISTORY_PATH:
            with contextlib.suppress(Refusal):
                record.page, record.limit = read_query(record.query)
        if len(self.requests) >= _JOURNAL:
            del self.requests[: _JOURNAL // 2]
        self.requests.append(record)
        return record

    async def _choose_fault(self, record: RecordedRequest) -> Fault:
        for rule in self._rules:
            fault = rule(record)
            if inspect.isawaitable(fault):
                fault = await fault
            if fault:
                return fault
        if self._script and record.path.startswith("/api/"):
            return self._script.popleft()
        return _NO_FAULT

    def _answer(self, record: RecordedRequest, fault: Fault) -> Answer:
        request_id = self._request_id()
        if fault.replaces_answer:
            answer = fault.answer(request_id)
        else:
            try:
                answer = self._answer_by_contract(record, fault, request_id)
            except Refusal as refusal:
                answer = refusal.answer(request_id)
        fault.add_headers(answer.headers)
        return answer

    def _answer_by_contract(self, record: RecordedRequest, fault: Fault, request_id: str) -> Answer:
        if record.headers.get("Host") not in self._own_hosts:
            raise Refusal(HTTPStatus.FORBIDDEN, "Request made on a non-gateway host")
        task_id = task_of(record.path)
        if record.path != HISTORY_PATH and not self._has_image(task_id):
            raise Refusal(HTTPStatus.NOT_FOUND)
        if record.method != "GET":
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})
        if task_id:
            return image_answer(task_id, record.headers.get("Range"))
        history = self._authorize(record.headers.get("Authorization", ""))
        self._admit()
        page, limit = read_query(record.query)
        limit = min(limit, self.max_limit, fault.max_limit or limit)
        served = fault.page or page
        tasks = history.read(served, limit)
        body = page_body(tasks, page if fault.echo_asked else served, limit, request_id)
        return Answer(HTTPStatus.OK, body, json_headers(), len(tasks))

    def _has_image(self, task_id: str | None) -> bool:
        return any(task_id in history for history in self.accounts.values())

    def _authorize(self, authorization: str) -> History:
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or key not in self.accounts:
            raise Refusal(HTTPStatus.UNAUTHORIZED)
        return self.accounts[key]

    def _admit(self) -> None:
        limit = self.rate_limit
        if limit is None or limit.admit():
            return
        wait = limit.retry_after
        headers = None if wait is None else {"Retry-After": f"{wait:g}"}
        raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, headers=headers)

    def _settle(self, port: int) -> None:
        """Take a port for one's own, once listening: the port stays over a restart."""
        if self._own_hosts:
            return
        self._port = port
        names = {self._host, "127.0.0.1", "localhost"}
        self._own_hosts = {f"{name}:{port}" for name in names} | set(self._proxies)
        for history in self.accounts.values():
            history.set_origin(self.url)


async def _stop_accepting(listener: asyncio.Server) -> None:
    """Close the listening socket, but not under a connection that is just being accepted.

    asyncio gives such a connection to the closed listener, fails, and leaves its socket behind.
    """
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # Windows accepts in another way
        for listening in listener.sockets:
            loop.remove_reader(listening)
    for _ in range(3):
        await asyncio.sleep(0)
    listener.close()


def _make(tasks: int | Iterable[ImageTask], seed: int) -> Iterable[ImageTask]:
    return sample_history(tasks, seed=seed) if isinstance(tasks, int) else tasks
