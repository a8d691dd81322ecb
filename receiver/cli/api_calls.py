"""Calls of the API's operations: by their handlers in this process, or over HTTP on the server that is chosen.

Both make the same checks, and give the same answers and errors.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar, cast

import structlog
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import Message

from receiver import errors, settings, signing_keys, timeouts
from receiver.cli import logs, open_database, target
from receiver.cli.errors import USAGE, CommandError
from receiver.cli.render import format as render_format
from receiver.schemas import query_parameters, responses
from receiver.web import authentication, operations, readiness, request_parsing, streaming
from storage.engine import database
from storage.repositories import system_state

A = TypeVar("A", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)
P = TypeVar("P", bound=responses.Page)
Q = TypeVar("Q", bound=query_parameters.Query)

OpenStream = Callable[[str, int], Awaitable[streaming.Events]]
Handler = operations.Handler | operations.ReadHandler


#: The caller of every command. Its runs are submitted by `cli`; the ledger names the operator.
OPERATOR = authentication.Caller("cli", frozenset({authentication.Scope.ADMIN.value}), "operator")


class WorkerStatus(NamedTuple):
    """Whether a worker runs that can carry out a request, with a sentence about it."""

    is_alive: bool
    message: str


async def ask(
    store: target.Target,
    handler: Handler,
    shape: type[A],
    *,
    path_id: str | None = None,
    query: query_parameters.Query | None = None,
    body: BaseModel | None = None,
    headers: Mapping[str, str] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> A:
    """Return the body of a handler's answer. Raise the errors that the API answers as problems.

    `changes` are fields of the context of a handler in this process.
    """
    answered = (await call(store, handler, path_id, query, body, headers, changes=changes)).body
    if not isinstance(answered, bytes):
        return cast(A, answered)
    try:
        return shape.model_validate_json(answered)
    except ValidationError:
        if isinstance(store, database.Database):
            raise
        raise CommandError(f"{store.url} gave an answer of another release, which cannot be read here") from None


async def call(
    store: target.Target,
    handler: Handler,
    path_id: str | None = None,
    query: query_parameters.Query | None = None,
    body: BaseModel | None = None,
    headers: Mapping[str, str] | None = None,
    open_stream: OpenStream | None = None,
    changes: Mapping[str, Any] | None = None,
) -> operations.Answer:
    """Return a handler's whole answer. `open_stream` opens the upstream's streams of events.

    Raises CommandError where `path_id` is not of the form of an id.
    """
    ids = {} if path_id is None else _path_ids(path_id)
    if not isinstance(store, database.Database):
        return await store.call(operations.BY_HANDLER[handler], path_id, query, body, headers or {})
    logs.log_to_stderr()
    shared_clock = await open_database.shared_clock(store)
    # Metrics are those of a server, and slow to import.
    log = cast(operations.Telemetry, SimpleNamespace(log=structlog.get_logger("runledger")))
    request: operations.Call[Any, Any] = operations.Call(
        context=operations.Context(
            store, timeouts.Timing(), shared_clock, log, version="", listen=open_stream, **(changes or {})
        ),
        request=_request(headers or {}),
        now=shared_clock(),
        caller=OPERATOR,
        ids=ids,
        query=query,
        body=body,
        parameters=(),
        describe=bytes,
    )
    if inspect.iscoroutinefunction(handler):
        return await cast(operations.Handler, handler)(request)
    read = cast(operations.ReadHandler, handler)
    return await store.read_by(operations.BY_HANDLER[read].reader, partial(read, request))


def _path_ids(path_id: str) -> dict[str, str]:
    try:
        return request_parsing.ids({"id": path_id})
    except errors.NotFound:
        raise CommandError(f"{render_format.line(path_id)[:80]!r} has not the form of an id", USAGE) from None


def ledger(store: target.Target) -> dict[str, Any]:
    """Return what handlers in this process need to show of the ledger: its keys, which the settings have."""
    if not isinstance(store, database.Database):
        return {}
    return {"ledger": operations.Ledger(signing_keys.policy(settings.load()))}


async def pages(
    store: target.Target,
    handler: Handler,
    shape: type[P],
    query: Q,
    *,
    path_id: str | None = None,
    every_page: bool,
) -> AsyncIterator[P]:
    """Yield the page that the query names, or it and all that follow."""
    while True:
        page = await ask(store, handler, shape, path_id=path_id, query=query)
        yield page
        if not (every_page and page.next_cursor):
            return
        query = query.model_copy(update={"cursor": page.next_cursor})


def parameters(model: type[Q], given: Mapping[str, Any]) -> Q:
    """Return options as the parameters of an API operation. Raise BadParameter."""
    pairs = [(f"tag.{key}", each) for key, each in (given.get("tag") or {}).items()]
    for name, value in given.items():
        if name != "tag" and value:
            pairs.append((name, ",".join(value) if isinstance(value, list) else str(value)))
    return cast(Q, request_parsing.query(model, pairs))


def body(model: type[B], content: Mapping[str, Any]) -> B:
    """Return a request body, checked as one that came over HTTP. Raise InvalidBody, BadBody, BodyTooLarge."""
    sent = json.dumps({name: value for name, value in content.items() if value is not None}).encode()
    if len(sent) > operations.Context.body_limit:
        raise errors.BodyTooLarge(operations.Context.body_limit)
    return request_parsing.checked(sent, model)


def _request(headers: Mapping[str, str]) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    lines = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": lines}, receive)


async def warn_without_worker(store: target.Target) -> None:
    """Print a warning where no worker runs."""
    worker = await worker_status(store)
    if not worker.is_alive:
        print(worker.message, file=sys.stderr)


async def worker_status(store: target.Target) -> WorkerStatus:
    """Return whether a worker runs, for commands whose request a worker carries out."""
    if not isinstance(store, database.Database):
        found = responses.Readiness.model_validate(await store.readiness())
        named = (each.partition(readiness.PAUSED) for each in found.reasons or ())
        reason = next((text for before, mark, text in named if mark and not before), None)
        return _status(found.worker_seconds, reason)
    now, state = (await open_database.shared_clock(store))(), await store.read(system_state.read)
    seen = state.worker_seen_at
    seconds = None if seen is None else (now - seen).total_seconds()
    return _status(seconds, state.pause_reason if state.pause_streak else None)


def _status(seconds: float | None, pause_reason: str | None) -> WorkerStatus:
    """Return the status where a worker was last seen so many seconds ago."""
    if seconds is None:
        return WorkerStatus(
            False, "No worker was ever seen on this database: the request waits until `runledger serve` runs."
        )
    if seconds > timeouts.Timing().worker_gone_after:
        ago = render_format.ago(seconds)
        return WorkerStatus(
            False, f"The worker was last seen {ago}: the request waits until `runledger serve` runs."
        )
    if pause_reason is not None:
        reason = render_format.line(pause_reason)
        return WorkerStatus(True, f"The upstream has a fault; the worker retries until it answers: {reason}.")
    return WorkerStatus(True, "The running worker carries it out.")
