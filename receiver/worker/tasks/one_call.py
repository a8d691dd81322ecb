"""Start a run by the upstream's one call, which creates an agent and a run and starts it.

The call is repeated only where it certainly did nothing. A lost answer looks like a lost request, so the call is
marked before it is sent. A later claim that finds the mark looks for the run in the list, for as long as it may
still appear there; then the submission ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from receiver import errors, timeouts
from receiver.worker.context import Context
from receiver.worker.tasks import failures, find_lost_create, recover_after_restore, register_watcher
from storage import states
from storage.repositories import jobs, runs, system_state
from storage.transitions import starting

#: The reason of a submission that ends because its call was lost.
LOST = (
    "the answer to the call that starts it was lost, and no upstream run was found that is certainly its own; "
    "it may have been executed once, or not at all: submit it again if that is harmless"
)
#: 4xx statuses that may be sent after the upstream has done the work.
_UNCERTAIN = frozenset({408, 409})


async def call(context: Context, claim: jobs.Claim, run: runs.Run) -> str | None:
    """Create and start the run, commit it, and register the watcher.

    Return the upstream id of a run that was found and is not running yet; None where nothing is left to start.
    """
    if run.upstream_id is None:
        if not await _acquire(context, claim, run):
            return None
        found = await context.database.read(runs.find, run.id)
        assert found is not None, "runs are never deleted"
        run = found
    if run.status is states.RUNNING and run.upstream_id is not None:
        await register_watcher.register(context, claim, run, run.upstream_id)
        return None
    return run.upstream_id


async def _acquire(context: Context, claim: jobs.Claim, run: runs.Run) -> bool:
    """Return whether an upstream run is committed for the submission; if not, the job is over or rescheduled."""
    if run.lost_create_since is None:
        return await _send(context, claim, run)
    found = await find_lost_create.find_one_call(context, run)
    if found is None:
        if await recover_after_restore.cancel_if_requested(context, claim, run):
            return False
        await _wait(context, claim, run.lost_create_since)
        return False
    made = starting.CreatedRun(found.id, found.measures.created_at, watched=False, agent_id=found.agent_id)
    if found.status is states.RUNNING:
        return await _called(context, claim, run, made, "details")
    linked = await context.database.write(starting.record_created, claim, made, context.clock())
    return await failures.check_link(context, claim, run, found.id, linked)


async def _send(context: Context, claim: jobs.Claim, run: runs.Run) -> bool:
    """Mark the call, then make it once.

    During a pause the list is asked first: an outage that answers the marked call might cost the run.
    """
    if (await context.database.read(system_state.read)).pause_streak > 0:
        await context.upstream.list(limit=1)
    if not await context.database.write(starting.mark_call, claim, context.clock()):
        await context.database.write(jobs.reschedule, claim, context.clock())
        return False
    try:
        made = await context.upstream.execute_ad_hoc(run)
    except errors.UpstreamError as failure:
        if not did_nothing(failure):
            raise
        await context.database.write(starting.unmark_call, claim)
        if not await failures.is_refusal(context, failure):
            raise
        await context.database.write(starting.refuse, claim, failure.message, context.clock())
        return False
    created = starting.CreatedRun(made.id, None, watched=False, agent_id=made.agent_id)
    return await _called(context, claim, run, created, "execute")


def did_nothing(failure: errors.UpstreamError) -> bool:
    """Return whether the failure shows that the call was rejected before any work; a 5xx does not show that."""
    is_rejected = failure.status in range(400, 500) and failure.status not in _UNCERTAIN
    return is_rejected or isinstance(failure, errors.RequestNotSent)


async def _called(context: Context, claim: jobs.Claim, run: runs.Run, made: starting.CreatedRun, via: str) -> bool:
    now = context.clock()
    overdue_at = context.timing.overdue_at(now)
    linked = await context.database.write(starting.record_call, claim, made, via, now, overdue_at)
    return await failures.check_link(context, claim, run, made.upstream_id, linked)


async def _wait(context: Context, claim: jobs.Claim, since: datetime) -> None:
    """Reschedule the search for the run; refuse the submission once the run can no longer appear."""
    now, timing = context.clock(), context.timing
    until = since + timedelta(seconds=timing.lost_create)
    if now >= until:
        await context.database.write(starting.refuse, claim, LOST, now, failures.RUNLEDGER)
        return
    due_at = min(until, now + timeouts.after_failure(timing, claim.failures))
    error = "the answer to the call that starts it was lost; its run is searched for"
    await context.database.write(jobs.fail, claim, due_at, error=error, now=now)
