"""Bulk actions: one action on many runs, which a job carries out."""

from __future__ import annotations

from receiver import errors
from receiver.api import runs, submissions
from receiver.schemas import actions, json_rows, query_parameters
from receiver.web import authentication, operations, run_ids
from receiver.web.authentication import Scope
from storage.actions import bulk
from storage.engine import database
from storage.engine.database import Reader
from storage.query import run_lines

Starting = operations.Call[None, actions.BulkRequest]
Listing = operations.Call[query_parameters.BulkQuery, None]
Plain = operations.Call[None, None]

router = operations.Router("bulk")


@router.operation(
    "POST",
    "/v1/bulk",
    "Start an action on many runs",
    {200: actions.BulkAction, 202: actions.BulkAction},
    Scope.SUBMIT,
    headers=(submissions.IDEMPOTENCY_KEY,),
    problems=(404, 409),
)
async def start_bulk(call: Starting) -> operations.Answer:
    """Start an action on many runs. Runs that are accepted later are left alone; a dry run only counts.

    A query needs the scope `read` as well, since the number of its runs reveals what is stored.
    """
    if call.body.q is not None:
        authentication.require_scope(call.caller, Scope.READ)
    planned = await call.database.read_by(Reader.TIMED, lambda store: _planned(call, store))
    if call.body.dry_run:
        return operations.Answer(200, actions.bulk_action(planned, is_planned=True))
    stored = await call.database.write(bulk.create, planned)
    if not stored.asks_the_same(planned):
        raise errors.Conflict(f"this idempotency key was used for another bulk action, {stored.id}")
    location = {"location": call.mounted_path(f"/v1/bulk/{stored.id}")}
    return operations.Answer(202 if stored.id == planned.id else 200, actions.bulk_action(stored), location)


def _planned(call: Starting, store: database.Snapshot) -> bulk.Action:
    body, caller = call.body, call.caller
    seqs = None if body.run_ids is None else [_seq(store, each) for each in body.run_ids]
    key = submissions.idempotency_key(call)
    request = bulk.Request(body.action, caller.name, caller.actor, call.now, body.q, seqs, body.tags, key)
    return store.read(bulk.plan, request)


def _seq(store: database.Snapshot, named: str) -> int:
    """Return the key of a listed run. Raises NotFound, which names it, and RunIsOrphan."""
    found = store.read(run_lines.find, named, runs.KEYS)
    if found is None:
        raise errors.NotFound(f"there is no run {named}")
    seq: int = run_ids.require_exact_run(found, named).seq
    return seq


@router.operation("GET", "/v1/bulk", "List bulk actions", {200: actions.BulkActions}, Scope.READ)
def list_bulk(call: Listing, store: database.Snapshot) -> operations.Answer:
    """Answer with a page of bulk actions, newest first."""
    found, cursor = store.read(bulk.page, call.query.limit, call.query.cursor)
    shown, unread = json_rows.readable(found, actions.bulk_action, lambda action: action.id)
    page = actions.BulkActions(actions=shown, has_more=cursor is not None, next_cursor=cursor, unreadable=unread)
    return operations.Answer(200, page, call.link("cursor", cursor))


@router.operation(
    "GET", "/v1/bulk/{id}", "Get a bulk action with its progress", {200: actions.BulkAction}, Scope.READ
)
def get_bulk(call: Plain, store: database.Snapshot) -> operations.Answer:
    """Answer with a bulk action and its progress."""
    return operations.Answer(200, actions.bulk_action(_found(store.read(bulk.find, call.ids["id"]))))


@router.operation("POST", "/v1/bulk/{id}/stop", "Stop a bulk action", {200: actions.BulkAction}, Scope.SUBMIT)
async def stop_bulk(call: Plain) -> operations.Answer:
    """Stop an action. Runs whose turn has not come stay as they are; what is done stays done."""
    stopped = await call.database.write(bulk.stop, call.ids["id"], call.now)
    return operations.Answer(200, actions.bulk_action(_found(stopped)))


def _found(stored: bulk.Action | None) -> bulk.Action:
    if stored is None:
        raise errors.NotFound("there is no bulk action with that id")
    return stored
