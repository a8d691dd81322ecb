"""The stored runs: lists, one run, its steps, its timeline, its document."""

from __future__ import annotations

import asyncio
import dataclasses

import msgspec

from receiver import errors
from receiver.schemas import json_rows, management, query_parameters, responses
from receiver.schemas import notification as schemas_notification
from receiver.web import etags, operations, run_ids, timeline
from receiver.web.authentication import Scope
from storage import cursors
from storage import errors as storage_errors
from storage.engine import database
from storage.engine.database import Reader
from storage.ledger import entries
from storage.query import agents, run_lines, run_pages
from storage.repositories import deliveries, documents, ledger_changes, notifications
from storage.tables.declare import ROWS_PER_RUN

#: The columns of a run that a look at its content needs.
KEYS = ("id", "upstream_id", "pruned_at")

Listing = operations.Call[query_parameters.RunQuery, None]
Stepping = operations.Call[query_parameters.StepQuery, None]
Documented = operations.Call[query_parameters.DocumentQuery, None]
Plain = operations.Call[None, None]
#: A delivery, and its object in answers.
_Received = tuple[deliveries.StoredDelivery, msgspec.Raw]

router = operations.Router("runs")
_IF_NONE_MATCH = operations.Header("If-None-Match", "The ETag of what the client has.", etags.PATTERN)


@router.operation("GET", "/v1/runs", "List runs", {200: responses.Runs}, Scope.READ, reader=Reader.TIMED)
def list_runs(call: Listing, store: database.Snapshot) -> operations.Answer:
    """Answer with a page of runs and the cursor of the next one."""
    found = store.read(run_pages.find, call.query.page(call.now), counted=call.query.count)
    width = len(run_lines.LINE)
    lines = [(*row[:width], found.snippets.get(row.seq, ())) for row in found.runs]
    total = None if found.total is None else dataclasses.asdict(found.total)
    page = _RUNS.page("runs", lines, found.cursor, total=total, unindexed=found.unindexed)
    return operations.Answer(200, page, call.link("cursor", found.cursor))


@router.operation(
    "GET",
    "/v1/runs/{id}",
    "Get a run",
    {200: schemas_notification.FullRun, 304: None},
    Scope.READ,
    headers=(_IF_NONE_MATCH,),
)
def get_run(call: Plain, store: database.Snapshot) -> operations.Answer:
    """Answer with one run: all that was requested and all that came back."""
    row = run_ids.require_run(store.read(run_lines.find, call.ids["id"]))
    sent = store.read(notifications.find, row.id)
    with call.building(row.id):
        shown = schemas_notification.notification_object(sent)
        body = bytes(schemas_notification.RUNS.one((*row[:-1], shown)))
    newest = None if row.settled_at is None else store.read(entries.newest_leaf_hash, row.id)
    etag = etags.of_run(newest, row, None if shown is None else bytes(shown))
    if etag is None:
        return operations.Answer(200, body)
    headers = {"etag": etag, "cache-control": "private, no-cache"}
    if etags.is_known(call.headers, etag):
        return operations.Answer(304, None, headers)
    return operations.Answer(200, body, headers)


@router.operation(
    "GET",
    "/v1/runs/{id}/steps",
    "List the steps of a run",
    {200: responses.Steps},
    Scope.READ,
    problems=(409, 410),
    reader=Reader.PLAIN,
)
def list_steps(call: Stepping, store: database.Snapshot) -> operations.Answer:
    """Answer with a page of the steps of a run."""
    run = _unpruned(store.read(run_lines.find, call.ids["id"], KEYS), call.ids["id"])
    after, limit = _position(call.query.cursor), call.query.limit
    found = store.read(documents.step_rows, run.seq, after=after, limit=limit + 1)
    more = len(found) > limit
    cursor = str(cursors.Cursor("position", None, found[limit - 1].position)) if more else None
    page = _STEPS.page("steps", list(map(tuple, found[:limit])), cursor)
    return operations.Answer(200, page, call.link("cursor", cursor))


def _position(cursor: str | None) -> int:
    if cursor is None:
        return -1
    position = cursors.parse(cursor, "position").seq
    if position >= ROWS_PER_RUN:
        raise storage_errors.BadCursor("the cursor is not one of ours")
    return position


@router.operation(
    "GET",
    "/v1/runs/{id}/timeline",
    "List what happened to a run",
    {200: responses.Timeline},
    Scope.READ,
    reader=Reader.PLAIN,
)
def get_timeline(call: Plain, store: database.Snapshot) -> operations.Answer:
    """Answer with all that happened to a run: its ledger entries, its deliveries, its notification."""
    run = run_ids.require_run(store.read(run_lines.find, call.ids["id"], KEYS))
    ledger = store.read(ledger_changes.of_run, run.id)
    stored, _ = store.read(deliveries.page, deliveries.Query(run_id=run.id, limit=timeline.DELIVERIES))
    sent = store.read(notifications.find, run.id)
    received, unread = json_rows.readable(stored, _received, lambda each: each.id)
    with call.building(run.id):
        entries = list(map(_ENTRIES.one, timeline.merge(ledger, dict(received), sent)))
    page = {"hasMore": False, "nextCursor": None, "unreadable": unread, "timeline": entries}
    return operations.Answer(200, json_rows.encode(page))


def _received(stored: deliveries.StoredDelivery) -> tuple[str, _Received]:
    return stored.id, (stored, _DELIVERIES.one(_DELIVERIES.values(stored)))


@router.operation(
    "GET",
    "/v1/runs/{id}/document",
    "Get the upstream's answer, byte for byte",
    {200: "application/json", 304: None},
    Scope.READ,
    problems=(409, 410),
    headers=(_IF_NONE_MATCH,),
)
async def get_document(call: Documented) -> operations.Answer:
    """Answer with the upstream's answer, byte for byte."""
    run = _unpruned(await call.database.quick_read(run_lines.find, call.ids["id"], KEYS), call.ids["id"])
    document = await call.database.read(documents.find, run.id, call.query.version)
    if document is None:
        raise errors.NotFound("this run has no document of this version")
    headers = {
        "etag": f'"{document.body_sha256}"',
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-disposition": f'inline; filename="run-{run.id}-v{document.version}.json"',
    }
    if etags.is_known(call.headers, headers["etag"]):
        return operations.Answer(304, None, headers)
    # Decompressing a large document in the event loop would block it.
    with call.building(run.id):
        body = await asyncio.to_thread(document.read)
    return operations.Answer(200, body, headers)


def _unpruned(run: run_lines.Line | None, named: str) -> run_lines.Line:
    exact = run_ids.require_exact_run(run, named)
    if exact.pruned_at is not None:
        raise errors.RunPruned(exact.id)
    return exact


_RUNS = json_rows.JsonRows(responses.FoundRun)
_STEPS = json_rows.JsonRows(responses.Step, "position")
_DELIVERIES = json_rows.JsonRows(responses.Delivery)
_ENTRIES = json_rows.JsonRows(responses.TimelineEntry, "at")


@router.operation(
    "GET", "/v1/agents", "List the names of agents", {200: management.Agents}, Scope.READ, reader=Reader.PLAIN
)
def list_agents(call: Plain, store: database.Snapshot) -> operations.Answer:
    """Answer with the names of all agents that the upstream's list had; runs hold only their ids."""
    named = sorted(store.read(agents.names).items())
    found = [management.Agent(id=each, name=name) for each, name in named]
    return operations.Answer(200, management.Agents(agents=found))
