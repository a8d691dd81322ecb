"""Runs that were created elsewhere and become ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_

from storage import deliveries, jobs, ledger, links, merkle, notifications, rollups, runs, search, states
from storage.tables import RUNS
from storage.transitions import settling


@dataclass(frozen=True, slots=True)
class Adopted:
    """The wish to take care of a run that exists upstream. `id` is ours, minted before the door.

    `expected_by` is None for one that has ended. `actor` is who has a refused one opened again.
    """

    id: str
    upstream_id: str
    submitted_by: str
    road: states.Road
    at: datetime
    expected_by: datetime | None
    actor: str = "worker"


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What the upstream shows of an adopted run. Texts are cut to what a ledger entry takes."""

    agent_id: str | None
    prompt: str | None
    guidance: str | None
    model: str | None
    created_at: datetime | None
    started_at: datetime | None
    actor: str


def adopt(connection: Connection, adopted: Adopted) -> tuple[runs.Run, bool]:
    """Commits the run as accepted under its upstream id, with the job that makes its acquaintance.

    A known id answers its record; one whose adoption was refused is open again. The second value says whether
    there is something to be found out, since it is new or open again.
    """
    link = links.insert(connection, links.Link(adopted.upstream_id, adopted.id, states.Role.RUN), adopted.at)
    is_new = link.run_id == adopted.id
    if is_new and runs.insert(connection, _row(adopted)) is not None:
        jobs.wish(connection, [jobs.Wish(states.Kind.ADOPT, adopted.id, adopted.at, adopted.road)])
        deliveries.claim_unlinked(connection, adopted.upstream_id, adopted.id)
    run = runs.hold(connection, link.run_id)
    assert run is not None, "a link names a run that is there"
    if link.role is states.Role.RUN and run.may_reopen:
        return _reopen(connection, run, adopted), True
    return run, is_new


def _reopen(connection: Connection, run: runs.Run, adopted: Adopted) -> runs.Run:
    """A refused adoption is accepted again, as though it had not ended: see states.REOPENED.

    Its end is counted no more, and what the backend was told of it makes room for what it is told of the next one.
    """
    before = rollups.look(connection, run.id)
    search.touch(connection, run.seq, adopted.at)
    which = and_(RUNS.c.id == run.id, RUNS.c.status == states.REOPENED[0].value)
    runs.change(
        connection, which, {"status": states.REOPENED[1].value, "expected_by": adopted.expected_by} | _NO_END
    )
    for kind in (states.Kind.NOTIFY, states.Kind.CAPTURE):
        jobs.withdraw(connection, kind, run.id)
    notifications.forget(connection, run.id)
    jobs.wish(connection, [jobs.Wish(states.Kind.ADOPT, run.id, adopted.at, adopted.road)])
    facts: dict[str, ledger.Fact | None] = {"upstreamId": run.upstream_id, "road": adopted.road.value}
    entry = ledger.Entry(ledger.Kind.RUN_REOPENED, adopted.at, run.id, adopted.actor, facts)
    ledger.append(connection, [entry])
    rollups.recount(connection, run.id, before)
    found = runs.find(connection, run.id)
    assert found is not None
    return found


#: What an end has left in the row.
_NO_END = dict.fromkeys(
    (
        "settled_at",
        "settled_by",
        "failure_reason",
        "failure_source",
        "missing_since",
        "refresh_requested_at",
        "captured_at",
        "capture_note",
    )
)


def take_back(connection: Connection, run_id: str, upstream_id: str, at: datetime) -> runs.Run | None:
    """A run that was submitted after the copy was made from which this store was restored is ours again.

    What it was submitted as is gone, so it is adopted, under the id that it had. None where one of the ids belongs
    to another run.
    """
    links.one_by_one(connection, [upstream_id])
    if upstream_id in links.known(connection, [upstream_id]):
        return None
    wish = Adopted(run_id, upstream_id, states.Submitter.RESTORED, states.Road.WATCHER, at, expected_by=None)
    if runs.insert(connection, _row(wish)) is None:
        return None
    links.insert(connection, links.Link(upstream_id, run_id, states.Role.RUN), at)
    jobs.wish(connection, [jobs.Wish(states.Kind.ADOPT, run_id, at, wish.road)])
    deliveries.claim_unlinked(connection, upstream_id, run_id)
    return runs.find(connection, run_id)


