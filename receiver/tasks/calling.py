"""One call that creates an agent and a run and starts it: not made again unless it is known to have done nothing.

A lost answer cannot be told from a lost request. So the call is marked before it is sent, and whoever finds the
mark looks the run up in the list, for as long as it may still show up there; then the submission ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from receiver import backoff, errors
from receiver.tasks import failing, looking, reclaiming, watching
from receiver.tasks.context import Context
from storage import house, jobs, runs, states, transitions

#: What a submission ends with whose call was lost.
LOST = (
    "the answer to the call that starts it was lost, and no upstream run was found that is certainly its own; "
    "it may have been executed once, or not at all: submit it again if that is harmless"
)
#: Statuses of the 4xx that may come after the work was done.
_UNCERTAIN = frozenset({408, 409})


async def call(context: Context, claim: jobs.Claim, run: runs.Run) -> str | None:
    """Creates and starts the run, commits it, registers the watcher; None where nothing is left to start.

    The upstream id where the run was found, and not seen running.
    """
    if run.upstream_id is None:
        if not await _acquire(context, claim, run):
            return None
        run = await _again(context, run)
    if run.status is states.RUNNING and run.upstream_id is not None:
        await watching.watch(context, claim, run, run.upstream_id)
        return None
    return run.upstream_id


async def _again(context: Context, run: runs.Run) -> runs.Run:
    found = await context.database.read(runs.find, run.id)
    assert found is not None, "runs are never deleted"
    return found


async def _acquire(context: Context, claim: jobs.Claim, run: runs.Run) -> bool:
    """Whether an upstream run is committed for the submission; if not, the job is over or comes due again."""
    if run.stray_since is None:
        return await _send(context, claim, run)
    found = await looking.recall(context, run)
    if found is None:
        if await reclaiming.given_up(context, claim, run):
            return False
        await _wait(context, claim, run.stray_since)
        return False
    made = transitions.Created(found.id, found.created_at, watched=False, agent_id=found.agent_id)
    if found.status is states.RUNNING:
        return await _called(context, claim, run, made, "details")
    return await _kept(context, claim, run, made, await _created(context, claim, made))


async def _send(context: Context, claim: jobs.Claim, run: runs.Run) -> bool:
    """Makes the call once, after it is marked as being made.

    While there is trouble the list is asked before: an outage that answers the call might cost the run.
    """
    if (await context.database.read(house.read)).pause_streak > 0:
        await context.upstream.list(limit=1)
    if not await context.database.write(transitions.calling, claim, context.clock()):
        await context.database.write(jobs.again, claim, context.clock())
        return False
    try:
        made = await context.upstream.execute_ad_hoc(
            instructions=run.instructions or "",
            prompt=run.prompt or "",
            guidance=run.guidance,
            model=run.model,
            object_ids=run.object_ids,
        )
    except errors.UpstreamError as failure:
        if not did_nothing(failure):
            raise
        await context.database.write(transitions.uncalled, claim)
        if not await _is_refusal(context, failure):
            raise
        await context.database.write(transitions.refuse, claim, failure.message, context.clock())
        return False
    created = transitions.Created(made.id, None, watched=False, agent_id=made.agent_id)
    return await _called(context, claim, run, created, "execute")


def did_nothing(failure: errors.UpstreamError) -> bool:
    """Whether the failure shows that the call was turned away before any work: a 5xx does not."""
    if isinstance(failure, errors.Answered):
        return 400 <= failure.status < 500 and failure.status not in _UNCERTAIN
    return isinstance(failure, errors.NotSent)


async def _is_refusal(context: Context, failure: errors.UpstreamError) -> bool:
    is_no = isinstance(failure, errors.Answered) and failure.status in failing.REFUSALS
    return is_no and await failing.list_answers(context)


async def _called(context: Context, claim: jobs.Claim, run: runs.Run, made: transitions.Created, via: str) -> bool:
    now = context.clock()
    expected_by = now + timedelta(seconds=context.timing.hard_limit + context.timing.overdue)
    linked = await context.database.write(transitions.called, claim, made, via, now, expected_by)
    return await _kept(context, claim, run, made, linked)


async def _created(context: Context, claim: jobs.Claim, made: transitions.Created) -> transitions.Linked:
    return await context.database.write(transitions.created, claim, made, context.clock())


async def _kept(
    context: Context, claim: jobs.Claim, run: runs.Run, made: transitions.Created, linked: transitions.Linked
) -> bool:
    if linked is transitions.Linked.RUN:
        return True
    await failing.not_ours(context, claim, run, made.upstream_id, linked)
    return False


async def _wait(context: Context, claim: jobs.Claim, since: datetime) -> None:
    """The run may still show up. Once it no longer can, the submission ends: nobody knows if it was executed."""
    now, timing = context.clock(), context.timing
    until = since + timedelta(seconds=timing.stray)
    if now >= until:
        await context.database.write(transitions.refuse, claim, LOST, now, failing.OURSELVES)
        return
    due_at = min(until, now + backoff.after_failure(timing, claim.failures))
    error = "the answer to the call that starts it was lost; its run is looked for"
    await context.database.write(jobs.failed, claim, due_at, error=error, now=now)
