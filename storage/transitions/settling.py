"""Record the upstream's answers about a run: it is alive, has ended, or is not found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func

from storage import merkle, results, states
from storage.engine.column_types import instant
from storage.engine.queues import with_documents
from storage.ledger import entries
from storage.repositories import documents, jobs, runs
from storage.search import index
from storage.stats import rollups
from storage.tables.runs import RUNS
from storage.transitions import endings

#: The reported state in the conflict of a settled run that the upstream does not find any more.
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Result:
    """A terminal answer, parsed and hashed: the values to store, and their digests.

    `roots` are the digests of its rows under their own salts, computed beforehand since many rows take long.
    """

    status: states.Status
    measures: results.Measures
    steps: Sequence[results.Step] = ()
    usage: Sequence[results.Usage] = ()
    document: documents.Document | None = None
    digests: Sequence[merkle.Digest] = ()
    roots: Sequence[merkle.Digest] = ()

    @property
    def weight(self) -> int:
        """Return roughly the bytes, for the bounds of a batch; never 0, since a document may be empty."""
        return 1024 + (self.document.size if self.document is not None else 0)


@with_documents
def record_result(
    connection: Connection,
    claim: jobs.Claim,
    result: Result,
    now: datetime,
    refetch_at: datetime | None,
    began: datetime | None = None,
) -> bool:
    """Settle a run: row, steps, usage, document and terminal entry; return whether this call settled it.

    For a run that has ended already, the answer is stored as a further version of its document, unless the run was
    refused: a run that never started has no output. With `refetch_at` the job comes due then, since a part is
    still missing. `began` is when the answer was requested: later requests stay open.
    """
    jobs.require_lease(connection, claim)
    run = runs.lock(connection, claim.run_id)
    source, began = claim.trigger or states.Source.SWEEP, began or now
    if _is_reopened_adoption(run):
        jobs.reschedule(connection, claim, now)
        return False
    settled = settle(connection, run, result, source, now, began)
    if run.status is states.REFUSED:
        _record_conflict(connection, run, result.status.value, source, now, began)
    elif not settled and run.pruned_at is None:  # removed content is not stored again
        _amend(connection, run, result, source, now, began)
    elif not settled:
        runs.update(connection, RUNS.c.id == run.id, _answer(run, now, began))
    _finish(connection, claim, refetch_at)
    return settled


def _finish(connection: Connection, claim: jobs.Claim, refetch_at: datetime | None) -> None:
    if refetch_at is None:
        jobs.complete(connection, claim)
    else:
        jobs.reschedule(connection, claim, refetch_at)


def _is_reopened_adoption(run: runs.Run) -> bool:
    """Return whether an adoption was reopened while its details were fetched: its own job adopts it."""
    return run.status is states.ACCEPTED and run.origin is states.Origin.ADOPTED


def settle(
    connection: Connection, run: runs.Run, result: Result, source: states.Source, now: datetime, began: datetime
) -> bool:
    """Move the run into its terminal state with all its rows; return False where it is in one already.

    Its row is locked by the caller.
    """
    if run.is_terminal:
        return False
    values = result.measures.columns | {"step_count": len(result.steps)} | _answer(run, now, began)
    for name in ("created_at", "started_at"):  # earlier values fill what the answer lacks
        values[name] = values[name] or getattr(run, name)
    values["model"] = run.model or result.measures.model  # the requested model stays
    end = endings.End(result.status, now, source, "upstream", values)
    is_first = not _may_have_rows(connection, run)
    texts_stay = is_first and run.output is None and run.summary is None and run.failure_reason is None
    if texts_stay:  # the run is found by its prompt while its result waits for the index
        index.enqueue(connection, {run.seq: now})
    else:
        index.requeue(connection, run.seq, now)
    if not endings.end(connection, run, end):
        return False
    stored = _store(connection, run, result, is_first=is_first)
    endings.finish(connection, run, _with_document(end, stored))
    return True


def _may_have_rows(connection: Connection, run: runs.Run) -> bool:
    """Return whether an open run may have rows of an earlier end: a reopened adoption may have been imported."""
    is_adopted = run.origin is not states.Origin.SUBMITTED
    return is_adopted and entries.last(connection, run.id, entries.Kind.RUN_REOPENED) is not None


def _answer(run: runs.Run, now: datetime, began: datetime) -> dict[str, datetime | None]:
    """Return the columns that an answer changes: it answers every request for a fetch until it was asked for."""
    requested_at = run.refresh_requested_at
    is_open = requested_at is not None and requested_at > began
    return {"refresh_requested_at": requested_at if is_open else None, "asked_at": now}


def _amend(
    connection: Connection, run: runs.Run, result: Result, source: states.Source, now: datetime, began: datetime
) -> None:
    """Store a further version of a settled run's document: measures and texts change, the state never does."""
    stored = _store(connection, run, result, is_first=False)
    is_new = stored is not None or result.document is None  # the same bytes were recorded when they first came
    if is_new and result.status != run.status:
        _append_conflict(connection, run, result.status.value, source, now)
    values: dict[str, Any] = {}
    if stored is not None:
        # Values of an earlier version that this one lacks are kept.
        values = {name: value for name, value in result.measures.columns.items() if value is not None}
        values["step_count"] = len(result.steps) or run.step_count
        values["model"] = run.model or result.measures.model
    runs.update(connection, RUNS.c.id == run.id, values | _answer(run, now, began))
    if stored is None:
        return
    stored_values = {name: getattr(run, name) for name in (*endings.FACTS.values(), "settled_at")}
    end = endings.End(run.status, now, run.settled_by or source, "upstream", stored_values | values)
    endings.append_entry(connection, run.id, _with_document(end, stored), entries.Kind.RUN_DOCUMENT)
    rollups.recount(connection, rollups.measures(run), rollups.measures(run, values))


