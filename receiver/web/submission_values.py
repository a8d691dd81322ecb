"""A checked body of a submission as the value that storage takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from receiver import errors
from receiver.schemas import bodies
from receiver.web import authentication
from storage import ids, merkle
from storage.repositories import runs
from storage.transitions import submitting


def submission(
    body: bodies.Submission, caller: authentication.Caller, now: datetime, expected_by: datetime, key: str | None
) -> runs.Submission:
    """Return what a caller submits at `now`, with a new id; `key` is the idempotency key."""
    return runs.Submission(
        id=ids.new(now),
        accepted_at=now,
        expected_by=expected_by,
        submitted_by=caller.name,
        actor=caller.actor,
        agent_id=body.agent_id,
        prompt=body.prompt,
        guidance=body.guidance,
        instructions=body.instructions,
        model=body.model,
        object_ids=None if body.object_ids is None else tuple(body.object_ids),
        tags=body.tags or {},
        idempotency_key=key,
        request_sha256=_digest(body),
    )


def again(
    run_id: str,
    changes: Mapping[str, object],
    caller: authentication.Caller,
    now: datetime,
    expected_by: datetime,
    key: str | None,
) -> submitting.Again:
    """Return a caller's request to run a run again with changes, with a new id; `key` is the idempotency key."""
    return submitting.Again(run_id, ids.new(now), now, expected_by, caller.name, caller.actor, changes, key)


def require_same(done: submitting.Submitted | None) -> submitting.Submitted:
    """Return a submission. Raises NotFound for None, the answer about an unknown run, and IdempotencyKeyReused."""
    if done is None:
        raise errors.NotFound("there is no run with that id")
    if not done.is_same:
        raise errors.IdempotencyKeyReused(done.run.id, pruned=done.run.pruned_at is not None)
    return done


def _digest(body: bodies.Submission) -> str:
    """Return the SHA-256 of the parsed content, which is equal for equal submissions whatever their spelling."""
    content = body.model_dump(exclude_none=True)
    if not body.tags:
        content.pop("tags", None)
    return hashlib.sha256(merkle.canonical(content)).hexdigest()
