"""What an operation is, what its handler is given, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.requests import Request

from receiver import access, addresses, admission, backoff, exporting, following, shapes
from receiver.endpoint import streaming
from storage import database, sql

Q = TypeVar("Q", bound=shapes.Query | None)
B = TypeVar("B", bound=BaseModel | None)


class Metrics(Protocol):
    """Who tells the metrics: the exposition in Prometheus text form, and its content type."""

    async def metrics(self, store: database.Database, now: datetime, /) -> tuple[bytes, str]: ...


async def _nothing(_now: datetime) -> Sequence[str]:
    """Nobody warns."""
    return ()


@dataclass(frozen=True)
class Context:
    """What all handlers work with. `body_limit` is in bytes; `metrics_open` tells metrics to strangers too."""

    database: database.Database
    timing: backoff.Timing
    clock: Callable[[], datetime]
    metrics: Metrics
    metrics_open: bool = False
    body_limit: int = 4 << 20
    version: str = field(default_factory=lambda: metadata.version("runledger"))
    #: What keeps platform events from coming or verifying, as sentences; the other roads work all the same.
    warnings: Callable[[datetime], Awaitable[Sequence[str]]] = _nothing
    #: The events of an upstream run behind an id, as they come; None where nobody here asks the upstream.
    listen: Callable[[str, int], Awaitable[streaming.Events]] | None = None
    #: Carries out statements that only read; None where none are taken.
    ask_sql: Callable[[sql.Statement], Awaitable[sql.Answer]] | None = None
    #: Set when the server is told to stop: who waits is answered at once.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    #: Who follows the feed of changes.
    feed: following.Feed = field(default_factory=following.Feed)
    #: What strangers may cost, shared with the public endpoints.
    admission: admission.Admission = field(default_factory=admission.Admission)
    #: How many exports there may be at once.
    exports: exporting.Places = field(default_factory=exporting.Places)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out: a shape, bytes with their `media_type`, at once or as they are made, a stream of events, or
    nothing."""

    status: int
    body: BaseModel | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    events: streaming.Events | None = None
    pieces: streaming.Pieces | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One checked request. `now` is when it came in; `ids` are the parts of the path.

    `describe` gives the OpenAPI description of all operations; the first time takes a while.
    """

    context: Context
    request: Request
    now: datetime
    caller: access.Caller
    ids: Mapping[str, str]
    query: Q
    body: B
    parameters: Sequence[tuple[str, str]]
    describe: Callable[[], bytes]

    @property
    def database(self) -> database.Database:
        """The door."""
        return self.context.database

    @property
    def timing(self) -> backoff.Timing:
        """The waits of the house."""
        return self.context.timing

    @property
    def headers(self) -> Headers:
        """The headers, without regard to case."""
        return self.request.headers

    def address(self, path: str) -> str:
        """A path of ours as a client asks for it, wherever we are mounted."""
        root: str = self.request.scope.get("root_path", "")
        return root + path

    def link(self, name: str, value: str | int | None) -> dict[str, str]:
        """The Link header (RFC 8288) to the next page, where the parameter `name` has a `value`."""
        if value is None:
            return {}
        kept = [(known, given) for known, given in self.parameters if known != name]
        target = f"{self.address(addresses.below(self.request.scope))}?{urlencode([*kept, (name, str(value))])}"
        return {"link": f'<{target}>; rel="next"'}


Handler = Callable[[Call[Any, Any]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Header:
    """A request header that an operation reads."""

    name: str
    description: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `answers` gives the shape of each status, the media type of bytes, or None for no body; problems that any
    such operation can answer need not be listed, further ones stand in `problems`. Without a `scope` anyone
    may ask; `asks_who` then still looks at a key that is there. An operation without a handler is described
    only. `is_streamed`: whoever accepts a stream of events is given one in place of the shape.
    """

    method: str
    path: str
    summary: str
    handler: Handler | None
    answers: Mapping[int, type[BaseModel] | str | None]
    scope: access.Scope | None = None
    asks_who: bool = False
    query: type[shapes.Query] | None = None
    body: type[BaseModel] | None = None
    headers: Sequence[Header] = ()
    problems: Sequence[int] = ()
    tag: str = "runs"
    name: str = ""
    is_streamed: bool = False

    @property
    def id(self) -> str:
        """A name for programs that are made from the description."""
        return self.name or getattr(self.handler, "__name__", "receive")
