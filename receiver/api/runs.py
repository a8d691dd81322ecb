"""What we know of runs: lists, one run, its steps, its timeline, its document."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from receiver import access, endpoint, errors, shapes
from receiver.api import naming
from storage import changes, cursors, deliveries, documents, lists, notifications, runs, search
from storage import errors as storage_errors

#: Deliveries of one run that its timeline shows.
DELIVERIES = 1000

Listing = endpoint.Call[shapes.RunQuery, None]
Stepping = endpoint.Call[shapes.StepQuery, None]
Documented = endpoint.Call[shapes.DocumentQuery, None]
Plain = endpoint.Call[None, None]


async def list_runs(call: Listing) -> endpoint.Answer:
    """A page of runs, and the way to the next one."""
    found = await call.database.ask(lists.find, call.query.page(call.now), counted=call.query.count)
    lines, unread = shapes.readable(found.runs, lambda run: _line(run, found.snippets))
    page = shapes.Runs(
        runs=lines,
        unreadable=unread,
        has_more=found.cursor is not None,
        next_cursor=found.cursor,
        total=None if found.total is None else shapes.Total.model_validate(found.total),
        unindexed=found.unindexed,
    )
    return endpoint.Answer(200, page, call.link("cursor", found.cursor))


def _line(run: runs.Run, snippets: Mapping[int, Sequence[search.Snippet]]) -> shapes.FoundRun:
    line = shapes.FoundRun.model_validate(run)
    told = [shapes.Snippet.model_validate(each) for each in snippets.get(run.seq, ())]
    return line.model_copy(update={"snippets": told}) if told else line


async def get_run(call: Plain) -> endpoint.Answer:
    """One run with all that was asked and came back."""
    run = await _find(call)
    return endpoint.Answer(200, shapes.FullRun.of(run, await call.database.read(notifications.find, run.id)))


async def list_steps(call: Stepping) -> endpoint.Answer:
    """A page of the trace."""
    run = await _unpruned(call)
    after, limit = _position(call.query.cursor), call.query.limit
    found = await call.database.read(documents.read, run.seq, documents.Step, after=after, limit=limit + 1)
    cursor = _step_cursor(found[limit - 1]) if len(found) > limit else None
    steps, unread = shapes.readable(found[:limit], shapes.Step.model_validate, lambda step: step.position)
    page = shapes.Steps(steps=steps, has_more=cursor is not None, next_cursor=cursor, unreadable=unread)
    return endpoint.Answer(200, page, call.link("cursor", cursor))


def _step_cursor(last: documents.Step) -> str:
    return str(cursors.Cursor("position", None, last.position))


def _position(cursor: str | None) -> int:
    if cursor is None:
        return -1
    position = cursors.parse(cursor, "position").seq
    if position >= documents.ROWS:
        raise storage_errors.BadCursor("the cursor is not one of ours")
    return position


async def get_timeline(call: Plain) -> endpoint.Answer:
    """All that happened to a run: what the ledger says of it, with what came in for it."""
    run = await _find(call)
    told = await call.database.read(changes.of_run, run.id)
    came, _ = await call.database.read(deliveries.page, deliveries.Query(run_id=run.id, limit=DELIVERIES))
    sent = await call.database.read(notifications.find, run.id)
    received, unread = shapes.readable(came, shapes.Delivery.model_validate)
    entries = _merged(told, received, sent)
    page = shapes.Timeline(timeline=entries, has_more=False, next_cursor=None, unreadable=unread)
    return endpoint.Answer(200, page)


def _merged(
    told: Sequence[changes.Change],
    came: Sequence[shapes.Delivery],
    sent: notifications.Notification | None,
) -> list[shapes.TimelineEntry]:
    """Oldest first. A delivery that came before we knew its run stands in the ledger without that run."""
    waiting = {each.id: each for each in came}
    entries = [_told(each, waiting) for each in told]
    entries += [_came(each) for each in waiting.values()]
    entries += [] if sent is None else [_sent(sent)]
    return sorted(entries, key=lambda entry: entry.at)


def _told(change: changes.Change, waiting: dict[str, shapes.Delivery]) -> shapes.TimelineEntry:
    facts = shapes.Change.of(change).facts
    return shapes.TimelineEntry(
        at=change.at,
        kind=change.kind,
        actor=change.actor,
        facts=facts,
        number=change.number,
        delivery=waiting.pop(facts.get("deliveryId", ""), None),
    )


def _came(delivery: shapes.Delivery) -> shapes.TimelineEntry:
    return shapes.TimelineEntry(
        at=delivery.received_at,
        kind=f"delivery.{delivery.verdict}",
        actor="upstream",
        facts={"deliveryId": delivery.id, "road": delivery.road.value},
        number=None,
        delivery=delivery,
    )


def _sent(sent: notifications.Notification) -> shapes.TimelineEntry:
    """How telling the backend stands; the ledger does not know of it."""
    told = shapes.Notification.of(sent)
    facts = {"webhookId": told.webhook_id, "attempts": told.attempts, "status": told.last_status}
    return shapes.TimelineEntry(
        at=sent.delivered_at or sent.stopped_at or sent.last_attempt_at or sent.created_at,
        kind=f"notification.{told.state}",
        actor="worker",
        facts={name: value for name, value in facts.items() if value is not None},
        number=None,
        delivery=None,
    )


async def get_document(call: Documented) -> endpoint.Answer:
    """The upstream's answer, byte for byte."""
    run = await _unpruned(call)
    document = await call.database.read(documents.find, run.id, call.query.version)
    if document is None:
        raise errors.NotFound("there is no such document of this run")
    headers = {
        "etag": f'"{document.body_sha256}"',
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-disposition": f'inline; filename="run-{run.id}-v{document.version}.json"',
    }
    if _is_held(call.headers.getlist("if-none-match"), document.body_sha256):
        return endpoint.Answer(304, None, headers)
    # A large one takes a while, which the loop has not.
    body = await asyncio.to_thread(document.read)
    return endpoint.Answer(200, body, headers)


