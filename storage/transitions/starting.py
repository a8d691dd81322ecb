"""From accepted to running: what is committed around create and exec, the two calls that must not be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from sqlalchemy import Connection, and_, case, literal, or_

from storage import deliveries, jobs, ledger, links, merkle, runs, states
from storage.columns import instant
from storage.tables import RUNS
from storage.transitions import endings


class Linked(Enum):
    """What became of an upstream run that was created or found for a submission."""

    RUN = auto()  # it is the run that we execute
    TAKEN = auto()  # it belongs to another submission that is equal
    ORPHAN = auto()  # the submission ended or has another one: it is to be cancelled upstream


@dataclass(frozen=True, slots=True)
class Created:
    """An upstream run for a submission. `watched`: it was created with our callback address.

    `agent_id` is that of an agent which was made for this run alone.
    """

    upstream_id: str
    created_at: datetime | None
    watched: bool
    agent_id: str | None = None


def created(connection: Connection, claim: jobs.Claim, made: Created, now: datetime) -> Linked:
    """Commits the upstream id, before anything may be executed under it.

    Where the guard fails (cancelled meanwhile, another upstream id, the lease lost) the upstream run is
    committed as an orphan, with the job that cancels it. Raises Fenced where a later claim has found this very
    run meanwhile: executing it is that one's business.
    """
    link = links.insert(connection, links.Link(made.upstream_id, claim.run_id, states.Role.RUN), now)
    if link.run_id != claim.run_id:
        return Linked.TAKEN
    if link.role is states.Role.ORPHAN:
        return Linked.ORPHAN
    if jobs.is_held(connection, claim) and _queued(connection, claim, made, now):
        facts: dict[str, ledger.Fact | None] = {"upstreamId": made.upstream_id, "agentId": made.agent_id}
        ledger.append(connection, [ledger.Entry(ledger.Kind.RUN_CREATED, now, claim.run_id, "worker", facts)])
        _claim_deliveries(connection, claim.run_id, made.upstream_id, now)
        return Linked.RUN
    if _has(connection, claim.run_id, made.upstream_id):
        jobs.hold(connection, claim)
        return Linked.RUN
    links.orphan(connection, made.upstream_id)
    _strayed(connection, claim.run_id, made.upstream_id, now)
    return Linked.ORPHAN


def _queued(connection: Connection, claim: jobs.Claim, made: Created, now: datetime) -> bool:
    unstarted = and_(
        RUNS.c.id == claim.run_id, RUNS.c.status == states.ACCEPTED.value, RUNS.c.upstream_id.is_(None)
    )
    values: dict[str, Any] = {
        "status": states.QUEUED.value,
        "upstream_id": made.upstream_id,
        "created_at": made.created_at,
        "watched": made.watched,
    }
    if made.agent_id is not None:
        values["agent_id"] = made.agent_id
    # An earlier create may have been answered into the void; of one call that does it all this was the answer.
    is_later = or_(literal(claim.fence > 1), RUNS.c.restored_at.is_not(None))
    astray = case((is_later, instant(now)), else_=RUNS.c.stray_since)
    values["stray_since"] = case((RUNS.c.instructions.is_(None), astray), else_=None)
    return runs.change(connection, unstarted, values)


def _has(connection: Connection, run_id: str, upstream_id: str) -> bool:
    run = runs.find(connection, run_id)
    return run is not None and run.upstream_id == upstream_id


def _claim_deliveries(connection: Connection, run_id: str, upstream_id: str, now: datetime) -> None:
    """Events may have named the run before we knew its id: they are its own now, and it is asked about."""
    roads = deliveries.claim_unlinked(connection, upstream_id, run_id)
    if roads:
        jobs.wish(connection, [jobs.Wish(states.Kind.SETTLE, run_id, now, roads[0])])


def orphan(connection: Connection, run_id: str, upstream_id: str, now: datetime) -> bool:
    """An upstream run turned out to be a stray of `run_id`; False where it is linked already."""
    link = links.Link(upstream_id, run_id, states.Role.ORPHAN)
    if upstream_id in links.known(connection, [upstream_id]) or links.insert(connection, link, now) != link:
        return False
    _strayed(connection, run_id, upstream_id, now)
    return True


def _strayed(connection: Connection, run_id: str, upstream_id: str, now: datetime) -> None:
    deliveries.claim_unlinked(connection, upstream_id, run_id)
    jobs.wish(connection, [jobs.Wish(states.Kind.ORPHAN, run_id, now)])
    fact = ledger.Entry(ledger.Kind.RUN_ORPHAN, now, run_id, "worker", {"upstreamId": upstream_id})
    ledger.append(connection, [fact])


def orphan_cancelled(connection: Connection, upstream_id: str, now: datetime) -> None:
    """The upstream says that an orphan will not run."""
    links.cancelled(connection, upstream_id, now)


def refuse(
    connection: Connection, claim: jobs.Claim, reason: str, now: datetime, source: str = "upstream"
) -> bool:
    """The upstream will not create, start or know this run, while it answers others: that is the end of it.

    `source` is who says so. Where an upstream run exists a job cancels it there. False where the run ended
    otherwise meanwhile.
    """
    jobs.hold(connection, claim)
    values = {"failure_reason": reason, "failure_source": source}
    digests = merkle.seal("failureReason", reason.encode())
    end = endings.End(states.REFUSED, now, claim.road or states.Road.REQUEST, "worker", values, digests)
    ended = endings.end(connection, claim.run_id, end)
    if ended:
        endings.append(connection, claim.run_id, end)
        run = runs.find(connection, claim.run_id)
        if run is not None and run.upstream_id is not None and run.origin is states.Origin.SUBMITTED:
            jobs.wish(connection, [jobs.Wish(states.Kind.CANCEL, run.id, now)])
        if run is not None and run.upstream_id is None and _may_be_astray(run, claim):
            runs.change(connection, RUNS.c.id == claim.run_id, {"stray_since": now})
    jobs.done(connection, claim)
    return ended


def _may_be_astray(run: runs.Run, claim: jobs.Claim) -> bool:
    if run.instructions is not None:
        return run.stray_since is not None
    return claim.fence > 1 or run.restored_at is not None


def started(connection: Connection, claim: jobs.Claim, via: str, now: datetime, expected_by: datetime) -> None:
    """The upstream runs it. Late news (it has ended meanwhile) change nothing.

    A wish to cancel that came around exec gets its job here, so that it cannot fall between the two.
    """
    jobs.hold(connection, claim)
    begin(connection, claim.run_id, via, now, expected_by)
    jobs.done(connection, claim)


def begin(connection: Connection, run_id: str, via: str, now: datetime, expected_by: datetime) -> None:
    """The same for who still needs the job."""
    values = {"started_at": now, "expected_by": expected_by}
    if runs.move(connection, run_id, states.RUNNING, values):
        ledger.append(connection, [ledger.Entry(ledger.Kind.RUN_STARTED, now, run_id, "worker", {"via": via})])
    run = runs.find(connection, run_id)
    if run is not None and run.cancel_requested_at is not None and not run.is_terminal:
        jobs.wish(connection, [jobs.Wish(states.Kind.CANCEL, run.id, now, states.Road.REQUEST)])


def leave_to_cancel(connection: Connection, claim: jobs.Claim, now: datetime) -> None:
    """The run is not to be executed: a wish to cancel stands, and the job that carries it out."""
    run = runs.find(connection, claim.run_id)
    if run is not None and not run.is_terminal:
        jobs.wish(connection, [jobs.Wish(states.Kind.CANCEL, run.id, now, states.Road.REQUEST)])
    jobs.done(connection, claim)


def ask_for_end(connection: Connection, claim: jobs.Claim, now: datetime) -> None:
    """The run has ended or is about to: how is asked of the upstream, which alone knows."""
    run = runs.find(connection, claim.run_id)
    if run is not None and not run.is_terminal:
        jobs.wish(connection, [jobs.Wish(states.Kind.SETTLE, run.id, now, states.Road.REQUEST)])
    jobs.done(connection, claim)