def record_contradiction(
    connection: Connection,
    claim: jobs.Claim,
    reported: str,
    now: datetime,
    refetch_at: datetime | None,
    began: datetime | None = None,
) -> None:
    """Record that the upstream shows a settled run as live, or as MISSING: the stored state stays.

    `refetch_at` and `began` have the same meaning as for `record_result`.
    """
    jobs.require_lease(connection, claim)
    run = runs.lock(connection, claim.run_id)
    if run.is_terminal:  # else an adoption was reopened meanwhile
        _record_conflict(connection, run, reported, claim.trigger or states.Source.SWEEP, now, began or now)
    _finish(connection, claim, refetch_at)


def _record_conflict(
    connection: Connection, run: runs.Run, reported: str, source: states.Source, now: datetime, began: datetime
) -> None:
    """Record a conflict, once per reported state. A refused run may be missing."""
    runs.update(connection, RUNS.c.id == run.id, _answer(run, now, began))
    expected = (run.status.value, MISSING if run.status is states.REFUSED else None)
    if reported not in expected and not _is_recorded(connection, run.id, reported):
        _append_conflict(connection, run, reported, source, now)


def _append_conflict(
    connection: Connection, run: runs.Run, reported: str, source: states.Source, now: datetime
) -> None:
    facts: dict[str, Any] = {"reported": reported, "kept": run.status.value, "source": source.value}
    entries.append(connection, [entries.Entry(entries.Kind.RUN_CONFLICT, now, run.id, "upstream", facts)])


def _is_recorded(connection: Connection, run_id: str, reported: str) -> bool:
    """Return whether the run's last conflict reports the same state."""
    last = entries.last(connection, run_id, entries.Kind.RUN_CONFLICT)
    return last is not None and last["facts"].get("reported") == reported


@dataclass(frozen=True, slots=True)
class _Stored:
    version: int
    digests: Sequence[merkle.Digest]
    usage_count: int | None


def _store(connection: Connection, run: runs.Run, result: Result, *, is_first: bool) -> _Stored | None:
    """Store document, steps and usage. Return None where there is no document, or its bytes are stored already.

    `is_first`: nothing of the run is stored yet, and it is queued for the index.
    """
    if result.document is None:
        return None
    version = documents.add(connection, run.id, result.document, is_first=is_first)
    if version is None:
        return None
    if not is_first:
        index.requeue(connection, run.seq, result.document.fetched_at)
    digests, size = list(result.digests), result.document.size
    if result.steps:
        steps = documents.store_steps(connection, run.seq, run.id, result.steps, is_first=is_first, size=size)
        digests += _prepared_root("steps", result, steps is result.steps) or documents.root("steps", steps)
    if result.usage:
        usage = documents.store(
            connection, run.seq, run.id, result.usage, results.Usage, is_first=is_first, size=size
        )
        digests += _prepared_root("usage", result, usage is result.usage) or documents.root("usage", usage)
    return _Stored(version, digests, len(result.usage) or None)


def _prepared_root(name: str, result: Result, is_valid: bool) -> list[merkle.Digest]:
    """Return the prepared root where it is valid: no salt of a stored row is kept."""
    return [each for each in result.roots if each.name == name] if is_valid else []


def _with_document(end: endings.End, stored: _Stored | None) -> endings.End:
    if stored is None:
        return end
    version, count = stored.version, stored.usage_count
    return replace(end, digests=stored.digests, document_version=version, usage_count=count)


def record_alive(
    connection: Connection,
    claim: jobs.Claim,
    status: states.Status,
    started_at: datetime | None,
    now: datetime,
    due_at: datetime,
    began: datetime | None = None,
) -> None:
    """Record that a fetch showed the run alive; it comes due again, and requests until `began` are answered."""
    jobs.require_lease(connection, claim)
    run = runs.lock(connection, claim.run_id)
    runs.update(connection, RUNS.c.id == run.id, _answer(run, now, began or now))
    follow_live_state(connection, run, status, started_at, now, "status")
    jobs.reschedule(connection, claim, due_at, alive=True)


def follow_live_state(
    connection: Connection,
    run: runs.Run,
    status: states.Status,
    started_at: datetime | None,
    now: datetime,
    via: str,
) -> None:
    """Move the run, whose row is locked, forward to a live state, never back; it is not missing."""
    runs.update(connection, RUNS.c.id == run.id, {"asked_at": now, "missing_since": None})
    begun = instant(started_at) if started_at else func.coalesce(RUNS.c.started_at, instant(now))
    values = {"started_at": begun} if status is states.RUNNING else {}
    was_recorded = run.status is states.LOST and run.started_at is not None  # it was lost while it ran
    if runs.transition(connection, run.id, status, values) and status is states.RUNNING and not was_recorded:
        entries.append(
            connection, [entries.Entry(entries.Kind.RUN_STARTED, now, run.id, "upstream", {"via": via})]
        )


def record_missing(
    connection: Connection, claim: jobs.Claim, now: datetime, due_at: datetime, error: str, *, lost: bool
) -> None:
    """Record that the upstream does not find the run. `lost` is set after a day of this; it is not an end."""
    jobs.require_lease(connection, claim)
    which = and_(RUNS.c.id == claim.run_id, RUNS.c.missing_since.is_(None), RUNS.c.settled_at.is_(None))
    runs.update(connection, which, {"missing_since": now})
    runs.update(connection, RUNS.c.id == claim.run_id, {"asked_at": now})
    if lost and runs.transition(connection, claim.run_id, states.LOST, {}):
        entries.append(connection, [entries.Entry(entries.Kind.RUN_LOST, now, claim.run_id, "worker")])
    jobs.fail(connection, claim, due_at, error=error, now=now)
