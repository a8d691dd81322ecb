"""What the upstream says of a run: that it lives, that it ended, that it is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func

from storage import documents, jobs, ledger, merkle, rollups, runs, search, states
from storage.columns import instant
from storage.tables import RUNS
from storage.transitions import endings

#: What a conflict says was reported of a settled run that the upstream does not know any more.
MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Measures:
    """The columns of a run that an answer fills. Durations in milliseconds, costs in micro-dollars.

    `model` is the one that ran; it is taken over where the submission named none.
    """

    model: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tool_calls: int | None = None
    cost_micros: int | None = None
    output: str | None = None
    summary: str | None = None
    failure_reason: str | None = None
    failure_source: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether result and usage were there."""
        return self.output is not None and self.cost_micros is not None


@dataclass(frozen=True, slots=True)
class Result:
    """A terminal answer, read and hashed: what is stored, and the digests of it.

    `roots` are those of its rows under their own salts, made beforehand since many rows take long.
    """

    status: states.Status
    measures: Measures
    steps: Sequence[documents.Step] = ()
    usage: Sequence[documents.Usage] = ()
    document: documents.Document | None = None
    digests: Sequence[merkle.Sealed] = ()
    roots: Sequence[merkle.Sealed] = ()

    @property
    def weight(self) -> int:
        """Bytes, roughly, for the bounds of a group; never nothing, since a document may be empty."""
        return 1024 + (self.document.size if self.document is not None else 0)

    @property
    def is_document(self) -> bool:
        """It waits in the queue of documents."""
        return True


def record(
    connection: Connection,
    claim: jobs.Claim,
    result: Result,
    now: datetime,
    refetch_at: datetime | None,
    began: datetime | None = None,
) -> bool:
    """Settles a run: row, steps, usage, document and the terminal entry; whether it was this call that did.

    A run that is terminal already takes the answer as a further version of its document; one that was refused
    does not, since it would be a record of a run that never started and has an output. With `refetch_at` the
    job stays and comes due then, since something was still missing. `began` is when the answer was asked for: a
    wish that came later is still to be fulfilled.
    """
    jobs.hold(connection, claim)
    run = runs.hold(connection, claim.run_id)
    assert run is not None, "runs are never deleted"
    road, began = claim.road or states.Road.SWEEP, began or now
    if _is_to_be_introduced(run):
        jobs.again(connection, claim, now)
        return False
    settled = settle(connection, run, result, road, now, began)
    if run.status is states.REFUSED:
        _contradict(connection, run, result.status.value, road, now, began)
    elif not settled and run.pruned_at is None:  # what was removed does not come back
        _amend(connection, run, result, road, now, began)
    elif not settled:
        _answered(connection, run, now, began)
    if refetch_at is None:
        jobs.done(connection, claim)
    else:
        jobs.again(connection, claim, refetch_at)
    return settled


def _is_to_be_introduced(run: runs.Run) -> bool:
    """Return whether an adoption was opened again while its details were fetched: its own job takes it over."""
    return run.status is states.ACCEPTED and run.origin is states.Origin.ADOPTED


def settle(
    connection: Connection, run: runs.Run, result: Result, road: states.Road, now: datetime, began: datetime
) -> bool:
    """The move into the terminal state with all that belongs to it; False where the run is in one already."""
    values = asdict(result.measures) | {"step_count": len(result.steps), "asked_at": now}
    for name in ("created_at", "started_at"):  # what the answer lacks is known from before
        values[name] = values[name] or getattr(run, name)
    values["model"] = run.model or result.measures.model  # what was asked for stands
    values["refresh_requested_at"] = _unanswered(run, began)
    end = endings.End(result.status, now, road, "upstream", values)
    if not endings.end(connection, run.id, end):
        return False
    stored = _store(connection, run, result)
    endings.append(connection, run.id, _told(end, stored))
    return True


def _unanswered(run: runs.Run, began: datetime) -> datetime | None:
    """The wish to fetch again, where it came after this fetch had begun."""
    wished = run.refresh_requested_at
    return wished if wished is not None and wished > began else None


def _amend(
    connection: Connection, run: runs.Run, result: Result, road: states.Road, now: datetime, began: datetime
) -> None:
    """A further version of a settled run's document: measures and texts follow it, the state never does."""
    stored = _store(connection, run, result)
    _answered(connection, run, now, began)
    is_news = stored is not None or result.document is None  # the same bytes were told when they first came
    if is_news and result.status != run.status:
        facts: dict[str, Any] = {"reported": result.status.value, "kept": run.status.value, "road": road.value}
        ledger.append(connection, [ledger.Entry(ledger.Kind.RUN_CONFLICT, now, run.id, "upstream", facts)])
    if stored is None:
        return
    # What an earlier version had and this one lacks is kept.
    values = {name: value for name, value in asdict(result.measures).items() if value is not None}
    values["step_count"] = len(result.steps) or run.step_count
    values["model"] = run.model or result.measures.model
    counted = rollups.look(connection, run.id)
    runs.change(connection, RUNS.c.id == run.id, values)
    held = {name: getattr(run, name) for name in (*endings.FACTS.values(), "settled_at")}
    end = endings.End(run.status, now, run.settled_by or road, "upstream", held | values)
    endings.append(connection, run.id, _told(end, stored), ledger.Kind.RUN_DOCUMENT)
    rollups.recount(connection, run.id, counted)


