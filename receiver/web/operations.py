"""Operations: their description, the calls that a handler receives, and its answers."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from types import NoneType
from typing import Any, Generic, Protocol, TypeVar, get_args, get_type_hints
from urllib.parse import urlencode

import structlog
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import Request

from receiver import client_address, errors, timeouts
from receiver.crypto import log_policy
from receiver.export import flow
from receiver.schemas import json_rows, query_parameters
from receiver.streams import subscribers
from receiver.web import authentication, request_limits, streaming
from storage.engine import database
from storage.repositories import deliveries
from storage.user_sql import statements

Q = TypeVar("Q", bound=query_parameters.Query | None)
B = TypeVar("B", bound=BaseModel | None)
T = TypeVar("T")
#: The least seconds between two queries of what a request waits for.
LOOK = 0.1


async def _nothing(_now: datetime) -> Sequence[str]:
    """Return no warnings."""
    return ()


class Telemetry(Protocol):
    """What handlers use of a process's telemetry: its log and, where it serves, its metrics."""

    log: structlog.typing.FilteringBoundLogger

    async def metrics(self, store: database.Database, now: datetime) -> tuple[bytes, str]: ...


async def _cannot_process(_delivery_id: str, _actor: str, _now: datetime) -> deliveries.StoredDelivery:
    """Raise NotProcessable: this program knows no secrets."""
    raise errors.NotProcessable("this program has no webhook secrets by which it could be verified")


@dataclass(frozen=True)
class Ledger:
    """What handlers show of the ledger: by whom it is signed, and whether reading it needs no API key."""

    policy: log_policy.Policy = field(default_factory=lambda: log_policy.Policy(()))
    is_open: bool = False

    @property
    def keys(self) -> list[str]:
        """Return the public keys, newest first."""
        return [each.text for each in self.policy.keys]


