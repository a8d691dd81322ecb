"""The requests of callers: submit a run, cancel it, run it again, fetch it again, change its tags."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_

from storage import bounds, errors, merkle, states
from storage.engine import database
from storage.ledger import entries
from storage.repositories import jobs, runs
from storage.search import index
from storage.tables import declare
from storage.tables.runs import RUNS
from storage.transitions import endings


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run of a submission. Where it is not new, `is_same` says whether the earlier request was the same."""

    run: runs.Run
    is_new: bool
    is_same: bool


@database.batch
def submit(connection: Connection, batch: Sequence[runs.Submission]) -> Mapping[str, Submitted]:
    """Accept runs: the row of each, its start job, its ledger entry, and the time by which it should end.

    Return what became of each submission by its id.
    """
    seqs = runs.insert_new(connection, [_row(each) for each in batch])
    new = [each for each in batch if each.id in seqs]
    runs.tag(connection, [(seqs[each.id], each.id, each.tags) for each in new])
    index.enqueue(connection, {seqs[each.id]: each.accepted_at for each in new})
    jobs.insert(connection, [_start(each) for each in new])
    entries.append(connection, [_accepted(each) for each in new])
    accepted = {each.id: Submitted(_run(each, seqs[each.id]), is_new=True, is_same=True) for each in new}
    return accepted | {each.id: _existing(connection, each) for each in batch if each.id not in seqs}


def _row(submission: runs.Submission) -> dict[str, object]:
    return declare.row(RUNS, submission) | {name: value.value for name, value in _NEW.items()}


def _run(submission: runs.Submission, seq: int) -> runs.Run:
    """Return the run of a submission, equal to the one that `runs.find` reads from its new row."""
    values: dict[str, Any] = {name: getattr(submission, name, None) for name in _COLUMNS}
    object_ids = None if submission.object_ids is None else list(submission.object_ids)
    values |= {**_NEW, "seq": seq, "object_ids": object_ids, "watched": False}
    values |= {"step_count": 0, "tags": {key: submission.tags[key] for key in sorted(submission.tags)}}
    return runs.Run(**values)


_NEW: Mapping[str, StrEnum] = {"origin": states.Origin.SUBMITTED, "status": states.ACCEPTED}
_COLUMNS = [each.name for each in fields(runs.Run)]


def _start(submission: runs.Submission) -> jobs.JobRequest:
    return jobs.JobRequest(states.Kind.START, submission.id, submission.accepted_at, states.Source.REQUEST)


def _accepted(submission: runs.Submission) -> entries.Entry:
    return entries.Entry(
        entries.Kind.RUN_ACCEPTED,
        submission.accepted_at,
        submission.id,
        submission.actor,
        {
            "origin": states.Origin.SUBMITTED.value,
            "agentId": submission.agent_id,
            "model": submission.model,
            "submittedBy": submission.submitted_by,
            "againOf": submission.again_of,
        },
        list(content_digests(submission)),
    )


def content_digests(run: runs.Submission | runs.Run) -> Iterator[merkle.Digest]:
    """Yield the digests of what was submitted, under new salts."""
    for name, text in {"prompt": run.prompt, "guidance": run.guidance, "instructions": run.instructions}.items():
        yield from merkle.salted_digest(name, text)
    ids = run.object_ids
    yield from merkle.salted_digest("objectIds", None if ids is None else merkle.canonical(list(ids)))
    yield from merkle.salted_digest("tags", merkle.canonical(dict(run.tags)) if run.tags else None)


def _existing(connection: Connection, submission: runs.Submission) -> Submitted:
    """Return the existing run: the row of an earlier try of this call, or one with the same idempotency key."""
    existing = runs.find(connection, submission.id)
    if existing is not None:
        return Submitted(existing, is_new=True, is_same=True)
    existing = runs.find_by_idempotency_key(connection, submission.submitted_by, submission.idempotency_key or "")
    assert existing is not None, "only these two constraints can reject a submission"
    return Submitted(existing, is_new=False, is_same=existing.request_sha256 == submission.request_sha256)


@dataclass(frozen=True, slots=True)
class Again:
    """A request to submit a run again. `id` is that of the new run; `changes` replaces columns, or its `tags`."""

    of: str
    id: str
    accepted_at: datetime
    expected_by: datetime
    submitted_by: str
    actor: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None


def run_again(connection: Connection, again: Again) -> Submitted | None:
    """Submit the content of a run again, with changes, as a new run that is linked to it.

    Return None where there is no such run. Raises NothingToRun for one without content.
    """
    run = runs.find(connection, again.of)
    if run is None:
        return None
    submission = _submission_again(run, again)
    return submit(connection, [submission])[submission.id]


