"""Whether the store has what the upstream lists: the runs of a range, and reports that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from storage import merkle, states
from storage.engine import column_types
from storage.ledger import entries
from storage.query import conditions
from storage.tables.ledger import COMPLETENESS_REPORTS, LEDGER_ENTRIES
from storage.tables.runs import RUNS


@dataclass(frozen=True, slots=True)
class Stored:
    """A run of the store. `created` is when it was accepted where the upstream never created it."""

    seq: int
    id: str
    upstream_id: str | None
    status: states.Status
    created: datetime
    missing_since: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """A report on the runs created from `begin` on and before `end`. `body` is its canonical JSON."""

    id: str
    checked_at: datetime
    begin: datetime
    end: datetime
    counts: Mapping[str, int]
    body: str
    digests: Sequence[merkle.Digest]


def in_range(connection: Connection, begin: datetime, end: datetime, after: int, limit: int) -> list[Stored]:
    """Return up to `limit` runs created in a range, behind the key `after`, in the order of their keys."""
    created = conditions.CREATED
    chosen = _STORED.where(created >= column_types.instant(begin), created < column_types.instant(end))
    rows = connection.execute(chosen.where(RUNS.c.seq > after).order_by(RUNS.c.seq).limit(limit))
    return [
        Stored(
            row.seq,
            row.id,
            row.upstream_id,
            states.read(states.Status, row.status),
            row.created,
            row.missing_since,
        )
        for row in rows
    ]


def imported(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Return which of these runs were imported from another Runledger."""
    is_import = LEDGER_ENTRIES.c.kind == entries.Kind.RUN_IMPORTED.value
    found = select(LEDGER_ENTRIES.c.run_id).where(LEDGER_ENTRIES.c.run_id.in_(run_ids), is_import)
    return set(connection.execute(found).scalars())


def record(connection: Connection, report: Report, actor: str) -> None:
    """Keep a report, and append the entry that has its digest."""
    table = COMPLETENESS_REPORTS
    if connection.execute(
        select(table.c.id).where(table.c.id == report.id)
    ).first():  # an earlier try of this call
        return
    row = {"id": report.id, "checked_at": report.checked_at, "body": report.body}
    connection.execute(table.insert(), row)
    span = {"from": column_types.instant_text(report.begin), "to": column_types.instant_text(report.end)}
    facts: dict[str, entries.Fact | None] = {"reportId": report.id, **span, **report.counts}
    kind = entries.Kind.COMPLETENESS_CHECKED
    entries.append(connection, [entries.Entry(kind, report.checked_at, None, actor, facts, report.digests)])


_STORED = select(
    *(RUNS.c[name] for name in ("seq", "id", "upstream_id", "status")),
    conditions.CREATED.label("created"),
    RUNS.c.missing_since,
)
