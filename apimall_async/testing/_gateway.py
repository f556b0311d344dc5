"""The stand-in itself: its accounts, its journal, and what one request goes through."""

import asyncio
import contextlib
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Generic, Self, cast

from aiohttp import web

from apimall_async import AsyncClient, ImageTask
from apimall_async._addresses import host_headers, make_origin
from apimall_async._contract import HISTORY_PATH, MAX_PAGE_SIZE
from apimall_async.testing._contract import (
    Refusal,
    RequestIds,
    Response,
    read_query,
)
from apimall_async.testing._faults import Fault
from apimall_async.testing._history import History, R
from apimall_async.testing._images import image_response, task_of
from apimall_async.testing._journal import RecordedRequest, record_request
from apimall_async.testing._limits import RateLimit, admit
from apimall_async.testing._paging import Hidden, Paging, PastEnd, Ties
from apimall_async.testing._samples import sample_history
from apimall_async.testing._server import Server, running_in_thread


DEFAULT_API_KEY = "sk-" + "0123456789abcdef" * 3
"""The key of a gateway that was given none; good for nothing else."""

Rule = Callable[[RecordedRequest], Fault | Awaitable[Fault | None] | None]

_JOURNAL = 100_000  # requests at most that are kept
_NO_FAULT = Fault()


