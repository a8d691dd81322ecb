"""The verbs ask the API's own handlers, in this process and without HTTP: same checks, same answers, same JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Message

from receiver import access, admission, backoff, endpoint, errors, shapes, telemetry
from receiver.cli import figures, opening, sentences
from receiver.endpoint import reading
from storage import database, house

A = TypeVar("A", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)
Q = TypeVar("Q", bound=shapes.Query)

Listen = Callable[[str, int], Awaitable[endpoint.Events]]
Handler = Callable[[endpoint.Call[Any, Any]], Awaitable[endpoint.Answer]]


@dataclass(frozen=True, slots=True)
class Operator(access.Caller):
    """Who sits at this terminal. Runs are submitted by `cli`; the ledger calls the one who did it the operator."""

    @property
    def actor(self) -> str:
        """The name in the ledger."""
        return "operator"


OPERATOR = Operator("", "cli", frozenset({access.Scope.ADMIN.value}))


async def ask(
    store: database.Database,
    handler: Handler,
    answer: type[A],
    *,
    named: str | None = None,
    query: shapes.Query | None = None,
    body: BaseModel | None = None,
    headers: Mapping[str, str] | None = None,
) -> A:
    """What the handler answers, a shape. Raises what the API would tell as a problem."""
    return cast(A, (await raw(store, handler, named, query, body, headers)).body)


async def raw(
    store: database.Database,
    handler: Handler,
    named: str | None = None,
    query: shapes.Query | None = None,
    body: BaseModel | None = None,
    headers: Mapping[str, str] | None = None,
    listen: Listen | None = None,
) -> endpoint.Answer:
    """The whole answer. `named` is the id that stands in the path, `listen` opens the upstream's streams.

    Raises Complaint where the id is none.
    """
    ticking = await opening.shared_clock(store)
    call: endpoint.Call[Any, Any] = endpoint.Call(
        context=endpoint.Context(store, backoff.Timing(), ticking, telemetry.Telemetry(), listen=listen),
        request=_request(b"", headers or {}),
        now=ticking(),
        caller=OPERATOR,
        ids={} if named is None else _ids(named),
        query=query,
        body=body,
        parameters=(),
        describe=bytes,
    )
    return await handler(call)


def _ids(named: str) -> dict[str, str]:
    try:
        return reading.ids({"id": named})
    except errors.NotFound:
        raise sentences.Complaint(
            f"{figures.line(named)[:80]!r} has not the form of an id", sentences.USAGE
        ) from None


async def pages(
    store: database.Database, handler: Handler, query: Q, *, named: str | None = None, all_of_them: bool
) -> AsyncIterator[Any]:
    """The page that is asked for, or it and all that follow."""
    while True:
        page: Any = (await raw(store, handler, named, query)).body
        yield page
        if not (all_of_them and page.next_cursor):
            return
        query = query.model_copy(update={"cursor": page.next_cursor})


def parameters(model: type[Q], given: Mapping[str, Any]) -> Q:
    """The parameters of a list as they were typed. Raises BadParameter."""
    found = [(name, value) for name, value in _spelled(given)]
    return cast(Q, reading.query(model, found))


def _spelled(given: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in given.items():
        if name == "tag":
            yield from ((f"tag.{key}", each) for key, each in (value or {}).items())
        elif value:
            yield name, ",".join(value) if isinstance(value, list) else str(value)


async def body(model: type[B], content: Mapping[str, Any]) -> B:
    """A body, checked as one that came in. Raises InvalidBody, BadBody, BodyTooLarge."""
    sent = json.dumps({name: value for name, value in content.items() if value is not None}).encode()
    request = _request(sent, {"content-type": "application/json"})
    with admission.Room().place() as place:
        return await reading.body(request, model, endpoint.Context.body_limit, backoff.Timing().slow_body, place)


def _request(sent: bytes, headers: Mapping[str, str]) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": sent, "more_body": False}

    lines = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": lines}, receive)


async def who_works(store: database.Database) -> tuple[bool, str]:
    """Whether a worker is there that will do what was wished, in a sentence."""
    now, state = (await opening.shared_clock(store))(), await store.read(house.read)
    seen = state.worker_seen_at
    if seen is None:
        return False, "No worker was ever seen on this database: it waits until `runledger serve` is started."
    if now - seen > timedelta(seconds=backoff.Timing().absent):
        ago = figures.age(seen, now)
        return False, f"The worker was last seen {ago}: it waits until `runledger serve` is started."
    if state.pause_streak:
        reason = figures.line(state.pause_reason)
        return True, f"The upstream is in trouble; the worker tries on until it answers: {reason}."
    return True, "The running worker does it."
