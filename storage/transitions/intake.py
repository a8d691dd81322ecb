"""What callers ask of us: submit a run, cancel it, fetch it again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_

from storage import jobs, ledger, merkle, runs, search, states
from storage.tables import RUNS
from storage.transitions import endings


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run that stands for a submission. Where it is not new, `is_same` says whether it asked for the same."""

    run: runs.Run
    is_new: bool
    is_same: bool


def submit(connection: Connection, submission: runs.Submission) -> Submitted:
    """Accepts a run: its row, the job that starts it, the entry that says so, the expectation that it ends."""
    seq = runs.insert(connection, _row(submission))
    if seq is None:
        return _known(connection, submission)
    runs.tag(connection, seq, submission.id, submission.tags)
    search.enqueue(connection, seq, submission.accepted_at)
    jobs.wish(connection, [_start(submission)])
    ledger.append(connection, [_accepted(submission)])
    return Submitted(_found(connection, submission.id), is_new=True, is_same=True)


def _row(submission: runs.Submission) -> dict[str, object]:
    ids = submission.object_ids
    return {
        "id": submission.id,
        "origin": states.Origin.SUBMITTED.value,
        "status": states.ACCEPTED.value,
        "agent_id": submission.agent_id,
        "prompt": submission.prompt,
        "guidance": submission.guidance,
        "instructions": submission.instructions,
        "model": submission.model,
        "object_ids": None if ids is None else list(ids),
        "submitted_by": submission.submitted_by,
        "idempotency_key": submission.idempotency_key,
        "request_sha256": submission.request_sha256,
        "accepted_at": submission.accepted_at,
        "expected_by": submission.expected_by,
    }


def _start(submission: runs.Submission) -> jobs.Wish:
    return jobs.Wish(states.Kind.START, submission.id, submission.accepted_at, states.Road.REQUEST)


def _accepted(submission: runs.Submission) -> ledger.Entry:
    ids, guidance, instructions = submission.object_ids, submission.guidance, submission.instructions
    return ledger.Entry(
        ledger.Kind.RUN_ACCEPTED,
        submission.accepted_at,
        submission.id,
        submission.actor,
        {
            "origin": states.Origin.SUBMITTED.value,
            "agentId": submission.agent_id,
            "model": submission.model,
            "submittedBy": submission.submitted_by,
        },
        (
            *merkle.seal("prompt", submission.prompt.encode()),
            *merkle.seal("guidance", None if guidance is None else guidance.encode()),
            *merkle.seal("instructions", None if instructions is None else instructions.encode()),
            *merkle.seal("objectIds", None if ids is None else merkle.canonical(list(ids))),
            *merkle.seal("tags", merkle.canonical(dict(submission.tags)) if submission.tags else None),
        ),
    )


def _known(connection: Connection, submission: runs.Submission) -> Submitted:
    """A constraint knew it: either our own row of an earlier try, or an idempotency key that was used before."""
    held = runs.find(connection, submission.id)
    if held is not None:
        return Submitted(held, is_new=True, is_same=True)
    held = runs.find_keyed(connection, submission.submitted_by, submission.idempotency_key or "")
    assert held is not None, "only these two constraints can turn a submission away"
    return Submitted(held, is_new=False, is_same=held.request_sha256 == submission.request_sha256)


def _found(connection: Connection, run_id: str) -> runs.Run:
    found = runs.find(connection, run_id)
    assert found is not None
    return found


def request_cancel(connection: Connection, run_id: str, by: str, now: datetime) -> runs.Run | None:
    """Notes the wish. A run that the upstream does not know yet ends here and now; for any other a job asks.

    Nor does one here that is marked as restored: whether the upstream knows it is not known.

    The answer is the run as it then stands; None where there is none. A terminal run stays as it is, and so does
    one that is named by the upstream id of an orphan.
    """
    run = runs.hold(connection, run_id)
    if run is None or run.is_terminal or not run.is_named(run_id):
        return run
    if runs.change(connection, _unwished(run.id), {"cancel_requested_at": now}):
        wished = ledger.Entry(ledger.Kind.RUN_CANCEL_REQUESTED, now, run.id, by, {"by": by})
        ledger.append(connection, [wished])
    if run.upstream_id is None and run.restored_at is not None:
        # It may be running: its start job looks for it, and then cancels it there or here.
        jobs.wish(connection, [jobs.Wish(states.Kind.START, run.id, now, states.Road.REQUEST)])
    elif run.upstream_id is not None or not _cancel_here(connection, run.id, by, now):
        jobs.wish(connection, [jobs.Wish(states.Kind.CANCEL, run.id, now, states.Road.REQUEST)])
    return runs.find(connection, run.id)


def _unwished(run_id: str) -> ColumnElement[bool]:
    return and_(RUNS.c.id == run_id, RUNS.c.cancel_requested_at.is_(None))


def _cancel_here(connection: Connection, run_id: str, by: str, now: datetime) -> bool:
    """Accepted to cancelled without the upstream. A create that is under way will find its guard gone.

    False where a create was committed since the run was read.
    """
    end = endings.End(states.CANCELLED, now, states.Road.REQUEST, by)
    if not endings.end_unknown(connection, run_id, end):
        return False
    endings.append(connection, run_id, end)
    return True


def request_refresh(connection: Connection, run_id: str, now: datetime) -> runs.Run | None:
    """Wishes that the upstream be asked now, also for a run that is settled. None where there is no such run.

    One that was pruned stays so: what was removed does not come back. One that is named by the upstream id of an
    orphan stays as it is.
    """
    run = runs.hold(connection, run_id)
    if run is None or run.upstream_id is None or run.pruned_at is not None or not run.is_named(run_id):
        return run
    runs.change(connection, RUNS.c.id == run.id, {"refresh_requested_at": now})
    jobs.wish(connection, [jobs.Wish(states.Kind.SETTLE, run.id, now, states.Road.REQUEST)])
    return runs.find(connection, run.id)
