"""Decide what a failed call means: a pause for the whole deployment, or a back-off for one job.

Faults of ours or of the network are never the run's fault. A failure that the list route shows too concerns all
jobs. Where the list route answers, only the one job backs off, so that one bad run does not stop the deployment.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from receiver import errors, timeouts
from receiver.worker.context import Context
from storage.repositories import jobs, runs, system_state
from storage.transitions import starting

#: Statuses about the key, the bill or the rate limit, which never concern one run alone.
DEPLOYMENT_WIDE = frozenset({401, 402, 429})
RATE_LIMIT_EXHAUSTED = "the rate limit is spent"
#: The source of a refusal that we decide ourselves.
RUNLEDGER = "runledger"
#: Refusals of one run, spread over `Timing.refuse` seconds, that end it.
REFUSALS_NEEDED = 3
#: Statuses of a bad request. They mean a refusal only while the list route answers.
REFUSAL_STATUSES = frozenset({400, 404, 413, 422})


async def handle_failure(context: Context, claim: jobs.Claim, failure: Exception) -> None:
    """Release the job after `failure`; set the shared pause where all jobs are concerned. Raises LeaseLost."""
    if not isinstance(failure, errors.UpstreamError):
        await back_off(context, claim, f"{type(failure).__name__}: {failure}")
        return
    trouble = failure if failure.status in DEPLOYMENT_WIDE else await list_failure(context)
    if trouble is None:
        await back_off(context, claim, str(failure), least=failure.retry_after or 0.0)
        await handle_success(context)
        return
    now = context.clock()  # read after the list call, which may take long
    until = await pause(context, trouble, now)
    await context.database.write(jobs.fail, claim, until, error=str(failure), now=now, counted=False)


async def back_off(
    context: Context, claim: jobs.Claim, error: str, *, least: float = 0.0, refused: bool = False
) -> None:
    """Release the job after a failure that concerns it alone; it comes due again in `least` seconds or later.

    Raises LeaseLost.
    """
    now = context.clock()
    wait = max(timeouts.after_failure(context.timing, claim.failures), timedelta(seconds=least))
    await context.database.write(jobs.fail, claim, now + wait, error=error, now=now, refused=refused)


def is_refused_for_good(context: Context, claim: jobs.Claim) -> bool:
    """Return whether the refusal that just came is the last of enough, over a long enough time."""
    wait = timedelta(seconds=context.timing.refuse)
    long_enough = claim.refused_since is not None and context.clock() - claim.refused_since >= wait
    return claim.refusals + 1 >= REFUSALS_NEEDED and long_enough


async def check_link(
    context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str, linked: starting.LinkResult
) -> bool:
    """Return whether the created run is linked to this submission; if not, release the job for the next claim.

    The id then belongs to an equal submission or to an orphan. With the back-off, an upstream that keeps
    returning such ids is not asked faster and faster.
    """
    if linked is starting.LinkResult.RUN:
        return True
    context.telemetry.log.warning(
        "create_answer_conflicted", run_id=run.id, upstream_id=upstream_id, linked=linked.name
    )
    await back_off(context, claim, f"create answered {upstream_id}: {linked.name.lower()}")
    return False


async def handle_success(context: Context) -> None:
    """Lift the shared pause after a job that the upstream has answered since the pause ended.

    A job that called nothing proves nothing. Where the answer used up the upstream's rate limit, pause until the
    limit resets.
    """
    spent_until, now = context.telemetry.exhausted_until, context.clock()
    if spent_until is not None and spent_until > now:
        context.telemetry.paused(RATE_LIMIT_EXHAUSTED, spent_until)
        await context.database.write(system_state.pause, spent_until, RATE_LIMIT_EXHAUSTED, now)
        return
    state = await context.database.look_up(system_state.read)
    answered_at, _ = context.telemetry.upstream_seen
    if state.paused_until is None or answered_at is None or answered_at < state.paused_until:
        return
    if await context.database.write(system_state.resume, context.clock()):
        context.telemetry.log.info("upstream_recovered")


async def list_failure(context: Context) -> errors.UpstreamError | None:
    """Return the failure of the list route, None where it answers 200."""
    try:
        await context.upstream.list(limit=1)
    except errors.UpstreamError as trouble:
        return trouble
    return None


async def is_refusal(context: Context, failure: errors.UpstreamError) -> bool:
    """Return whether the failure refuses one run: its status says so, and the list route answers."""
    return failure.status in REFUSAL_STATUSES and await list_failure(context) is None


async def raise_if_deployment_wide(context: Context, failure: errors.UpstreamError) -> None:
    """Raise the failure where it concerns all jobs; else return, so that one bad run does not stop the others."""
    if failure.status in DEPLOYMENT_WIDE:
        raise failure
    # Only a missing answer may mean that the upstream is down; any answer shows that it is there.
    if isinstance(failure, errors.UpstreamUnreachable):
        await context.upstream.list(limit=1)


async def pause(context: Context, trouble: errors.UpstreamError, now: datetime) -> datetime:
    """Pause all calls, for the time that the upstream named or a growing one; return the end of the pause."""
    timing = context.timing
    state = await context.database.look_up(system_state.read)
    wait = timeouts.delay(state.pause_streak + 1, timing.pause, timing.pause_most)
    until = now + max(wait, timedelta(seconds=trouble.retry_after or 0.0))
    await context.database.write(system_state.pause, until, str(trouble), now)
    context.telemetry.paused(trouble.summary, until)
    return until
