"""How a run ends: the move, what follows, the entry that tells it. Used by the other files of this room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, func

from storage import columns, house, jobs, ledger, merkle, rollups, runs, search, states
from storage.tables import RUNS

#: The measures that the terminal entry repeats: facts in the ledger by the columns they come from.
FACTS = {
    "createdAt": "created_at",
    "startedAt": "started_at",
    "completedAt": "completed_at",
    "durationMs": "duration_ms",
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "toolCalls": "tool_calls",
    "costMicros": "cost_micros",
    "stepCount": "step_count",
    "failureSource": "failure_source",
}


@dataclass(frozen=True, slots=True)
class End:
    """A terminal state, by which road we know it, and who says so."""

    status: states.Status
    at: datetime
    road: states.Road
    actor: str
    values: Mapping[str, Any] = field(default_factory=dict)
    digests: Sequence[merkle.Sealed] = ()
    document_version: int | None = None


def end(connection: Connection, run_id: str, end: End) -> bool:
    """The guarded move into a terminal state; False where the run is in one already."""
    _touch(connection, run_id, end)
    ended = runs.move(connection, run_id, end.status, _values(end))
    if ended:
        _follow(connection, run_id, end.at)
    return ended


def end_unknown(connection: Connection, run_id: str, end: End) -> bool:
    """The same for a run that the upstream does not know: only while no upstream id is committed.

    A create may be under way or its answer lost, so what shows up later may be a stray of this run. Of one that
    is created and started by one call this is known: what was never sent cannot be astray.
    """
    unknown = and_(RUNS.c.id == run_id, RUNS.c.status == states.ACCEPTED.value, RUNS.c.upstream_id.is_(None))
    since = func.coalesce(RUNS.c.stray_since, columns.instant(end.at))
    strays = {"stray_since": case((RUNS.c.instructions.is_(None), since), else_=RUNS.c.stray_since)}
    values = {"status": end.status.value, **_values(end), **strays}
    ended = runs.change(connection, unknown, values)
    if ended:
        _follow(connection, run_id, end.at)
    return ended


def _touch(connection: Connection, run_id: str, end: End) -> None:
    """Where the end brings texts, and will hold."""
    brings = any(end.values.get(part.value) is not None for part in states.Part)
    seq = runs.hold_open(connection, run_id) if brings else None
    if seq is not None:
        search.touch(connection, seq, end.at)


def _follow(connection: Connection, run_id: str, at: datetime) -> None:
    """Wishes what the settings want done after an end: the backend is told, the stream captured."""
    wanted = house.follows(connection)
    run = runs.find(connection, run_id) if wanted != house.Follows() else None
    if run is None:
        return
    kinds = []
    if wanted.notifies and run.submitted_by != states.Submitter.BACKFILL:  # those have been over for long
        kinds.append(states.Kind.NOTIFY)
    if wanted.captures and run.upstream_id is not None:
        kinds.append(states.Kind.CAPTURE)
    jobs.wish(connection, [jobs.Wish(kind, run_id, at) for kind in kinds])


def _values(end: End) -> dict[str, Any]:
    return {**end.values, "settled_at": end.at, "settled_by": end.road.value, "missing_since": None}


def append(connection: Connection, run_id: str, end: End, kind: ledger.Kind | None = None) -> None:
    """The terminal entry of a run, which is counted then; with `kind`, the entry of a further document.

    It comes last of what an end writes: runs of a day, a model and a state wait for each other from here on.
    """
    facts: dict[str, Any] = {name: fact(end.values.get(column)) for name, column in FACTS.items()}
    facts |= {
        "settledBy": end.road.value,
        "settledAt": fact(end.values.get("settled_at", end.at)),
        "documentVersion": end.document_version,
    }
    told = kind or ledger.Kind(f"run.{end.status}")
    ledger.append(connection, [ledger.Entry(told, end.at, run_id, end.actor, facts, end.digests)])
    if kind is None:
        rollups.count(connection, run_id)


def fact(value: Any) -> Any:
    """A value of a column as the ledger tells it."""
    return columns.text(value) if isinstance(value, datetime) else value
