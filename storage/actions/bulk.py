"""Bulk actions: one action on many runs, done in parts by a job, each run once.

The runs are fixed at the start: those that are listed, or those up to the newest key that match a query when their
turn comes, oldest first. The position is committed with each part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, null, or_, select, update

from storage import cursors, ids, merkle, states
from storage.engine import dialect
from storage.ledger import entries
from storage.query import conditions, grammar, run_pages
from storage.repositories import jobs
from storage.search import lookups
from storage.tables import declare
from storage.tables.jobs import BULK_ACTIONS
from storage.tables.runs import RUNS


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a bulk action, on the runs of these keys or on those that match the question."""

    action: states.BulkKind
    submitted_by: str
    actor: str
    at: datetime
    question: str | None = None
    run_seqs: Sequence[int] | None = None
    tags: Mapping[str, str | None] | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """A row of `bulk_actions`. `errors` are the first failures, each with its run."""

    id: str
    action: states.BulkKind
    submitted_by: str
    actor: str
    question: str | None
    run_seqs: Sequence[int] | None
    tags: Mapping[str, str | None] | None
    created_at: datetime
    worked_at: datetime
    position: int
    last_seq: int
    total: int
    is_exact: bool
    done: int
    failed: int
    errors: Sequence[Mapping[str, str]] | None = field(default_factory=list)
    finished_at: datetime | None = None
    is_stopped: bool = False
    idempotency_key: str | None = None

    def asks_the_same(self, other: Action) -> bool:
        """Return whether both actions do the same with the same runs."""
        names = ("action", "question", "run_seqs", "tags")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @property
    def state(self) -> str:
        """Return whether it is `running`, `finished` or `stopped`."""
        return "stopped" if self.is_stopped else "running" if self.finished_at is None else "finished"


def plan(connection: Connection, request: Request) -> Action:
    """Return the action of a request with the number of its runs, for `create`. Raises BadQuery, BadFilter."""
    seqs = request.run_seqs
    if seqs is None:
        expression = grammar.parse(request.question or "", request.at)
        lookups.require_selective(connection, conditions.phrases(expression, with_excluded=True))
        counted = run_pages.count(connection, expression)
        last = connection.execute(select(func.coalesce(func.max(RUNS.c.seq), 0))).scalar_one()
    else:
        seqs = sorted(set(seqs))
        counted, last = run_pages.Count(len(seqs), exact=True), max(seqs, default=0)
    return Action(
        ids.new(request.at), request.action, request.submitted_by, request.actor, request.question, seqs,
        request.tags, request.at, request.at, 0, last, counted.count, counted.exact, 0, 0,
        idempotency_key=request.idempotency_key,
    )  # fmt: skip


def create(connection: Connection, planned: Action) -> Action:
    """Store a bulk action with the job that carries it out, unless it is there by its id or idempotency key."""
    if known := _existing(connection, planned):
        return known
    connection.execute(
        BULK_ACTIONS.insert(), declare.row(BULK_ACTIONS, planned) | {"action": planned.action.value}
    )
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.BULK, "", planned.created_at)])
    digests = (
        *merkle.salted_digest("question", planned.question),
        *merkle.salted_digest("tags", None if planned.tags is None else merkle.canonical(dict(planned.tags))),
    )
    facts = {"bulkId": planned.id, "action": planned.action.value, "total": planned.total}
    kind = entries.Kind.BULK_REQUESTED
    entries.append(connection, [entries.Entry(kind, planned.created_at, None, planned.actor, facts, digests)])
    return planned


def find(connection: Connection, bulk_id: str) -> Action | None:
    """Return the bulk action with this id."""
    row = connection.execute(_ALL.where(BULK_ACTIONS.c.id == bulk_id)).first()
    return None if row is None else _action(row)


def page(connection: Connection, limit: int = 50, cursor: str | None = None) -> tuple[list[Action], str | None]:
    """Return a page of actions without the keys of listed runs, newest first, and the cursor of the next page.

    Raises BadCursor.
    """
    newest = _LISTED.order_by(BULK_ACTIONS.c.id.desc()).limit(limit + 1)  # ids are in the order of time
    if cursor is not None:
        newest = newest.where(BULK_ACTIONS.c.id < str(cursors.parse(cursor, _NEWEST).value))
    found = [_action(row) for row in connection.execute(newest)]
    if len(found) <= limit:
        return found, None
    return found[:limit], str(cursors.Cursor(_NEWEST, found[limit - 1].id, 0))


def _existing(connection: Connection, planned: Action) -> Action | None:
    """Return the action of an earlier try of this call, or the one with the same idempotency key."""
    key = planned.idempotency_key
    if key is not None:
        dialect.acquire_locks(connection, ["bulk_actions"])
    is_keyed = and_(BULK_ACTIONS.c.submitted_by == planned.submitted_by, BULK_ACTIONS.c.idempotency_key == key)
    is_same = BULK_ACTIONS.c.id == planned.id if key is None else or_(BULK_ACTIONS.c.id == planned.id, is_keyed)
    row = connection.execute(_ALL.where(is_same)).first()
    return None if row is None else _action(row)


def get_for_update(connection: Connection, bulk_id: str) -> Action | None:
    """Return the bulk action with this id, and lock its row until the transaction ends."""
    row = connection.execute(_ALL.where(BULK_ACTIONS.c.id == bulk_id).with_for_update()).first()
    return None if row is None else _action(row)


def next_open(connection: Connection) -> Action | None:
    """Return the open action that has waited for the longest since its last part."""
    oldest = _ALL.where(BULK_ACTIONS.c.finished_at.is_(None)).order_by(BULK_ACTIONS.c.worked_at).limit(1)
    row = connection.execute(oldest).first()
    return None if row is None else _action(row)


def save_progress(connection: Connection, action: Action, changes: Mapping[str, Any]) -> None:
    """Store what a part has done."""
    connection.execute(update(BULK_ACTIONS).where(BULK_ACTIONS.c.id == action.id).values(**changes))


def stop(connection: Connection, bulk_id: str, now: datetime) -> Action | None:
    """Stop an action that is not finished: runs whose turn has not come stay as they are."""
    is_open = BULK_ACTIONS.c.id == bulk_id, BULK_ACTIONS.c.finished_at.is_(None)
    connection.execute(update(BULK_ACTIONS).where(*is_open).values(finished_at=now, is_stopped=True))
    return find(connection, bulk_id)


def next_seqs(connection: Connection, action: Action, limit: int) -> list[int]:
    """Return the keys of the next runs, oldest first."""
    if action.run_seqs is not None:
        return [seq for seq in action.run_seqs if seq > action.position][:limit]
    expression = grammar.parse(action.question or "", action.created_at)
    return run_pages.oldest_keys(connection, expression, action.position, action.last_seq, limit)


def _action(row: Any) -> Action:
    return Action(
        **row._asdict() | {"action": states.read(states.BulkKind, row.action), "errors": row.errors or []}
    )


#: The order of the list, as its cursors name it.
_NEWEST = "-id"
_ALL = select(*(BULK_ACTIONS.c[each.name] for each in fields(Action)))
_LISTED = select(
    *(null().label(each.name) if each.name == "run_seqs" else BULK_ACTIONS.c[each.name] for each in fields(Action))
)
