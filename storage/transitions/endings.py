"""The end of a run: its transition, its ledger entry, and the jobs that follow. Used by the other transitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, func

from storage import merkle, states
from storage.engine import column_types
from storage.ledger import entries
from storage.repositories import jobs, runs, system_state
from storage.stats import rollups
from storage.tables.runs import RUNS

#: The measures in the terminal entry: facts of the ledger by their columns.
FACTS = {
    "model": "model",
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
    """A terminal state, the source that reported it, and the actor."""

    status: states.Status
    at: datetime
    source: states.Source
    actor: str
    values: Mapping[str, Any] = field(default_factory=dict)
    digests: Sequence[merkle.Digest] = ()
    document_version: int | None = None
    usage_count: int | None = None


def end(connection: Connection, run: runs.Run, end: End) -> bool:
    """Move a run, whose row is locked, into a terminal state; return False where it is in one already."""
    ended = runs.transition(connection, run.id, end.status, _values(end))
    if ended:
        _enqueue_follow_ups(connection, run, end.at)
    return ended


def end_before_create(connection: Connection, run: runs.Run, end: End) -> bool:
    """End a run that the upstream does not know, only while no upstream id is committed.

    A create may be running or its answer lost, so that an upstream run may appear later. For a run that is created
    and started by one call this is known: a call that was never sent has created nothing.
    """
    unknown = and_(RUNS.c.id == run.id, RUNS.c.status == states.ACCEPTED.value, RUNS.c.upstream_id.is_(None))
    since = func.coalesce(RUNS.c.lost_create_since, column_types.instant(end.at))
    mark = {"lost_create_since": case((RUNS.c.instructions.is_(None), since), else_=RUNS.c.lost_create_since)}
    values = {"status": end.status.value, **_values(end), **mark}
    ended = runs.update(connection, unknown, values)
    if ended:
        _enqueue_follow_ups(connection, run, end.at)
    return ended


def _enqueue_follow_ups(connection: Connection, run: runs.Run, at: datetime) -> None:
    """Enqueue the jobs that the settings request after an end."""
    follow_ups = system_state.follow_ups(connection)
    kinds = []
    if follow_ups.notifies and run.submitted_by != states.Submitter.BACKFILL:  # those runs ended long ago
        kinds.append(states.Kind.NOTIFY)
    if follow_ups.captures and run.upstream_id is not None:
        kinds.append(states.Kind.CAPTURE)
    jobs.enqueue(connection, [jobs.JobRequest(kind, run.id, at) for kind in kinds])


def _values(end: End) -> dict[str, Any]:
    return {**end.values, "settled_at": end.at, "settled_by": end.source.value, "missing_since": None}


def finish(connection: Connection, run: runs.Run, end: End) -> None:
    """Append the terminal entry of a run and count the run, whose row was `run` until it ended.

    This must be the last write of an end: from here on runs of one day, model and state wait for each other.
    """
    append_entry(connection, run.id, end, entries.Kind(f"run.{end.status}"))
    rollups.recount(connection, None, rollups.measures(run, {**end.values, "status": end.status.value}))


def append_entry(connection: Connection, run_id: str, end: End, kind: entries.Kind) -> None:
    """Append an entry with the measures of a run."""
    facts: dict[str, Any] = {name: ledger_value(end.values.get(column)) for name, column in FACTS.items()}
    facts |= {
        "settledBy": end.source.value,
        "settledAt": ledger_value(end.values.get("settled_at", end.at)),
        "documentVersion": end.document_version,
        "usageCount": end.usage_count,
    }
    entries.append(connection, [entries.Entry(kind, end.at, run_id, end.actor, facts, end.digests)])


def ledger_value(value: Any) -> Any:
    """Return a column's value in the form of the ledger."""
    return column_types.instant_text(value) if isinstance(value, datetime) else value
