"""Adoption: runs that were created elsewhere become ours, one by one or by the pages of a backfill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, and_

from storage import merkle, states
from storage.ledger import entries
from storage.repositories import backfills, deliveries, jobs, notifications, runs, upstream_links
from storage.search import index
from storage.stats import rollups
from storage.tables import declare
from storage.tables.runs import RUNS
from storage.transitions import endings, settling


@dataclass(frozen=True, slots=True)
class Adoption:
    """A request to adopt an upstream run. `id` is ours, made before the transaction.

    `expected_by` is None for a run that has ended. `actor` is recorded when a refused adoption is reopened.
    """

    id: str
    upstream_id: str
    submitted_by: str
    trigger: states.Source
    at: datetime
    expected_by: datetime | None
    actor: str = "worker"


@dataclass(frozen=True, slots=True)
class UpstreamDetails:
    """The upstream's details of an adopted run. Texts are cut to the size of a ledger entry."""

    agent_id: str | None
    prompt: str | None
    guidance: str | None
    model: str | None
    created_at: datetime | None
    started_at: datetime | None
    actor: str


def adopt(connection: Connection, adopted: Adoption) -> tuple[runs.Run, bool]:
    """Commit the run as accepted under its upstream id, with the job that fetches its details.

    A known id returns its run; one whose adoption was refused is reopened. The second value is whether there are
    details to fetch, because the run is new or reopened.
    """
    link = upstream_links.Link(adopted.upstream_id, adopted.id, states.Role.RUN)
    link = upstream_links.insert(connection, link, adopted.at)
    is_new = link.run_id == adopted.id
    if is_new:
        _insert(connection, adopted)
    run = runs.get_for_update(connection, link.run_id)
    assert run is not None, "a link names a run that is there"
    if link.role is states.Role.RUN and run.may_reopen:
        return _reopen(connection, run, adopted), True
    return run, is_new


def _reopen(connection: Connection, run: runs.Run, adopted: Adoption) -> runs.Run:
    """Reopen a refused adoption as if it had not ended: see `states.REOPENED`.

    Its end is subtracted from the sums, and its notification is deleted, so that the next end has one of its own.
    """
    index.requeue(connection, run.seq, adopted.at)
    which = and_(RUNS.c.id == run.id, RUNS.c.status == states.REOPENED[0].value)
    reset = {**_END_COLUMNS, "status": states.REOPENED[1].value, "expected_by": adopted.expected_by}
    runs.update(connection, which, reset)
    for kind in (states.Kind.NOTIFY, states.Kind.CAPTURE):
        jobs.withdraw(connection, kind, run.id)
    notifications.remove(connection, run.id)
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.ADOPT, run.id, adopted.at, adopted.trigger)])
    facts = {"upstreamId": run.upstream_id, "source": adopted.trigger.value}
    reopened = entries.Entry(entries.Kind.RUN_REOPENED, adopted.at, run.id, adopted.actor, facts)
    entries.append(connection, [reopened])
    rollups.recount(connection, rollups.measures(run), None)
    found = runs.find(connection, run.id)
    assert found is not None
    return found


#: The columns that an end has set.
_END_COLUMNS = dict.fromkeys(
    (
        *("settled_at", "settled_by", "failure_reason", "failure_source", "missing_since"),
        *("refresh_requested_at", "captured_at", "capture_note"),
    )
)


def readopt(connection: Connection, run_id: str, upstream_id: str, at: datetime) -> runs.Run | None:
    """Adopt, under its old id, a run that was submitted after the backup behind this restored store was made.

    Its submission is lost, so it counts as adopted. Return None where one of the ids belongs to another run.
    """
    upstream_links.lock_ids(connection, [upstream_id])
    if upstream_id in upstream_links.linked_runs(connection, [upstream_id]):
        return None
    adopted = Adoption(run_id, upstream_id, states.Submitter.RESTORED, states.Source.WATCHER, at, expected_by=None)
    if not _insert(connection, adopted):
        return None
    upstream_links.insert(connection, upstream_links.Link(upstream_id, run_id, states.Role.RUN), at)
    return runs.find(connection, run_id)