def _is_held(conditions: Sequence[str], digest: str) -> bool:
    """If-None-Match, by weak comparison (RFC 9110, section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(conditions).split(",")]
    return "*" in tags or f'"{digest}"' in tags


async def _find(call: Plain | Stepping | Documented) -> runs.Run:
    """The run; by the upstream id of an orphan that which it belongs to."""
    return naming.known(await call.database.read(runs.find, call.ids["id"]))


async def _unpruned(call: Stepping | Documented) -> runs.Run:
    run = naming.itself(await _find(call), call.ids["id"])
    if run.pruned_at is not None:
        raise errors.Pruned(run.id)
    return run


OPERATIONS = (
    endpoint.Operation(
        "GET", "/v1/runs", "List runs", list_runs, {200: shapes.Runs}, access.Scope.READ, query=shapes.RunQuery
    ),
    endpoint.Operation("GET", "/v1/runs/{id}", "One run", get_run, {200: shapes.FullRun}, access.Scope.READ),
    endpoint.Operation(
        "GET",
        "/v1/runs/{id}/steps",
        "The steps of a run",
        list_steps,
        {200: shapes.Steps},
        access.Scope.READ,
        query=shapes.StepQuery,
        problems=(409, 410),
    ),
    endpoint.Operation(
        "GET",
        "/v1/runs/{id}/timeline",
        "What happened to a run",
        get_timeline,
        {200: shapes.Timeline},
        access.Scope.READ,
    ),
    endpoint.Operation(
        "GET",
        "/v1/runs/{id}/document",
        "The upstream's answer byte for byte",
        get_document,
        {200: "application/json", 304: None},
        access.Scope.READ,
        query=shapes.DocumentQuery,
        problems=(409, 410),
        headers=(endpoint.Header("If-None-Match", "An ETag that is held already.", r'^(\*|"[0-9a-f]{64}")$'),),
    ),
)
