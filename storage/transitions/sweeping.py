"""What the list route shows, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_

from storage import house, jobs, links, runs, states, unknown
from storage.tables import RUNS
from storage.transitions import settling


@dataclass(frozen=True, slots=True)
class Seen:
    """A line of the upstream's list."""

    upstream_id: str
    status: states.Status
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """What a page told: how many runs of ours were shown ended, and which ids are not ours."""

    ended: int
    strangers: frozenset[str]


def observe(connection: Connection, seen: Sequence[Seen], now: datetime) -> Swept:
    """Runs of ours that are shown ended get their settle; live ones are noted as seen and follow forward.

    One that should have ended long ago gets a settle too: lists may be stale. A settle that is there keeps its
    back-off. Runs that another job is about to introduce are passed over.
    """
    known = links.known(connection, [each.upstream_id for each in seen])
    held = runs.find_many(connection, sorted(set(known.values())))
    shown = sorted(seen, key=lambda each: each.upstream_id)
    pairs = [(held[known[each.upstream_id]], each) for each in shown if known.get(each.upstream_id) in held]
    ours = [(run, each) for run, each in pairs if _is_about(run, each)]
    ended = [run for run, each in ours if each.status in states.TERMINAL]
    late = [run for run, _ in ours if run not in ended and run.expected_by is not None and run.expected_by < now]
    jobs.wish(connection, [_settle(run.id, now) for run in (*ended, *late)])
    runs.change(connection, RUNS.c.id.in_([run.id for run, _ in ours]), {"asked_at": now})
    for run, each in ours:
        if run not in ended and (run.status != each.status or run.missing_since is not None):
            settling.alive(connection, run.id, each.status, each.started_at, now, "sweep")
    return Swept(len(ended), frozenset(each.upstream_id for each in seen if each.upstream_id not in known))


def _is_about(run: runs.Run, seen: Seen) -> bool:
    """Whether a line of the list is news of a run that is ours to follow, not of an orphan of it."""
    return not run.is_terminal and run.status is not states.ACCEPTED and run.upstream_id == seen.upstream_id


def _settle(run_id: str, now: datetime) -> jobs.Wish:
    return jobs.Wish(states.Kind.SETTLE, run_id, now, states.Road.SWEEP, hurry=False)


def ask_alone(connection: Connection, run_id: str, now: datetime) -> None:
    """The light route gave no answer for this run: its own settle finds out why, with its own back-off."""
    runs.change(connection, RUNS.c.id == run_id, {"asked_at": now})
    jobs.wish(connection, [_settle(run_id, now)])


def swept(
    connection: Connection,
    claim: jobs.Claim,
    started: datetime,
    due_at: datetime,
    *,
    whole: bool,
    stray_before: datetime,
    cut: house.Cut | None = None,
    error: str | None = None,
) -> None:
    """A pass is over and comes due again. Only one that saw the `whole` list proves that no stray is left.

    After a day a stray is given up: it is queued upstream and will never be executed. `cut` is where the next
    one goes on; `error` says why this one could not see all that it should have.
    """
    jobs.hold(connection, claim)
    house.leave_sweep(connection, cut)
    if whole:
        house.swept(connection, started)
    given_up = stray_before if whole else started - timedelta(days=1)
    # One that is still accepted is looked for by its own start job, which gives up by itself.
    over = and_(RUNS.c.stray_since < given_up, RUNS.c.status != states.ACCEPTED.value)
    runs.change(connection, over, {"stray_since": None})
    if error is None:
        jobs.again(connection, claim, due_at)
    else:
        jobs.failed(connection, claim, due_at, error=error, now=started, counted=False)


def note_unknown(connection: Connection, upstream_ids: Sequence[str], now: datetime, ask_at: datetime) -> None:
    """These are queued and not ours: they are asked about until they run, and may become ours then."""
    unknown.note(connection, upstream_ids, now, ask_at)


def due_unknown(connection: Connection, now: datetime, limit: int) -> list[unknown.Unknown]:
    """Those to be asked about now. What has become ours meanwhile is none of them any more."""
    found = unknown.due(connection, now, limit)
    ours = links.known(connection, [each.upstream_id for each in found])
    if ours:
        unknown.forget(connection, sorted(ours))
    return [each for each in found if each.upstream_id not in ours]