@dataclass(frozen=True)
class Context:
    """The context of all handlers. `body_limit` is in bytes; with `metrics_open`, metrics need no API key."""

    database: database.Database
    timing: timeouts.Timing
    clock: Callable[[], datetime]
    telemetry: Telemetry
    metrics_open: bool = False
    body_limit: int = 4 << 20
    version: str = field(default_factory=lambda: metadata.version("runledger"))
    #: Sentences about faults by which platform events do not arrive or verify; the other sources still work.
    warnings: Callable[[datetime], Awaitable[Sequence[str]]] = _nothing
    #: Processes a stored delivery again, by its id, for an actor of the ledger, at an instant.
    process: Callable[[str, str, datetime], Awaitable[deliveries.StoredDelivery]] = _cannot_process
    #: Streams the events of an upstream run after an event id; None where this process does not ask the upstream.
    listen: Callable[[str, int], Awaitable[streaming.Events]] | None = None
    #: Executes a statement that only reads; None where SQL is turned off.
    run_sql: Callable[[statements.Statement], Awaitable[statements.Answer]] | None = None
    ledger: Ledger = field(default_factory=Ledger)
    #: Set when the server stops: requests that wait are then answered at once.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    #: The subscribers of the change feed.
    feed: subscribers.Feed = field(default_factory=subscribers.Feed)
    #: The limits on unauthenticated requests, shared with the public endpoints.
    limits: request_limits.Limits = field(default_factory=request_limits.Limits)
    #: The number of exports that may run at once.
    export_slots: flow.ExportSlots = field(default_factory=flow.ExportSlots)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a handler: its body is at most one of the following.

    `body` is a model, or bytes of `media_type`. `pieces` are the bytes of a file, sent as they are made. `events`
    is a stream of events.
    """

    status: int
    body: BaseModel | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    events: streaming.Events | None = None
    pieces: streaming.Pieces | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One checked request. `now` is when it arrived; `ids` are the parameters of the path.

    `describe` returns the OpenAPI description of all operations; its first call takes a while.
    """

    context: Context
    request: Request
    now: datetime
    caller: authentication.Caller
    ids: Mapping[str, str]
    query: Q
    body: B
    parameters: Sequence[tuple[str, str]]
    describe: Callable[[], bytes]

    @property
    def database(self) -> database.Database:
        return self.context.database

    @property
    def timing(self) -> timeouts.Timing:
        return self.context.timing

    @property
    def headers(self) -> Headers:
        """Return the request headers; names are case-insensitive."""
        return self.request.headers

    def header(self, name: str, pattern: str, rule: str) -> str | None:
        """Return the only value of a header; None where it is missing. Raises BadHeader, which states the rule."""
        given = self.headers.getlist(name)
        if not given:
            return None
        if len(given) > 1 or re.fullmatch(pattern, given[0]) is None:
            raise errors.BadHeader(name, rule)
        return given[0]

    def building(self, row: str) -> AbstractContextManager[None]:
        """Name and log the stored row where no answer can be built from it in the block. Raises UnreadableRow."""
        return json_rows.named(row, self.context.telemetry.log)

    async def until(self, read: Callable[[], Awaitable[T]], is_met: Callable[[T], bool], seconds: float) -> T:
        """Read after each commit until the condition is met, and return what was read last.

        Ends early after `seconds`, when the client disconnects, or when the server stops.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            # Requested before the query, so that no commit falls between the two.
            commit = self.database.next_commit()
            found = await read()
            left = deadline - loop.time()
            is_over = left <= 0 or self.context.stopping.is_set()
            if is_met(found) or is_over or await self.request.is_disconnected():
                return found
            # Commits of other processes are not announced here, so the state is polled as well.
            await asyncio.wait([commit], timeout=min(left, self.timing.poll))
            await asyncio.sleep(min(left, LOOK))

    def mounted_path(self, path: str) -> str:
        """Return a path of this API below the path where the application is mounted."""
        root: str = self.request.scope.get("root_path", "")
        return root + path

    def link(self, name: str, value: str | int | None) -> dict[str, str]:
        """Return the Link header (RFC 8288) to the next page, or no header when `value` is None.

        The link is this request's URL with the parameter `name` set to `value`.
        """
        if value is None:
            return {}
        others = [(each, given) for each, given in self.parameters if each != name]
        path = self.mounted_path(client_address.path_below_mount(self.request.scope))
        target = f"{path}?{urlencode([*others, (name, str(value))])}"
        return {"link": f'<{target}>; rel="next"'}


Handler = Callable[[Call[Any, Any]], Awaitable[Answer]]
#: A handler that only reads. It runs in a thread of the database, in one transaction with the look at the API key.
ReadHandler = Callable[[Call[Any, Any], database.Snapshot], Answer]
H = TypeVar("H", bound=Handler | ReadHandler)
#: What an operation answers for each status: a model, the media type of bytes, or None for no body.
Answers = Mapping[int, type[BaseModel] | str | None]


@dataclass(frozen=True, slots=True)
class Header:
    """A request header that an operation reads."""

    name: str
    description: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `problems` lists the problem statuses that are particular to this operation. Without a `scope` no API key is
    needed; with `identifies_caller` a key that is given is still checked. An operation without a handler is only
    described. With `is_streamed` a client that accepts a stream of events gets one in place of the model. The
    parameter `rest` takes all that is left of the path, slashes too. Whether it `only_reads` follows from its
    handler.
    """

    method: str
    path: str
    summary: str
    handler: Handler | ReadHandler | None
    answers: Answers
    scope: authentication.Scope | None = None
    identifies_caller: bool = False
    query: type[query_parameters.Query] | None = None
    body: type[BaseModel] | None = None
    headers: Sequence[Header] = ()
    problems: Sequence[int] = ()
    tag: str = "runs"
    name: str = ""
    is_streamed: bool = False
    reader: database.Reader = database.Reader.QUICK
    rest: str = ""
    only_reads: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "only_reads", not inspect.iscoroutinefunction(self.handler))

    @property
    def id(self) -> str:
        """Return the `operationId`, by which generated clients name the operation."""
        return self.name or getattr(self.handler, "__name__", "receive")


#: The operations by their handlers, for callers without a request.
BY_HANDLER: dict[Handler | ReadHandler, Operation] = {}


class Router:
    """The operations of one resource, each declared above its handler."""

    def __init__(self, tag: str) -> None:
        self.operations: list[Operation] = []
        self._tag = tag

    def operation(
        self,
        method: str,
        path: str,
        summary: str,
        answers: Answers,
        scope: authentication.Scope | None = None,
        *,
        identifies_caller: bool = False,
        headers: Sequence[Header] = (),
        problems: Sequence[int] = (),
        name: str = "",
        is_streamed: bool = False,
        reader: database.Reader = database.Reader.QUICK,
        rest: str = "",
    ) -> Callable[[H], H]:
        """Return a decorator that adds an operation; its query and its body are those of the handler's `Call`.

        `reader` runs a handler that only reads; a query that `is_quick` has the quick one.
        """

        def add(handler: H) -> H:
            taken = get_args(get_type_hints(handler)["call"])
            query, body = (None if each is NoneType else each for each in taken)
            given = (method, path, summary, handler, answers, scope, identifies_caller, query, body)
            made = Operation(*given, headers, problems, self._tag, name, is_streamed, reader, rest)
            self.operations.append(made)
            BY_HANDLER[handler] = made
            return handler

        return add
