"""Take a run from accepted to running: create and exec, the two calls that must not be repeated blindly."""

from __future__ import annotations

from datetime import timedelta

from receiver import errors
from receiver.worker.context import Context
from receiver.worker.tasks import failures, find_lost_create, one_call, recover_after_restore
from storage import states
from storage.repositories import jobs, runs
from storage.transitions import starting


async def start(context: Context, claim: jobs.Claim) -> None:
    """Create the run upstream, commit its id, and execute it under that id."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is None or run.is_terminal:
        await context.database.write(jobs.complete, claim)
        return
    if run.instructions is not None:
        upstream_id = await one_call.call(context, claim, run)
    else:
        upstream_id = run.upstream_id or await _acquire(context, claim, run)
    if upstream_id is not None:
        await _execute(context, claim, run.id, upstream_id)


async def _acquire(context: Context, claim: jobs.Claim, run: runs.Run) -> str | None:
    """Return the committed upstream id of the submission; None where the job is over or comes due again."""
    # The first claim creates. Any later one may follow a create whose answer was lost, so it looks first; after a
    # restore every claim does.
    known = recover_after_restore.Recovery(None)
    if run.restored_at is not None:
        known = await recover_after_restore.recover(context, claim, run)
    elif claim.fence > 1:
        known = recover_after_restore.Recovery(await find_lost_create.find(context, run))
    created = known.created if known.created or known.is_over else await _create(context, claim, run)
    if created is None:
        return None
    linked = await context.database.write(starting.record_created, claim, created, context.clock())
    is_ours = await failures.check_link(context, claim, run, created.upstream_id, linked)
    return created.upstream_id if is_ours else None


async def _create(context: Context, claim: jobs.Claim, run: runs.Run) -> starting.CreatedRun | None:
    """Create the run once; None where the upstream refuses it while the list route answers."""
    try:
        return await _ask_create(context, run, context.callback_url(run.id))
    except errors.UpstreamStatusError as failure:
        if not await failures.is_refusal(context, failure):
            raise
        await context.database.write(starting.refuse, claim, failure.message, context.clock())
        return None


async def _ask_create(context: Context, run: runs.Run, url: str | None) -> starting.CreatedRun:
    """Send one create; repeat a 400 once without the callback address, which may be what is wrong."""
    try:
        created = await context.upstream.create(run, url)
    except errors.UpstreamStatusError as failure:
        if failure.status != 400 or url is None:
            raise
        created = await context.upstream.create(run, None)
        context.telemetry.log.warning(
            "callback_url_refused", run_id=run.id, upstream_id=created.id, reason=failure.summary
        )
        url = None
    return starting.CreatedRun(created.id, created.created_at, watched=url is not None)


async def _execute(context: Context, claim: jobs.Claim, run_id: str, upstream_id: str) -> None:
    """Send exec for a committed id.

    A later claim asks `/status` first; a lost answer or a 409 asks it afterwards.
    """
    run = await context.database.read(runs.find, run_id)
    if run is None or run.cancel_requested_at is not None or run.is_terminal:
        await context.database.write(starting.leave_to, claim, states.Kind.CANCEL, context.clock())
        return
    if claim.fence > 1 or run.restored_at is not None:
        shown = await context.upstream.status(upstream_id)
        if shown.status is not states.QUEUED:
            await _follow(context, claim, shown.status)
            return
    try:
        await context.upstream.execute(upstream_id)
    except (errors.UpstreamUnreachable, errors.InvalidResponse, errors.UpstreamStatusError) as failure:
        if failure.status in failures.DEPLOYMENT_WIDE:
            raise
        await _decide(context, claim, upstream_id, failure)
    else:
        await _started(context, claim, "exec")


async def _decide(context: Context, claim: jobs.Claim, upstream_id: str, failure: errors.UpstreamError) -> None:
    """Follow `/status` after an exec without a clear acceptance; a run that is still queued may be refused."""
    shown = await context.upstream.status(upstream_id)
    if shown.status is not states.QUEUED:
        await _follow(context, claim, shown.status)
    elif failure.status in failures.REFUSAL_STATUSES:
        await _refused(context, claim, failure)
    else:
        raise failure


async def _follow(context: Context, claim: jobs.Claim, shown: states.Status) -> None:
    """Commit a running run as started; leave an ended one to the settle job."""
    if shown is states.RUNNING:
        await _started(context, claim, "status")
    else:
        await context.database.write(starting.leave_to, claim, states.Kind.SETTLE, context.clock())


async def _started(context: Context, claim: jobs.Claim, via: str) -> None:
    now = context.clock()
    await context.database.write(starting.record_started, claim, via, now, context.timing.overdue_at(now))


async def _refused(context: Context, claim: jobs.Claim, failure: errors.UpstreamError) -> None:
    """Count a refusal of exec; the third one, after a long enough time, ends the run.

    It counts only while the list route answers.
    """
    await context.upstream.list(limit=1)
    now, wait = context.clock(), timedelta(seconds=context.timing.refuse)
    if failures.is_refused_for_good(context, claim):
        await context.database.write(starting.refuse, claim, failure.message, now)
    else:
        due_at = now + wait / (failures.REFUSALS_NEEDED - 1)
        await context.database.write(jobs.fail, claim, due_at, error=str(failure), now=now, refused=True)
