"""Making the acquaintance of a run that was created elsewhere."""

from __future__ import annotations

import anyio

from receiver import backoff, errors
from receiver.tasks import failing, settling, watching
from receiver.tasks.context import Context
from receiver.upstream import client, payloads
from storage import bounds, jobs, runs, states, transitions

#: Who acted, in the ledger's words, where no key did.
ACTORS: dict[str, str] = {
    states.Submitter.SWEEP: "worker",
    states.Submitter.RESTORED: "worker",
    states.Submitter.BACKFILL: "operator",
    states.Submitter.IMPORT: "operator",
}
#: What the upstream answers about a run that it does not have, or no longer.
GONE = frozenset({404, 410})


async def adopt(context: Context, claim: jobs.Claim) -> None:
    """Fetches the details of the run, writes it as ours in the shown state, watches it where it lives."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is None or run.upstream_id is None or run.is_terminal:
        await context.database.write(jobs.done, claim)
        return
    if run.status is states.ACCEPTED and not await _introduce(context, claim, run, run.upstream_id):
        return
    await watching.watch(context, claim, run, run.upstream_id)


async def _introduce(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> bool:
    """Whether the run lives and is introduced; an ended or unknown one is done with here."""
    try:
        async with context.upstream.details(upstream_id) as fetched:
            return await _introduce_shown(context, claim, run, fetched)
    except errors.UNREADABLE as failure:
        if not settling.is_final(failure, claim):
            raise
        return await _introduce_from_status(context, claim, run, upstream_id, failure)
    except errors.Answered as failure:
        if failure.status not in GONE:
            raise
        await _missing(context, claim, run, upstream_id, failure)
        return False


async def _introduce_shown(context: Context, claim: jobs.Claim, run: runs.Run, fetched: client.Fetched) -> bool:
    """The same by what was fetched, while it keeps its place."""
    shown = _shown(run, fetched.details)
    if fetched.details.status not in states.TERMINAL:
        await context.database.write(transitions.introduce, claim, shown, fetched.details.status, context.clock())
        return True
    await _introduce_ended(context, claim, run, shown, fetched)
    return False


async def _missing(
    context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str, failure: errors.Answered
) -> None:
    """The upstream does not know it, while it answers others. Only after a while of that is it refused.

    Never as long as the list shows it: then it is the details that fail.
    """
    trouble = await failing.trouble_with_list(context)
    if trouble is not None:
        raise trouble
    is_over = failing.is_refused_for_good(context, claim) and not await _is_listed(context, run, upstream_id)
    now = context.clock()
    if is_over:
        await context.database.write(transitions.refuse, claim, failure.message, now)
        return
    due_at = now + backoff.after_failure(context.timing, claim.failures)
    await context.database.write(jobs.failed, claim, due_at, error=str(failure), now=now, refused=True)


async def _is_listed(context: Context, run: runs.Run, upstream_id: str) -> bool:
    """Whether the list knows the run, at whatever depth: what stands behind it can be asked for then.

    Where that is not turned away, a list that takes no notice of a cursor it does not know shows what is newest.
    One that shows nothing has the run at its end, or does not know it: a page of the newest shows a short list
    whole, and of a longer one it counts how we came to know the run.
    """
    try:
        behind = (await context.upstream.list(limit=1, cursor=upstream_id)).runs
    except errors.Answered as failure:
        if failure.status not in (400, 404, 410, 422):
            raise
        return False
    if not behind:
        page = await context.upstream.list()
        came_by_list = run.submitted_by in (states.Submitter.SWEEP, states.Submitter.BACKFILL)
        return (page.has_more and came_by_list) or any(each.id == upstream_id for each in page.runs)
    newest = (await context.upstream.list(limit=1)).runs
    return [each.id for each in newest] != [each.id for each in behind]


async def _introduce_ended(
    context: Context, claim: jobs.Claim, run: runs.Run, shown: transitions.Acquaintance, fetched: client.Fetched
) -> None:
    result = await anyio.to_thread.run_sync(settling.prepare, fetched, context.clock())
    await _write_ended(context, claim, run, shown, result)


async def _write_ended(
    context: Context,
    claim: jobs.Claim,
    run: runs.Run,
    shown: transitions.Acquaintance,
    result: transitions.Result,
) -> None:
    now = context.clock()
    refetch_at = None if result.measures.is_complete else settling.next_fetch(context.timing, now, now)
    await context.database.write(transitions.introduce_ended, claim, shown, result, now, refetch_at)
    context.telemetry.settled(run, claim.road or states.Road.SWEEP, now)


async def _introduce_from_status(
    context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str, failure: errors.Unreadable
) -> bool:
    """The details cannot be read: the light route says the state, and the rest stays unknown."""
    status = await context.upstream.status(upstream_id)
    shown = transitions.Acquaintance(None, None, None, None, None, status.started_at, _actor(run))
    if status.status not in states.TERMINAL:
        await context.database.write(transitions.introduce, claim, shown, status.status, context.clock())
        return True
    await _write_ended(context, claim, run, shown, settling.from_status(status, failure, context.clock()))
    return False


def is_gone(failure: errors.UpstreamError) -> bool:
    """Whether the upstream says that it does not have the run, or no longer."""
    return isinstance(failure, errors.Answered) and failure.status in GONE


def _shown(run: runs.Run, details: payloads.Details) -> transitions.Acquaintance:
    return transitions.Acquaintance(
        _cut(details.agent_id),
        details.prompt,
        details.guidance,
        _cut(details.model),
        details.created_at,
        details.started_at,
        _actor(run),
    )


def _actor(run: runs.Run) -> str:
    return ACTORS.get(run.submitted_by) or f"key:{run.submitted_by}"


def _cut(text: str | None) -> str | None:
    return None if text is None else text[: bounds.NAME]