def _insert(connection: Connection, adopted: Adoption) -> bool:
    """Insert the run and the job that fetches its details; return False where the run exists already."""
    added = {"origin": states.Origin.ADOPTED.value, "status": states.ACCEPTED.value, "accepted_at": adopted.at}
    if runs.insert(connection, declare.row(RUNS, adopted) | added) is None:
        return False
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.ADOPT, adopted.id, adopted.at, adopted.trigger)])
    deliveries.claim_unlinked(connection, adopted.upstream_id, adopted.id)
    return True


def complete_adoption(
    connection: Connection, claim: jobs.Claim, details: UpstreamDetails, status: states.Status, now: datetime
) -> None:
    """Store the details of a live adopted run. The job continues: a watcher is still to be registered."""
    jobs.require_lease(connection, claim)
    run = _store_details(connection, claim, details, now)
    if run is not None:
        settling.follow_live_state(connection, run, status, details.started_at, now, "adoption")


def complete_ended_adoption(
    connection: Connection,
    claim: jobs.Claim,
    details: UpstreamDetails,
    result: settling.Result,
    now: datetime,
    refetch_at: datetime | None,
) -> None:
    """Store the details and the result of an adopted run that has ended, in one transaction."""
    jobs.require_lease(connection, claim)
    run = _store_details(connection, claim, details, now)
    if run is not None:
        settling.settle(connection, run, result, claim.trigger or states.Source.SWEEP, now, now)
        if refetch_at is not None:
            jobs.enqueue(connection, [jobs.JobRequest(states.Kind.SETTLE, run.id, now, None, refetch_at)])
    jobs.complete(connection, claim)


def _store_details(
    connection: Connection, claim: jobs.Claim, details: UpstreamDetails, now: datetime
) -> runs.Run | None:
    """Store the details and their ledger entries; return None where an earlier claim did."""
    run = runs.lock(connection, claim.run_id)
    if run.status is not states.ACCEPTED:
        return None
    index.requeue(connection, run.seq, now)
    runs.update(connection, RUNS.c.id == run.id, declare.row(RUNS, details))
    entries.append(connection, _entries(run, details, now))
    return runs.find(connection, run.id)


def _entries(run: runs.Run, details: UpstreamDetails, now: datetime) -> list[entries.Entry]:
    facts = {
        "origin": run.origin.value,
        "agentId": details.agent_id,
        "model": details.model,
        "submittedBy": run.submitted_by,
        "acceptedAt": endings.ledger_value(run.accepted_at),
    }
    digests = merkle.salted_digest("prompt", details.prompt) + merkle.salted_digest("guidance", details.guidance)
    return [
        entries.Entry(entries.Kind.RUN_ACCEPTED, now, run.id, details.actor, facts, digests),
        entries.Entry(entries.Kind.RUN_CREATED, now, run.id, "upstream", {"upstreamId": run.upstream_id}),
    ]


def record_watcher(connection: Connection, claim: jobs.Claim, watched: bool, fetch_at: datetime | None) -> None:
    """Record whether the upstream took our callback address for the run.

    With `fetch_at` the run is settled then, since it may have ended before its watcher was registered.
    """
    if fetch_at is not None:
        trigger = claim.trigger or states.Source.REQUEST
        jobs.enqueue(connection, [jobs.JobRequest(states.Kind.SETTLE, claim.run_id, fetch_at, trigger)])
    if watched:
        runs.update(connection, RUNS.c.id == claim.run_id, {"watched": True})
    jobs.complete(connection, claim)


@dataclass(frozen=True, slots=True)
class BackfillPage:
    """A page of a backfill: the matching runs, and where the walk continues; `finished_at` after the last."""

    found: Sequence[Adoption]
    cursor: str | None
    finished_at: datetime | None


def adopt_page(connection: Connection, walk: backfills.Walk, page: BackfillPage) -> backfills.Walk:
    """Adopt the new runs of the page and move the walk, in one transaction. Known runs are skipped."""
    found = sorted(page.found, key=lambda each: each.upstream_id)
    new = sum(is_new for _, is_new in (adopt(connection, each) for each in found))
    seen, taken = walk.seen + len(found), walk.taken + new
    moved = replace(walk, cursor=page.cursor, seen=seen, taken=taken, finished_at=page.finished_at)
    return backfills.save_progress(connection, moved)
