"""Adopt a run that was created elsewhere: fetch its details and store it as ours."""

from __future__ import annotations

import anyio

from receiver import errors, timeouts
from receiver.upstream import client, payloads
from receiver.worker.context import Context
from receiver.worker.tasks import failures, register_watcher, settle
from storage import bounds, states
from storage.repositories import jobs, runs
from storage.transitions import adopting, settling, starting

#: The actor in the ledger, by submitter; any other submitter is an API key.
ACTORS: dict[str, str] = {
    states.Submitter.SWEEP: "worker",
    states.Submitter.RESTORED: "worker",
    states.Submitter.BACKFILL: "operator",
    states.Submitter.IMPORT: "operator",
}
#: Statuses by which the upstream says that it does not have the run, or no longer has it.
GONE_STATUSES = frozenset({404, 410})


async def adopt(context: Context, claim: jobs.Claim) -> None:
    """Fetch the details of the run, store the state they show, and register a watcher while it is live."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is None or run.upstream_id is None or run.is_terminal:
        await context.database.write(jobs.complete, claim)
        return
    if run.status is states.ACCEPTED and not await _introduce(context, claim, run, run.upstream_id):
        return
    await register_watcher.register(context, claim, run, run.upstream_id)


async def _introduce(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> bool:
    """Return whether the run is live and stored; an ended or unknown run needs no further step."""
    try:
        async with context.upstream.details(upstream_id) as fetched:
            return await _introduce_shown(context, claim, run, fetched)
    except errors.INVALID_DETAILS as failure:
        if not settle.is_final(failure, claim):
            raise
        return await _introduce_from_status(context, claim, run, upstream_id, failure)
    except errors.UpstreamStatusError as failure:
        if failure.status not in GONE_STATUSES:
            raise
        await _missing(context, claim, run, upstream_id, failure)
        return False


async def _introduce_shown(context: Context, claim: jobs.Claim, run: runs.Run, fetched: client.Fetched) -> bool:
    """Store the fetched details while they hold their memory slot; return whether the run is live."""
    shown = _shown(run, fetched.details)
    if fetched.details.status not in states.TERMINAL:
        await context.database.write(
            adopting.complete_adoption, claim, shown, fetched.details.status, context.clock()
        )
        return True
    await _introduce_ended(context, claim, run, shown, fetched)
    return False


async def _missing(
    context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str, failure: errors.UpstreamStatusError
) -> None:
    """Count a 404 from the details route while the list route answers; refuse the run after enough of them.

    The run is never refused as long as the list shows it: then the details route is at fault.
    """
    trouble = await failures.list_failure(context)
    if trouble is not None:
        raise trouble
    is_over = failures.is_refused_for_good(context, claim) and not await _is_listed(context, run, upstream_id)
    now = context.clock()
    if is_over:
        await context.database.write(starting.refuse, claim, failure.message, now)
        return
    due_at = now + timeouts.after_failure(context.timing, claim.failures)
    await context.database.write(jobs.fail, claim, due_at, error=str(failure), now=now, refused=True)


async def _is_listed(context: Context, run: runs.Run, upstream_id: str) -> bool:
    """Return whether the list contains the run, however far back.

    The list is asked with the run's id as cursor. A list that ignores an unknown cursor answers with the newest
    runs, so the page is compared with the newest one. An empty page means that the run is the last one or is
    unknown. A page of the newest runs then shows a short list completely; for a longer list it counts whether the
    run came to us from the list.
    """
    try:
        older_page = (await context.upstream.list(limit=1, cursor=upstream_id)).runs
    except errors.UpstreamStatusError as failure:
        if failure.status not in (400, 404, 410, 422):
            raise
        return False
    if not older_page:
        page = await context.upstream.list()
        came_by_list = run.submitted_by in (states.Submitter.SWEEP, states.Submitter.BACKFILL)
        return (page.has_more and came_by_list) or any(each.id == upstream_id for each in page.runs)
    newest_page = (await context.upstream.list(limit=1)).runs
    return [each.id for each in newest_page] != [each.id for each in older_page]


async def _introduce_ended(
    context: Context, claim: jobs.Claim, run: runs.Run, shown: adopting.UpstreamDetails, fetched: client.Fetched
) -> None:
    result = await anyio.to_thread.run_sync(settle.prepare, fetched, context.clock())
    await _write_ended(context, claim, run, shown, result)


async def _write_ended(
    context: Context,
    claim: jobs.Claim,
    run: runs.Run,
    shown: adopting.UpstreamDetails,
    result: settling.Result,
) -> None:
    now = context.clock()
    refetch_at = None if result.measures.is_complete else settle.next_fetch(context.timing, now, now)
    await context.database.write(adopting.complete_ended_adoption, claim, shown, result, now, refetch_at)
    context.telemetry.settled(run, claim.trigger or states.Source.SWEEP, now)


async def _introduce_from_status(
    context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str, failure: errors.InvalidResponse
) -> bool:
    """Store the run from `/status`, because its details cannot be read; everything else stays unknown."""
    status = await context.upstream.status(upstream_id)
    shown = adopting.UpstreamDetails(None, None, None, None, None, status.started_at, _actor(run))
    if status.status not in states.TERMINAL:
        await context.database.write(adopting.complete_adoption, claim, shown, status.status, context.clock())
        return True
    await _write_ended(context, claim, run, shown, settle.from_status(status, failure, context.clock()))
    return False


def is_gone(failure: errors.UpstreamError) -> bool:
    """Return whether the upstream says that it does not have the run, or no longer has it."""
    return isinstance(failure, errors.UpstreamStatusError) and failure.status in GONE_STATUSES


def _shown(run: runs.Run, details: payloads.Details) -> adopting.UpstreamDetails:
    return adopting.UpstreamDetails(
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