def contradicted(
    connection: Connection,
    claim: jobs.Claim,
    reported: str,
    now: datetime,
    refetch_at: datetime | None,
    began: datetime | None = None,
) -> None:
    """A settled run shows a live state, or is MISSING: what stands is kept, and the report is a conflict.

    `refetch_at` and `began` as for `record`.
    """
    jobs.hold(connection, claim)
    run = runs.hold(connection, claim.run_id)
    assert run is not None, "runs are never deleted"
    if run.is_terminal:  # else an adoption was opened again meanwhile
        _contradict(connection, run, reported, claim.road or states.Road.SWEEP, now, began or now)
    if refetch_at is None:
        jobs.done(connection, claim)
    else:
        jobs.again(connection, claim, refetch_at)


def _contradict(
    connection: Connection, run: runs.Run, reported: str, road: states.Road, now: datetime, began: datetime
) -> None:
    """The question is answered. What is reported again and again is one conflict; a refused run may be missing."""
    _answered(connection, run, now, began)
    facts: dict[str, Any] = {"reported": reported, "kept": run.status.value, "road": road.value}
    expected = (run.status.value, MISSING if run.status is states.REFUSED else None)
    if reported in expected or _is_told(connection, run.id, reported):
        return
    ledger.append(connection, [ledger.Entry(ledger.Kind.RUN_CONFLICT, now, run.id, "upstream", facts)])


def _answered(connection: Connection, run: runs.Run, now: datetime, began: datetime) -> None:
    """The upstream was asked about the run: a wish to do so that came before is fulfilled."""
    values = {"refresh_requested_at": _unanswered(run, began), "asked_at": now}
    runs.change(connection, RUNS.c.id == run.id, values)


def _is_told(connection: Connection, run_id: str, reported: str) -> bool:
    """Whether the last conflict of the run says the same."""
    last = ledger.last(connection, run_id, ledger.Kind.RUN_CONFLICT)
    return last is not None and last["facts"].get("reported") == reported


@dataclass(frozen=True, slots=True)
class _Stored:
    version: int
    digests: Sequence[merkle.Sealed]


def _store(connection: Connection, run: runs.Run, result: Result) -> _Stored | None:
    """Document, steps and usage. None where there is no document, or the same bytes are held already."""
    if result.document is None:
        return None
    version = documents.add(connection, run.id, result.document)
    if version is None:
        return None
    search.touch(connection, run.seq, result.document.fetched_at)
    digests = list(result.digests)
    if result.steps:
        steps = documents.store_steps(connection, run.seq, run.id, result.steps)
        digests += _root("steps", result, steps is result.steps) or documents.root("steps", steps)
    if result.usage:
        usage = documents.store(connection, run.seq, run.id, result.usage, documents.Usage)
        digests += _root("usage", result, usage is result.usage) or documents.root("usage", usage)
    return _Stored(version, digests)


def _root(name: str, result: Result, holds: bool) -> list[merkle.Sealed]:
    """The root that was made beforehand, where it still holds: no salt of a row that was there is kept."""
    return [each for each in result.roots if each.name == name] if holds else []


def _told(end: endings.End, stored: _Stored | None) -> endings.End:
    version, digests = (None, ()) if stored is None else (stored.version, stored.digests)
    return endings.End(end.status, end.at, end.road, end.actor, end.values, digests, version)


def seen_alive(
    connection: Connection,
    claim: jobs.Claim,
    shown: states.Status,
    started_at: datetime | None,
    now: datetime,
    due_at: datetime,
    began: datetime | None = None,
) -> None:
    """A fetch showed the run alive: it comes due again, and what was wished until it `began` is answered."""
    jobs.hold(connection, claim)
    run = runs.hold(connection, claim.run_id)
    if run is not None:
        _answered(connection, run, now, began or now)
    alive(connection, claim.run_id, shown, started_at, now, "status")
    jobs.again(connection, claim, due_at, alive=True)


def alive(
    connection: Connection, run_id: str, shown: states.Status, started_at: datetime | None, now: datetime, via: str
) -> None:
    """The upstream shows a live state: the run follows forward, never back, and is not missing."""
    runs.change(connection, RUNS.c.id == run_id, {"asked_at": now, "missing_since": None})  # and holds it
    begun = instant(started_at) if started_at else func.coalesce(RUNS.c.started_at, instant(now))
    values = {"started_at": begun} if shown is states.RUNNING else {}
    was_told = _is_lost_while_running(connection, run_id)
    if runs.move(connection, run_id, shown, values) and shown is states.RUNNING and not was_told:
        ledger.append(connection, [ledger.Entry(ledger.Kind.RUN_STARTED, now, run_id, "upstream", {"via": via})])


def _is_lost_while_running(connection: Connection, run_id: str) -> bool:
    """Whether this run, were it to turn up, would be one that was told as started before."""
    lost = runs.find(connection, run_id) if runs.status(connection, run_id) is states.LOST else None
    return lost is not None and lost.started_at is not None


def missing(
    connection: Connection, claim: jobs.Claim, now: datetime, due_at: datetime, error: str, *, lost: bool
) -> None:
    """The upstream does not know the run. `lost` is the verdict after a day of that; no end even then."""
    jobs.hold(connection, claim)
    known = and_(RUNS.c.id == claim.run_id, RUNS.c.missing_since.is_(None), RUNS.c.settled_at.is_(None))
    runs.change(connection, known, {"missing_since": now})
    runs.change(connection, RUNS.c.id == claim.run_id, {"asked_at": now})
    if lost and runs.move(connection, claim.run_id, states.LOST, {}):
        ledger.append(connection, [ledger.Entry(ledger.Kind.RUN_LOST, now, claim.run_id, "worker")])
    jobs.failed(connection, claim, due_at, error=error, now=now)