def _submission_again(run: runs.Run, again: Again) -> runs.Submission:
    if run.pruned_at is not None:
        raise errors.NothingToRun(f"the content of run {run.id} was removed, so it cannot be run again")
    if run.prompt is None or (run.agent_id is None and run.instructions is None):
        raise errors.NothingToRun(f"the prompt or the agent of run {run.id} is unknown, so it cannot be run again")
    content = {"againOf": run.id, **again.changes}
    kept = {name: getattr(run, name) for name in _KEPT}
    given = {name: getattr(again, name) for name in _OF_REQUEST}
    return runs.Submission(
        **{**given, **kept, **again.changes},
        object_ids=None if run.object_ids is None else tuple(run.object_ids),
        request_sha256=hashlib.sha256(merkle.canonical(content)).hexdigest(),
        again_of=run.id,
    )


_KEPT = ("agent_id", "prompt", "guidance", "instructions", "model", "tags")
_OF_REQUEST = ("id", "accepted_at", "expected_by", "submitted_by", "actor", "idempotency_key")


def request_cancel(connection: Connection, run_id: str, by: str, now: datetime) -> runs.Run | None:
    """Record the request. A run that the upstream does not know yet ends at once; otherwise a job cancels it.

    A restored run does not end at once: whether the upstream knows it is unknown. Return the run afterwards; None
    where there is none. A terminal run stays unchanged, and so does one that is named by the id of an orphan.
    """
    run = lock_with_jobs(connection, run_id)
    if run is None or run.is_terminal or not run.is_named(run_id):
        return run
    if runs.update(connection, _not_cancelled_before(run.id), {"cancel_requested_at": now}):
        entry = entries.Entry(entries.Kind.RUN_CANCEL_REQUESTED, now, run.id, by, {"by": by})
        entries.append(connection, [entry])
    if run.upstream_id is None and run.restored_at is not None:
        # The run may be running: its start job looks for it, and then cancels it upstream or here.
        jobs.enqueue(connection, [jobs.JobRequest(states.Kind.START, run.id, now, states.Source.REQUEST)])
    elif run.upstream_id is not None or not _cancel_here(connection, run, by, now):
        jobs.enqueue(connection, [jobs.JobRequest(states.Kind.CANCEL, run.id, now, states.Source.REQUEST)])
    return runs.find(connection, run.id)


def lock_with_jobs(connection: Connection, either_id: str) -> runs.Run | None:
    """Lock the jobs of a run, and then the run, in the order in which a worker does; return the run, if any."""
    found = runs.find(connection, either_id)
    if found is None:
        return None
    jobs.lock_of_runs(connection, [found.id])
    return runs.get_for_update(connection, either_id)


def _not_cancelled_before(run_id: str) -> ColumnElement[bool]:
    return and_(RUNS.c.id == run_id, RUNS.c.cancel_requested_at.is_(None))


def _cancel_here(connection: Connection, run: runs.Run, by: str, now: datetime) -> bool:
    """Cancel an accepted run without the upstream. The guard of a create that is running then fails.

    Return False where a create was committed since the run was read.
    """
    end = endings.End(states.CANCELLED, now, states.Source.REQUEST, by)
    if not endings.end_before_create(connection, run, end):
        return False
    endings.finish(connection, run, end)
    return True


def request_refresh(connection: Connection, run_id: str, now: datetime) -> runs.Run | None:
    """Request a fetch now, also for a settled run. Return None where there is no such run.

    A pruned run stays pruned: removed content is not stored again. A run that is named by the id of an orphan
    stays unchanged.
    """
    run = lock_with_jobs(connection, run_id)
    if run is None or run.upstream_id is None or run.pruned_at is not None or not run.is_named(run_id):
        return run
    runs.update(connection, RUNS.c.id == run.id, {"refresh_requested_at": now})
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.SETTLE, run.id, now, states.Source.REQUEST)])
    return runs.find(connection, run.id)


def change_tags(
    connection: Connection,
    run_id: str,
    changes: Mapping[str, str | None],
    by: str,
    now: datetime,
    *,
    replaces: bool = False,
) -> runs.Run | None:
    """Set tags of a run and remove those whose value is None; with `replaces`, remove all others as well.

    Return the run afterwards; None where there is none. A run that is named by the id of an orphan stays
    unchanged, and tags that are there already leave no entry. Raises TooManyTags.
    """
    run = runs.get_for_update(connection, run_id)
    if run is None or not run.is_named(run_id):
        return run
    tags = {**({} if replaces else run.tags), **changes}
    kept = {key: value for key, value in sorted(tags.items()) if value is not None}
    if len(kept) > bounds.TAGS:
        raise errors.TooManyTags(f"the run would have {len(kept)} tags, more than {bounds.TAGS}")
    if kept == run.tags:
        return run
    runs.replace_tags(connection, run, kept)
    digests = merkle.salted_digest("tags", merkle.canonical(kept))
    entries.append(
        connection, [entries.Entry(entries.Kind.RUN_TAGGED, now, run.id, by, {"count": len(kept)}, digests)]
    )
    return replace(run, tags=kept)
