"""Transitions from accepted to running: the commits around create and exec, which must not be repeated blindly.

One call may create a run and start it at once. The mark that it is being made is `lost_create_since`: from then
on, until its run is linked or the call is known to have done nothing, an upstream run of this submission may be
unlinked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, literal, or_

from storage import merkle, states
from storage.engine.column_types import instant
from storage.ledger import entries
from storage.repositories import deliveries, jobs, runs, upstream_links
from storage.search import index
from storage.tables.runs import RUNS
from storage.transitions import endings


class LinkResult(Enum):
    """The outcome for an upstream run that was created or found for a submission."""

    RUN = auto()  # it is the run that we execute
    TAKEN = auto()  # it belongs to an equal submission
    ORPHAN = auto()  # the submission ended or has another run: this one is cancelled upstream


@dataclass(frozen=True, slots=True)
class CreatedRun:
    """An upstream run for a submission. `watched`: it was created with our callback address.

    `agent_id` is set where an agent was made for this run alone.
    """

    upstream_id: str
    created_at: datetime | None
    watched: bool
    agent_id: str | None = None


def record_created(connection: Connection, claim: jobs.Claim, made: CreatedRun, now: datetime) -> LinkResult:
    """Commit the upstream id before anything is executed under it.

    Where the guard fails (cancelled meanwhile, another upstream id, the lease lost) the upstream run is committed
    as an orphan, with the job that cancels it. Raise LeaseLost where a later claim has found this very run: that
    claim executes it.
    """
    link = upstream_links.Link(made.upstream_id, claim.run_id, states.Role.RUN)
    link = upstream_links.insert(connection, link, now)
    if link.run_id != claim.run_id:
        return LinkResult.TAKEN
    if link.role is states.Role.ORPHAN:
        return LinkResult.ORPHAN
    if jobs.has_lease(connection, claim) and _mark_queued(connection, claim, made, now):
        facts = {"upstreamId": made.upstream_id, "agentId": made.agent_id}
        entries.append(connection, [entries.Entry(entries.Kind.RUN_CREATED, now, claim.run_id, "worker", facts)])
        _claim_deliveries(connection, claim.run_id, made.upstream_id, now)
        return LinkResult.RUN
    run = runs.find(connection, claim.run_id)
    if run is not None and run.upstream_id == made.upstream_id:
        jobs.require_lease(connection, claim)
        return LinkResult.RUN
    upstream_links.mark_orphan(connection, made.upstream_id)
    _enqueue_orphan(connection, claim.run_id, made.upstream_id, now)
    return LinkResult.ORPHAN


def _mark_queued(connection: Connection, claim: jobs.Claim, made: CreatedRun, now: datetime) -> bool:
    unstarted = and_(_without_upstream_id(claim), RUNS.c.status == states.ACCEPTED.value)
    values: dict[str, Any] = {
        "status": states.QUEUED.value,
        "upstream_id": made.upstream_id,
        "created_at": made.created_at,
        "watched": made.watched,
    }
    if made.agent_id is not None:
        values["agent_id"] = made.agent_id
    # The answer to an earlier create may be lost; for one call that creates and starts, this is the answer.
    is_later = or_(literal(claim.fence > 1), RUNS.c.restored_at.is_not(None))
    lost_create = case((is_later, instant(now)), else_=RUNS.c.lost_create_since)
    values["lost_create_since"] = case((RUNS.c.instructions.is_(None), lost_create), else_=None)
    return runs.update(connection, unstarted, values)


def _claim_deliveries(connection: Connection, run_id: str, upstream_id: str, now: datetime) -> None:
    """Assign the deliveries that named the run before we knew its id, and request a settle."""
    sources = deliveries.claim_unlinked(connection, upstream_id, run_id)
    if sources:
        jobs.enqueue(connection, [jobs.JobRequest(states.Kind.SETTLE, run_id, now, sources[0])])


def record_orphan(connection: Connection, run_id: str, upstream_id: str, now: datetime) -> bool:
    """Link an upstream run as an orphan of `run_id`; return False where it is linked already."""
    link = upstream_links.Link(upstream_id, run_id, states.Role.ORPHAN)
    is_known = upstream_id in upstream_links.linked_runs(connection, [upstream_id])
    if is_known or upstream_links.insert(connection, link, now) != link:
        return False
    _enqueue_orphan(connection, run_id, upstream_id, now)
    return True


def _enqueue_orphan(connection: Connection, run_id: str, upstream_id: str, now: datetime) -> None:
    deliveries.claim_unlinked(connection, upstream_id, run_id)
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.ORPHAN, run_id, now)])
    fact = entries.Entry(entries.Kind.RUN_ORPHAN, now, run_id, "worker", {"upstreamId": upstream_id})
    entries.append(connection, [fact])


def refuse(
    connection: Connection, claim: jobs.Claim, reason: str, now: datetime, source: str = "upstream"
) -> bool:
    """End a run that the upstream refuses to create, start or find, while it answers other requests.

    `source` is the side that refused it. Where an upstream run exists, a job cancels it. Return False where the
    run ended in another way meanwhile.
    """
    jobs.require_lease(connection, claim)
    run = runs.lock(connection, claim.run_id)
    values = {"failure_reason": reason, "failure_source": source}
    digests = merkle.salted_digest("failureReason", reason)
    end = endings.End(states.REFUSED, now, claim.trigger or states.Source.REQUEST, "worker", values, digests)
    if not run.is_terminal:
        index.requeue(connection, run.seq, now)
    ended = endings.end(connection, run, end)
    if ended:
        endings.finish(connection, run, end)
        if run.upstream_id is not None and run.origin is states.Origin.SUBMITTED:
            jobs.enqueue(connection, [jobs.JobRequest(states.Kind.CANCEL, run.id, now)])
        if run.upstream_id is None and _may_have_lost_create(run, claim):
            runs.update(connection, RUNS.c.id == claim.run_id, {"lost_create_since": now})
    jobs.complete(connection, claim)
    return ended


def _may_have_lost_create(run: runs.Run, claim: jobs.Claim) -> bool:
    if run.instructions is not None:
        return run.lost_create_since is not None
    return claim.fence > 1 or run.restored_at is not None


def record_started(
    connection: Connection, claim: jobs.Claim, via: str, now: datetime, expected_by: datetime
) -> None:
    """Record that the upstream runs it; a run that has ended meanwhile stays unchanged.

    A cancel request that came during exec gets its job here, so that it is not lost between the two.
    """
    jobs.require_lease(connection, claim)
    _mark_started(connection, claim.run_id, via, now, expected_by)
    jobs.complete(connection, claim)


def _mark_started(connection: Connection, run_id: str, via: str, now: datetime, expected_by: datetime) -> None:
    """Record the start, without completing the job."""
    values = {"started_at": now, "expected_by": expected_by}
    if runs.transition(connection, run_id, states.RUNNING, values):
        entries.append(connection, [entries.Entry(entries.Kind.RUN_STARTED, now, run_id, "worker", {"via": via})])
    run = runs.find(connection, run_id)
    if run is not None and run.cancel_requested_at is not None and not run.is_terminal:
        jobs.enqueue(connection, [jobs.JobRequest(states.Kind.CANCEL, run.id, now, states.Source.REQUEST)])


def mark_call(connection: Connection, claim: jobs.Claim, now: datetime) -> bool:
    """Mark the one call as being made, before it is sent.

    Return False where it must not be made: the run has ended, or an earlier call may have worked.
    """
    jobs.require_lease(connection, claim)
    unmarked = or_(RUNS.c.lost_create_since.is_(None), RUNS.c.lost_create_since == instant(now))
    is_unmade = and_(_without_upstream_id(claim), unmarked, RUNS.c.status == states.ACCEPTED.value)
    return runs.update(connection, is_unmade, {"lost_create_since": now})


def unmark_call(connection: Connection, claim: jobs.Claim) -> None:
    """Remove the mark of a call that is known to have done nothing; it may be made again."""
    jobs.require_lease(connection, claim)
    runs.update(connection, _without_upstream_id(claim), {"lost_create_since": None})


def record_call(
    connection: Connection,
    claim: jobs.Claim,
    made: CreatedRun,
    via: str,
    now: datetime,
    expected_by: datetime,
) -> LinkResult:
    """Commit the upstream id of a run that one call created and started; the job then registers the watcher.

    The other outcomes are those of `record_created`.
    """
    linked = record_created(connection, claim, made, now)
    if linked is LinkResult.RUN:
        _mark_started(connection, claim.run_id, via, now, expected_by)
    return linked


def _without_upstream_id(claim: jobs.Claim) -> ColumnElement[bool]:
    return and_(RUNS.c.id == claim.run_id, RUNS.c.upstream_id.is_(None))


def leave_to(connection: Connection, claim: jobs.Claim, kind: states.Kind, now: datetime) -> None:
    """Leave a run to another job of its own.

    That is `cancel` for a run that is not to be executed, and `settle` for one that has ended, or soon will: only
    the upstream has its result.
    """
    run = runs.find(connection, claim.run_id)
    if run is not None and not run.is_terminal:
        jobs.enqueue(connection, [jobs.JobRequest(kind, run.id, now, states.Source.REQUEST)])
    jobs.complete(connection, claim)