def _row(adopted: Adopted) -> dict[str, Any]:
    return {
        "id": adopted.id,
        "upstream_id": adopted.upstream_id,
        "origin": states.Origin.ADOPTED.value,
        "status": states.ACCEPTED.value,
        "submitted_by": adopted.submitted_by,
        "accepted_at": adopted.at,
        "expected_by": adopted.expected_by,
    }


def introduce(
    connection: Connection, claim: jobs.Claim, shown: Acquaintance, status: states.Status, now: datetime
) -> None:
    """A live run is ours from here on. The job goes on: a watcher is still to be registered."""
    jobs.hold(connection, claim)
    run = _introduce(connection, claim, shown, now)
    if run is not None:
        settling.alive(connection, run.id, status, shown.started_at, now, "adoption")


def introduce_ended(
    connection: Connection,
    claim: jobs.Claim,
    shown: Acquaintance,
    result: settling.Result,
    now: datetime,
    refetch_at: datetime | None,
) -> None:
    """A run that had ended before we knew it: acquaintance and settlement are one transaction."""
    jobs.hold(connection, claim)
    run = _introduce(connection, claim, shown, now)
    if run is not None:
        settling.settle(connection, run, result, claim.road or states.Road.SWEEP, now, now)
        if refetch_at is not None:
            jobs.wish(connection, [jobs.Wish(states.Kind.SETTLE, run.id, now, None, refetch_at)])
    jobs.done(connection, claim)


def _introduce(connection: Connection, claim: jobs.Claim, shown: Acquaintance, now: datetime) -> runs.Run | None:
    """Fills in what was asked, and writes it into the ledger; None where an earlier claim did so."""
    run = runs.hold(connection, claim.run_id)
    if run is None or run.status is not states.ACCEPTED:
        return None
    values = {
        "agent_id": shown.agent_id,
        "prompt": shown.prompt,
        "guidance": shown.guidance,
        "model": shown.model,
        "created_at": shown.created_at,
        "started_at": shown.started_at,
    }
    search.touch(connection, run.seq, now)
    runs.change(connection, RUNS.c.id == run.id, values)
    ledger.append(connection, _entries(run, shown, now))
    return runs.find(connection, run.id)


def _entries(run: runs.Run, shown: Acquaintance, now: datetime) -> list[ledger.Entry]:
    facts: dict[str, ledger.Fact | None] = {
        "origin": run.origin.value,
        "agentId": shown.agent_id,
        "model": shown.model,
        "submittedBy": run.submitted_by,
    }
    digests = (
        *merkle.seal("prompt", None if shown.prompt is None else shown.prompt.encode()),
        *merkle.seal("guidance", None if shown.guidance is None else shown.guidance.encode()),
    )
    created: dict[str, ledger.Fact | None] = {"upstreamId": run.upstream_id}
    return [
        ledger.Entry(ledger.Kind.RUN_ACCEPTED, now, run.id, shown.actor, facts, digests),
        ledger.Entry(ledger.Kind.RUN_CREATED, now, run.id, "upstream", created),
    ]


def watching(connection: Connection, claim: jobs.Claim, watched: bool, fetch_at: datetime | None) -> None:
    """The upstream took our callback address for the run, or would not.

    With `fetch_at` it is fetched then, since it may have ended before it was watched.
    """
    if fetch_at is not None:
        road = claim.road or states.Road.REQUEST
        jobs.wish(connection, [jobs.Wish(states.Kind.SETTLE, claim.run_id, fetch_at, road)])
    if watched:
        runs.change(connection, RUNS.c.id == claim.run_id, {"watched": True})
    jobs.done(connection, claim)