class LocalGateway(Generic[R]):
    """A gateway on loopback that serves a history by the contract, and its images.

    ``async with`` starts and closes it; ``with gateway.in_thread()`` does without an event loop.
    Its methods may be called from any thread.
    """

    def __init__(
        self,
        tasks: int | Iterable[R] = 100,
        *,
        seed: int = 0,
        api_key: str = DEFAULT_API_KEY,
        accounts: Mapping[str, int | Iterable[R]] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        hosts: Collection[str] = (),
        path: str = HISTORY_PATH,
        max_limit: int = MAX_PAGE_SIZE,
        rate_limit: RateLimit | None = None,
        latency: float = 0.0,
        past_end: PastEnd = "empty",
        hidden: Hidden[R] = (),
        ties: Ties = "stable",
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
            path: where the history is; another list of the gateway, with records of its own, has another.
            max_limit: a larger limit is served, and echoed, as this.
            rate_limit: refuses requests with 429; None refuses none.
            latency: seconds before each response.
            past_end: what a page behind the last one is, see PastEnd. Page 1 is as always.
            hidden: ids of tasks that no page shows, or a function that is true of them. See ``hidden``.
            ties: "any" if tasks of one ``created_at`` change places at each request, see Ties.

        Raises:
            ValueError: ``past_end``, ``hidden`` or ``ties`` is none of these.

        """
        self.api_key = api_key
        self.accounts: Mapping[str, History[R]] = {
            key: History(_make(given, seed + number), seed=seed + number)
            for number, (key, given) in enumerate({api_key: tasks, **(accounts or {})}.items())
        }
        """The history of each API key."""
        self.max_limit = max_limit
        self.rate_limit = rate_limit
        self.latency = latency
        self._paging = Paging(past_end, hidden, ties)
        self.requests: list[RecordedRequest] = []
        """The journal: every request in order of arrival, the latest 100 000 at most."""
        self._path = path
        self._server = Server(self._respond, host, port)
        self._hosts = frozenset(hosts)
        self._own_hosts: Collection[str] = ()
        self._script: deque[Fault] = deque()
        self._rules: list[Rule] = []
        self._request_id = RequestIds(seed)

    async def start(self) -> None:
        """Listen. Does nothing if it does already.

        Raises:
            OSError: the port is taken.

        """
        await self._server.start()
        if not self._own_hosts:
            names = {self._server.host, "127.0.0.1", "localhost"}
            self._own_hosts = self._hosts | host_headers(names, self._server.port)
            for history in self.accounts.values():
                history.set_origin(self.url)

    async def close(self) -> None:
        """Stop listening, and cut every response under way. Does nothing if it is closed."""
        await self._server.close()

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
        with running_in_thread(type(self).__name__, self.start, self.close):
            yield self

    @property
    def url(self) -> str:
        """What AsyncClient takes for base_url.

        Raises:
            RuntimeError: the gateway was never started, so has no port yet.

        """
        if not self._server.port:
            message = "the gateway has no port before it is started"
            raise RuntimeError(message)
        return make_origin(self._server.host, self._server.port)

    def client(self, api_key: str | None = None, **options: Any) -> AsyncClient:
        """Make an AsyncClient for this gateway; ``options`` are AsyncClient's own."""
        return AsyncClient(api_key or self.api_key, base_url=self.url, **options)

    @property
    def history(self) -> History[R]:
        """The history of ``api_key``; those of other keys are in ``accounts``."""
        return self.accounts[self.api_key]

    @property
    def tasks(self) -> list[R]:
        """The tasks of ``api_key`` as they are now, newest first: a copy. Those that are hidden, too."""
        return self.history.tasks

    @property
    def hidden(self) -> Hidden[R]:
        """The ids of tasks that no page of any account shows, or a function that is true of such tasks.

        Tasks are hidden after a page is cut, as where a back end drops what was moderated from what it
        read: a page of 50 in the middle has 49, and ``tasks`` still has all. May be set at any time; a set
        counts as it is at each request.
        """
        return self._paging.hidden

    @hidden.setter
    def hidden(self, hidden: Hidden[R]) -> None:
        self._paging.hidden = hidden

    def insert(self, *tasks: R) -> None:
        """See History.insert."""
        self.history.insert(*tasks)

    def insert_new(self: "LocalGateway[ImageTask]", n: int = 1) -> list[ImageTask]:
        """See History.insert_new."""
        return self.history.insert_new(n)

    def delete(self, *task_ids: str) -> None:
        """See History.delete."""
        self.history.delete(*task_ids)

    def update(self, task: R) -> None:
        """See History.update."""
        self.history.update(task)

    def fault(self, *faults: Fault) -> None:
        """Make the next responses to /api/ requests faulty by these, in order, one each.

        ``Fault()`` is a good response.
        """
        self._script.extend(faults)

    def rule(self, rule: Rule) -> Rule:
        """Call ``rule`` with each request, images too, before the response. A decorator, too.

        It may change the history, wait (if it is async), and return a Fault for this response, which
        then goes before the script of ``fault``. Of several rules the first to return one decides.
        """
        self._rules.append(rule)
        return rule

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        record = self._record(request)
        fault = await self._choose_fault(record)
        response = self._make_response(record, fault)
        if delay := self.latency + fault.latency:
            await asyncio.sleep(delay)
        delivered = await fault.deliver(request, response)
        record.status, record.tasks = int(response.status), response.tasks
        return delivered

    def _record(self, request: web.BaseRequest) -> RecordedRequest:
        record = record_request(request, self._path)
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

    def _make_response(self, record: RecordedRequest, fault: Fault) -> Response:
        request_id = self._request_id()
        if fault.replaces_response:
            response = fault.response(request_id)
        else:
            try:
                response = self._respond_by_contract(record, fault, request_id)
            except Refusal as refusal:
                response = refusal.response(request_id)
        fault.add_headers(response.headers)
        return response

    def _respond_by_contract(self, record: RecordedRequest, fault: Fault, request_id: str) -> Response:
        if record.headers.get("Host") not in self._own_hosts:
            raise Refusal(HTTPStatus.FORBIDDEN, "Request made on a non-gateway host")
        task_id = task_of(record.path)
        if record.path != self._path and not self._has_image(task_id):
            raise Refusal(HTTPStatus.NOT_FOUND)
        if record.method != "GET":
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})
        if task_id:
            return image_response(task_id, record.headers.get("Range"))
        history = self._authorize(record.headers.get("Authorization", ""))
        admit(self.rate_limit)
        page, limit = read_query(record.query)
        limit = min(limit, self.max_limit, fault.max_limit or limit)
        served = fault.page or page
        echo = page if fault.echo_requested else served
        return self._paging.respond(history, served, limit, request_id, echo=echo)

    def _has_image(self, task_id: str | None) -> bool:
        return any(task_id in history for history in self.accounts.values())

    def _authorize(self, authorization: str) -> History[R]:
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or key not in self.accounts:
            raise Refusal(HTTPStatus.UNAUTHORIZED)
        return self.accounts[key]


def _make(tasks: int | Iterable[R], seed: int) -> Iterable[R]:
    return cast("Iterable[R]", sample_history(tasks, seed=seed)) if isinstance(tasks, int) else tasks
