"""What a failed call means: a pause for the whole house, or a back-off for the one job.

Faults of ours or of the network are never the run's fault. What the list route shows too concerns everybody;
where the list route answers, one bad run must not stop the house.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from receiver import backoff, errors
from receiver.tasks.context import Context
from storage import house, jobs, runs, transitions

#: Statuses that speak of the key, the bill or the limit, never of one run.
HOUSE_WIDE = frozenset({401, 402, 429})
SPENT = "the rate limit is spent"
#: Who says it, where a submission is ended by us.
OURSELVES = "runledger"
#: How often the upstream must say no to one run, over the time that `Timing.refuse` names.
TIMES = 3
#: What a single bad request gets. It means a refusal only while the list route answers.
REFUSALS = frozenset({400, 404, 413, 422})


async def failed(context: Context, claim: jobs.Claim, failure: errors.UpstreamError) -> None:
    """Frees the job after `failure`; sets the shared pause where everybody is concerned. Raises Fenced."""
    trouble = failure if concerns_all(failure) else await trouble_with_list(context)
    now = context.clock()  # taken after asking, which may have lasted
    if trouble is None:
        await back_off(context, claim, failure, now)
        await answered(context)
        return
    until = await pause(context, trouble, now)
    await context.database.write(jobs.failed, claim, until, error=str(failure), now=now, counted=False)


async def back_off(context: Context, claim: jobs.Claim, failure: errors.UpstreamError, now: datetime) -> None:
    """Frees the job after a failure that concerns it alone, to come due again later. Raises Fenced."""
    due_at = now + backoff.after_failure(context.timing, claim.failures)
    due_at = max(due_at, now + timedelta(seconds=_retry_after(failure)))
    await context.database.write(jobs.failed, claim, due_at, error=str(failure), now=now)


def is_refused_for_good(context: Context, claim: jobs.Claim) -> bool:
    """Whether a no that just came is the last of enough of them, over long enough."""
    wait = timedelta(seconds=context.timing.refuse)
    long_enough = claim.refused_since is not None and context.clock() - claim.refused_since >= wait
    return claim.refusals + 1 >= TIMES and long_enough


async def not_ours(
    context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str, linked: transitions.Linked
) -> None:
    """It went to an equal submission, or was committed as an orphan: the next claim sees what is left to do.

    An upstream that goes on answering creates with what is linked already is not asked ever faster.
    """
    now = context.clock()
    error = f"create answered {upstream_id}: {linked.name.lower()}"
    context.telemetry.log.warning("create_not_ours", run_id=run.id, upstream_id=upstream_id, linked=linked.name)
    due_at = now + backoff.after_failure(context.timing, claim.failures)
    await context.database.write(jobs.failed, claim, due_at, error=error, now=now)


async def answered(context: Context) -> None:
    """A job went through. Where the upstream answered since the last pause was over, there is no trouble any more.

    A job that had nothing to ask proves nothing. Where it took the last call of the upstream's window, all wait
    for the next one.
    """
    spent_until, now = context.telemetry.spent_until, context.clock()
    if spent_until is not None and spent_until > now:
        context.telemetry.paused(SPENT, spent_until)
        await context.database.write(house.pause, spent_until, SPENT, now)
        return
    state = await context.database.read(house.read)
    answered_at, _ = context.telemetry.heard
    if state.paused_until is None or answered_at is None or answered_at < state.paused_until:
        return
    if await context.database.write(house.resume, context.clock()):
        context.telemetry.log.info("upstream_answers_again")


def concerns_all(failure: errors.UpstreamError) -> bool:
    """Whether the answer itself says that it was not meant for one run."""
    return isinstance(failure, errors.Answered) and failure.status in HOUSE_WIDE


def _retry_after(failure: errors.UpstreamError) -> float:
    return (failure.retry_after or 0.0) if isinstance(failure, errors.Answered) else 0.0


async def trouble_with_list(context: Context) -> errors.UpstreamError | None:
    """What is wrong with the list route, None where it answers 200."""
    try:
        await context.upstream.list(limit=1)
    except errors.UpstreamError as trouble:
        return trouble
    return None


async def list_answers(context: Context) -> bool:
    """Whether the list route answers 200: the test of whether a no was meant for one run alone."""
    return await trouble_with_list(context) is None


async def pass_over(context: Context, failure: errors.UpstreamError) -> None:
    """For work about many runs: raises what concerns everybody, so that one bad run alone does not stop it."""
    if concerns_all(failure):
        raise failure
    # A whole answer shows that the upstream is there; only where none came may it be away altogether.
    trouble = await trouble_with_list(context) if isinstance(failure, errors.NoAnswer) else None
    if trouble is not None:
        raise trouble


async def pause(context: Context, trouble: errors.UpstreamError, now: datetime) -> datetime:
    """Stops all asking, for as long as the upstream said or a growing while; answers until when."""
    timing = context.timing
    state = await context.database.read(house.read)
    wait = backoff.delay(state.pause_streak + 1, timing.pause, timing.pause_most)
    until = now + max(wait, timedelta(seconds=_retry_after(trouble)))
    await context.database.write(house.pause, until, str(trouble), now)
    context.telemetry.paused(trouble.summary, until)
    return until
