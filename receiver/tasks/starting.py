"""From accepted to running: create and exec, the two calls that must not be repeated blindly."""

from __future__ import annotations

from datetime import timedelta

from receiver import errors
from receiver.tasks import calling, failing, looking, reclaiming
from receiver.tasks.context import Context
from receiver.upstream import payloads
from storage import jobs, runs, states, transitions


async def start(context: Context, claim: jobs.Claim) -> None:
    """Creates the run upstream, commits its id, executes it under that id."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is None or run.is_terminal:
        await context.database.write(jobs.done, claim)
        return
    if run.instructions is not None:
        upstream_id = await calling.call(context, claim, run)
    else:
        upstream_id = run.upstream_id or await _acquire(context, claim, run)
    if upstream_id is not None:
        await _execute(context, claim, run.id, upstream_id)


async def _acquire(context: Context, claim: jobs.Claim, run: runs.Run) -> str | None:
    """An upstream run for the submission, committed; None where the job is over or comes due again."""
    known = await _known(context, claim, run)
    made = known.made if known.made or known.is_over else await _create(context, claim, run)
    if made is None:
        return None
    linked = await context.database.write(transitions.created, claim, made, context.clock())
    if linked is transitions.Linked.RUN:
        return made.upstream_id
    await failing.not_ours(context, claim, run, made.upstream_id, linked)
    return None


async def _known(context: Context, claim: jobs.Claim, run: runs.Run) -> reclaiming.Trace:
    """What the upstream has of it before it is asked for one.

    The first claim creates. Any later one may follow a create whose answer was lost, so it looks first; and so
    does each where the store was restored.
    """
    if run.restored_at is not None:
        return await reclaiming.trace(context, claim, run)
    return reclaiming.Trace(await looking.look(context, run) if claim.fence > 1 else None)


async def _create(context: Context, claim: jobs.Claim, run: runs.Run) -> transitions.Created | None:
    """Asks for the run once; None where the upstream refuses it while it answers others."""
    url = context.callback_url(run.id)
    try:
        made = await _ask_create(context, run, url)
    except errors.Answered as failure:
        if failure.status not in failing.REFUSALS or not await failing.list_answers(context):
            raise
        await context.database.write(transitions.refuse, claim, failure.message, context.clock())
        return None
    return made


async def _ask_create(context: Context, run: runs.Run, url: str | None) -> transitions.Created:
    """One create; a 400 with a callback address is tried once without, since the address may be what is wrong."""
    try:
        made = await _post_create(context, run, url)
    except errors.Answered as failure:
        if failure.status != 400 or url is None:
            raise
        made = await _post_create(context, run, None)
        context.telemetry.log.warning(
            "callback_refused", run_id=run.id, upstream_id=made.id, reason=failure.summary
        )
        url = None
    return transitions.Created(made.id, made.created_at, watched=url is not None)


async def _post_create(context: Context, run: runs.Run, url: str | None) -> payloads.Created:
    return await context.upstream.create(
        agent_id=run.agent_id or "",
        prompt=run.prompt or "",
        guidance=run.guidance,
        model=run.model,
        object_ids=run.object_ids,
        callback_url=url,
    )


async def _execute(context: Context, claim: jobs.Claim, run_id: str, upstream_id: str) -> None:
    """Exec under a committed id. A later claim asks for the status first; a lost answer or a 409 asks after."""
    run = await context.database.read(runs.find, run_id)
    if run is None or run.cancel_requested_at is not None or run.is_terminal:
        await context.database.write(transitions.leave_to_cancel, claim, context.clock())
        return
    is_first = claim.fence == 1 and run.restored_at is None
    if not is_first and not await _is_queued(context, claim, upstream_id):
        return
    try:
        await context.upstream.execute(upstream_id)
    except (errors.NoAnswer, errors.Unreadable) as failure:
        await _decide(context, claim, upstream_id, failure)
    except errors.Answered as failure:
        if failure.status in failing.HOUSE_WIDE:
            raise
        await _decide(context, claim, upstream_id, failure)
    else:
        await _started(context, claim, "exec")


async def _is_queued(context: Context, claim: jobs.Claim, upstream_id: str) -> bool:
    """Whether the run still waits for exec; otherwise what it shows instead is committed."""
    shown = await context.upstream.status(upstream_id)
    return shown.status is states.QUEUED or await _follow(context, claim, shown.status)


async def _decide(context: Context, claim: jobs.Claim, upstream_id: str, failure: errors.UpstreamError) -> None:
    """Exec gave no plain yes: what `/status` says decides. Still queued after a no may become a refusal."""
    shown = await context.upstream.status(upstream_id)
    if shown.status is not states.QUEUED:
        await _follow(context, claim, shown.status)
    elif isinstance(failure, errors.Answered) and failure.status in failing.REFUSALS:
        await _refused(context, claim, failure)
    else:
        raise failure


async def _follow(context: Context, claim: jobs.Claim, shown: states.Status) -> bool:
    """Running is started, by whomever; ended is for the settle to fetch. False: nothing is left to execute."""
    if shown is states.RUNNING:
        await _started(context, claim, "status")
    else:
        await context.database.write(transitions.ask_for_end, claim, context.clock())
    return False


async def _started(context: Context, claim: jobs.Claim, via: str) -> None:
    now = context.clock()
    expected_by = now + timedelta(seconds=context.timing.hard_limit + context.timing.overdue)
    await context.database.write(transitions.started, claim, via, now, expected_by)


async def _refused(context: Context, claim: jobs.Claim, failure: errors.Answered) -> None:
    """Counts a no to exec; the third one after long enough, while the house is well, is the end."""
    trouble = await failing.trouble_with_list(context)
    if trouble is not None:
        raise trouble
    now, wait = context.clock(), timedelta(seconds=context.timing.refuse)
    if failing.is_refused_for_good(context, claim):
        await context.database.write(transitions.refuse, claim, failure.message, now)
    else:
        due_at = now + wait / (failing.TIMES - 1)
        await context.database.write(jobs.failed, claim, due_at, error=str(failure), now=now, refused=True)
