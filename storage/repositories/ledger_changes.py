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


def of_run(connection: Connection, run_id: str) -> list[Change]:
    """Return all ledger entries of one run, in the order of writing."""
    return [Change(*row) for row in connection.execute(_OF_RUN, {"run_id": run_id})]


_ROWS = select(
    LEDGER_ENTRIES.c.leaf_index,
    LEDGER_ENTRIES.c.id,
    LEDGER_ENTRIES.c.run_id,
    LEDGER_ENTRIES.c.kind,
    LEDGER_ENTRIES.c.actor,
    LEDGER_ENTRIES.c.at,
    LEDGER_ENTRIES.c.body,
)
_AFTER = (
    _ROWS.where(LEDGER_ENTRIES.c.leaf_index > bindparam("after"))
    .order_by(LEDGER_ENTRIES.c.leaf_index)
    .limit(bindparam("limit"))
)
_OF_RUN = _ROWS.where(LEDGER_ENTRIES.c.run_id == bindparam("run_id")).order_by(LEDGER_ENTRIES.c.seq).limit(10_000)
