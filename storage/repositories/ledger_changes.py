"""Statements about the change feed: ledger entries by their numbers, and the entries of one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from storage.tables.ledger import LEDGER_ENTRIES


@dataclass(frozen=True, slots=True)
class Change:
    """A ledger entry; `number` is None until the sequencer assigns it, `body` is the canonical JSON as stored."""

    number: int | None
    id: str
    run_id: str | None
    kind: str
    actor: str
    at: datetime
    body: str


def after(connection: Connection, number: int, limit: int) -> list[Change]:
    """Return up to `limit` entries above `number`, in order. No entry appears below `number` later."""
    return [Change(*row) for row in connection.execute(_AFTER, {"after": number, "limit": limit})]


def before(connection: Connection, number: int | None, limit: int) -> list[Change]:
    """Return up to `limit` entries below `number`, or the newest ones, the highest number first."""
    below = _ENTRIES.leaf_index.is_not(None) if number is None else _ENTRIES.leaf_index < number
    newest = _ROWS.where(below).order_by(_ENTRIES.leaf_index.desc()).limit(limit)
    return [Change(*row) for row in connection.execute(newest)]


def of_run(connection: Connection, run_id: str) -> list[Change]:
    """Return all ledger entries of one run, in the order of writing."""
    return [Change(*row) for row in connection.execute(_OF_RUN, {"run_id": run_id})]


_ENTRIES = LEDGER_ENTRIES.c
_ROWS = select(*(_ENTRIES[name] for name in ("leaf_index", "id", "run_id", "kind", "actor", "at", "body")))
_BEHIND = _ROWS.where(_ENTRIES.leaf_index > bindparam("after"))
_AFTER = _BEHIND.order_by(_ENTRIES.leaf_index).limit(bindparam("limit"))
_OF_RUN = _ROWS.where(_ENTRIES.run_id == bindparam("run_id")).order_by(_ENTRIES.seq).limit(10_000)
