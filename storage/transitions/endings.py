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
from storage.search import index
from storage.stats import rollups
from storage.tables.runs import RUNS

#: The measures in the terminal entry: facts of the ledger by their columns.
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
    """A terminal state, the source that reported it, and the actor."""

    status: states.Status
    at: datetime
    source: states.Source
    actor: str
    values: Mapping[str, Any] = field(default_factory=dict)
    digests: Sequence[merkle.Digest] = ()
    document_version: int | None = None


def end(connection: Connection, run_id: str, end: End) -> bool:
    """Move a run into a terminal state; return False where it is in one already."""
    _queue_for_index(connection, run_id, end)
    ended = runs.transition(connection, run_id, end.status, _values(end))
    if ended:
        _enqueue_follow_ups(connection, run_id, end.at)
    return ended


def end_before_create(connection: Connection, run_id: str, end: End) -> bool:
    """End a run that the upstream does not know, only while no upstream id is committed.

    A create may be running or its answer lost, so that an upstream run may appear later. For a run that is created
    and started by one call this is known: a call that was never sent has created nothing.
    """
    unknown = and_(RUNS.c.id == run_id, RUNS.c.status == states.ACCEPTED.value, RUNS.c.upstream_id.is_(None))
    since = func.coalesce(RUNS.c.lost_create_since, column_types.instant(end.at))
    mark = {"lost_create_since": case((RUNS.c.instructions.is_(None), since), else_=RUNS.c.lost_create_since)}
    values = {"status": end.status.value, **_values(end), **mark}
    ended = runs.update(connection, unknown, values)
    if ended:
        _enqueue_follow_ups(connection, run_id, end.at)
    return ended


def _queue_for_index(connection: Connection, run_id: str, end: End) -> None:
    """Queue the run for indexing where the end has texts and the run has not ended."""
    brings = any(end.values.get(part.value) is not None for part in states.Part)
    seq = runs.lock_open(connection, run_id) if brings else None
    if seq is not None:
        index.requeue(connection, seq, end.at)


def _enqueue_follow_ups(connection: Connection, run_id: str, at: datetime) -> None:
    """Enqueue the jobs that the settings want after an end."""
    follow_ups = system_state.follow_ups(connection)
    run = runs.find(connection, run_id) if follow_ups != system_state.FollowUps() else None
    if run is None:
        return
    kinds = []
    if follow_ups.notifies and run.submitted_by != states.Submitter.BACKFILL:  # those ended long ago
        kinds.append(states.Kind.NOTIFY)
    if follow_ups.captures and run.upstream_id is not None:
        kinds.append(states.Kind.CAPTURE)
    jobs.enqueue(connection, [jobs.JobRequest(kind, run_id, at) for kind in kinds])


def _values(end: End) -> dict[str, Any]:
    return {**end.values, "settled_at": end.at, "settled_by": end.source.value, "missing_since": None}


def append_entry(connection: Connection, run_id: str, end: End, kind: entries.Kind | None = None) -> None:
    """Append the terminal entry of a run and count the run; with `kind`, append the entry of a further document.

    This must be the last write of an end: from here on runs of one day, model and state wait for each other.
    """
    facts: dict[str, Any] = {name: ledger_value(end.values.get(column)) for name, column in FACTS.items()}
    facts |= {
        "settledBy": end.source.value,
        "settledAt": ledger_value(end.values.get("settled_at", end.at)),
        "documentVersion": end.document_version,
    }
    entry_kind = kind or entries.Kind(f"run.{end.status}")
    entries.append(connection, [entries.Entry(entry_kind, end.at, run_id, end.actor, facts, end.digests)])
    if kind is None:
        rollups.count(connection, run_id)


def ledger_value(value: Any) -> Any:
    """Return a column's value in the form of the ledger."""
    return column_types.instant_text(value) if isinstance(value, datetime) else value
