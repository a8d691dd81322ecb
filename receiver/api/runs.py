"""The stored runs: lists, one run, its steps, its timeline, its document."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from receiver import errors
from receiver.api import run_ids
from receiver.schemas import changes, query_parameters, responses, unreadable_rows
from receiver.schemas import notification as schemas_notification
from receiver.web import authentication, operations
from storage import cursors, results
from storage import errors as storage_errors
from storage.query import run_pages
from storage.repositories import deliveries, documents, ledger_changes, notifications, runs
from storage.search import index
from storage.tables.declare import ROWS_PER_RUN

#: The most deliveries that the timeline of a run shows.
DELIVERIES = 1000

Listing = operations.Call[query_parameters.RunQuery, None]
Stepping = operations.Call[query_parameters.StepQuery, None]
Documented = operations.Call[query_parameters.DocumentQuery, None]
Plain = operations.Call[None, None]

router = operations.Router("runs")
_IF_NONE_MATCH = operations.Header(
    "If-None-Match", "The ETag of a document that the client has.", r'^(\*|"[0-9a-f]{64}")$'
)


@router.operation("GET", "/v1/runs", "List runs", {200: responses.Runs}, authentication.Scope.READ)
async def list_runs(call: Listing) -> operations.Answer:
    """Answer with a page of runs and the cursor of the next one."""
    found = await call.database.timed_read(run_pages.find, call.query.page(call.now), counted=call.query.count)
    lines, unread = unreadable_rows.readable(found.runs, lambda run: _line(run, found.snippets))
    page = responses.Runs(
        runs=lines,
        unreadable=unread,
        has_more=found.cursor is not None,
        next_cursor=found.cursor,
        total=None if found.total is None else responses.Total.model_validate(found.total),
        unindexed=found.unindexed,
    )
    return operations.Answer(200, page, call.link("cursor", found.cursor))


def _line(run: runs.Run, snippets: Mapping[int, Sequence[index.Snippet]]) -> responses.FoundRun:
    line = responses.FoundRun.model_validate(run)
    shown = [responses.Snippet.model_validate(each) for each in snippets.get(run.seq, ())]
    return line.model_copy(update={"snippets": shown}) if shown else line


@router.operation(
    "GET", "/v1/runs/{id}", "One run", {200: schemas_notification.FullRun}, authentication.Scope.READ
)
async def get_run(call: Plain) -> operations.Answer:
    """Answer with one run: all that was requested and all that came back."""
    run = await _find(call)
    sent = await call.database.read(notifications.find, run.id)
    with call.building(run.id):
        return operations.Answer(200, schemas_notification.FullRun.of(run, sent))


@router.operation(
    "GET",
    "/v1/runs/{id}/steps",
    "The steps of a run",
    {200: responses.Steps},
    authentication.Scope.READ,
    problems=(409, 410),
)
async def list_steps(call: Stepping) -> operations.Answer:
    """Answer with a page of the steps of a run."""
    run = await _unpruned(call)
    after, limit = _position(call.query.cursor), call.query.limit
    found = await call.database.read(documents.read, run.seq, results.Step, after=after, limit=limit + 1)
    more = len(found) > limit
    cursor = str(cursors.Cursor("position", None, found[limit - 1].position)) if more else None
    steps, unread = unreadable_rows.readable(
        found[:limit], responses.Step.model_validate, lambda step: step.position
    )
    page = responses.Steps(steps=steps, has_more=more, next_cursor=cursor, unreadable=unread)
    return operations.Answer(200, page, call.link("cursor", cursor))


def _position(cursor: str | None) -> int:
    if cursor is None:
        return -1
    position = cursors.parse(cursor, "position").seq
    if position >= ROWS_PER_RUN:
        raise storage_errors.BadCursor("the cursor is not one of ours")
    return position


@router.operation(
    "GET", "/v1/runs/{id}/timeline", "What happened to a run", {200: responses.Timeline}, authentication.Scope.READ
)
async def get_timeline(call: Plain) -> operations.Answer:
    """Answer with all that happened to a run: its ledger entries, its deliveries, its notification."""
    run = await _find(call)
    ledger = await call.database.read(ledger_changes.of_run, run.id)
    stored, _ = await call.database.read(deliveries.page, deliveries.Query(run_id=run.id, limit=DELIVERIES))
    sent = await call.database.read(notifications.find, run.id)
    received, unread = unreadable_rows.readable(stored, responses.Delivery.model_validate)
    with call.building(run.id):
        entries = _merged(ledger, received, sent)
    page = responses.Timeline(timeline=entries, has_more=False, next_cursor=None, unreadable=unread)
    return operations.Answer(200, page)


def _merged(
    ledger: Sequence[ledger_changes.Change],
    received: Sequence[responses.Delivery],
    sent: notifications.Notification | None,
) -> list[responses.TimelineEntry]:
    """Return all entries, oldest first.

    The ledger entry of a delivery that came before its run was known does not name the run, so the delivery has a
    timeline entry of its own.
    """
    unmatched = {each.id: each for each in received}
    entries = [_ledger_entry(each, unmatched) for each in ledger]
    entries += [_delivery_entry(each) for each in unmatched.values()]
    entries += [] if sent is None else [_notification_entry(sent)]
    return sorted(entries, key=lambda entry: entry.at)


def _ledger_entry(
    change: ledger_changes.Change, unmatched: dict[str, responses.Delivery]
) -> responses.TimelineEntry:
    facts = changes.Change.of(change).facts
    return responses.TimelineEntry(
        at=change.at,
        kind=change.kind,
        actor=change.actor,
        facts=facts,
        number=change.number,
        delivery=unmatched.pop(facts.get("deliveryId", ""), None),
    )


def _delivery_entry(delivery: responses.Delivery) -> responses.TimelineEntry:
    return responses.TimelineEntry(
        at=delivery.received_at,
        kind=f"delivery.{delivery.verdict}",
        actor="upstream",
        facts={"deliveryId": delivery.id, "source": delivery.source.value},
        number=None,
        delivery=delivery,
    )


def _notification_entry(sent: notifications.Notification) -> responses.TimelineEntry:
    """Return the state of the notification, which the ledger does not record."""
    notification = schemas_notification.Notification.of(sent)
    facts = {
        "webhookId": notification.webhook_id,
        "attempts": notification.attempts,
        "status": notification.last_status,
    }
    return responses.TimelineEntry(
        at=sent.delivered_at or sent.stopped_at or sent.last_attempt_at or sent.created_at,
        kind=f"notification.{notification.state}",
        actor="worker",
        facts={name: value for name, value in facts.items() if value is not None},
        number=None,
        delivery=None,
    )


@router.operation(
    "GET",
    "/v1/runs/{id}/document",
    "The upstream's answer byte for byte",
    {200: "application/json", 304: None},
    authentication.Scope.READ,
    problems=(409, 410),
    headers=(_IF_NONE_MATCH,),
)
async def get_document(call: Documented) -> operations.Answer:
    """Answer with the upstream's answer, byte for byte."""
    run = await _unpruned(call)
    document = await call.database.read(documents.find, run.id, call.query.version)
    if document is None:
        raise errors.NotFound("this run has no document of this version")
    headers = {
        "etag": f'"{document.body_sha256}"',
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-disposition": f'inline; filename="run-{run.id}-v{document.version}.json"',
    }
    if _matches(call.headers.getlist("if-none-match"), document.body_sha256):
        return operations.Answer(304, None, headers)
    # Decompressing a large document in the event loop would block it.
    with call.building(run.id):
        body = await asyncio.to_thread(document.read)
    return operations.Answer(200, body, headers)


def _matches(conditions: Sequence[str], digest: str) -> bool:
    """Evaluate If-None-Match by weak comparison (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(conditions).split(",")]
    return "*" in tags or f'"{digest}"' in tags


async def _find(call: Plain | Stepping | Documented) -> runs.Run:
    """Return the run; for the upstream id of an orphan, the run that it belongs to."""
    return run_ids.require_run(await call.database.read(runs.find, call.ids["id"]))


async def _unpruned(call: Stepping | Documented) -> runs.Run:
    run = run_ids.require_exact_run(await _find(call), call.ids["id"])
    if run.pruned_at is not None:
        raise errors.RunPruned(run.id)
    return run
