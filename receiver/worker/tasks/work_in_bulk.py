"""Carry out bulk actions, part by part. Nothing is asked upstream: each run's own jobs do that."""

from __future__ import annotations

from collections.abc import Sequence

from receiver.worker import isolation
from receiver.worker.context import Context
from storage.actions import bulk, bulk_parts
from storage.repositories import jobs


async def work(context: Context, claim: jobs.Claim) -> None:
    """Do parts of the open actions in turn until none is open. After a kill it continues there."""
    while (action := await context.database.read(bulk.next_open)) is not None:
        limit = bulk_parts.RUNS_AT_ONCE[action.action]
        found = await isolation.attempt(context.database.read(bulk.next_seqs, action, limit))
        if isinstance(found, Exception):
            await context.database.write(bulk_parts.give_up, claim, action, _reason(found), context.clock())
        else:
            await _work_on(context, claim, action, found)
    await context.database.write(jobs.complete, claim)


async def _work_on(context: Context, claim: jobs.Claim, action: bulk.Action, seqs: Sequence[int]) -> None:
    """Do one part, or its first half where a run in it fails; a run that fails alone is left out."""
    now = context.clock()
    part = context.database.write(bulk_parts.handle_part, claim, action, seqs, now, context.timing.overdue_at(now))
    outcome = await isolation.attempt(part)
    if not isinstance(outcome, Exception):
        return
    if not seqs:  # there is nothing to leave out
        raise outcome
    if len(seqs) == 1:
        context.telemetry.log.error("bulk_run_skipped", bulk_id=action.id, exc_info=outcome)
        await context.database.write(bulk_parts.skip, claim, action, seqs, _reason(outcome), now)
        return
    await _work_on(context, claim, action, seqs[: len(seqs) // 2])


def _reason(failure: Exception) -> str:
    """Return the kind of a failure: its message may hold values of a row."""
    return f"the store cannot do this: {type(failure).__name__}"
