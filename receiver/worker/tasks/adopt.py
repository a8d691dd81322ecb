"""Adopt a run that was created elsewhere: fetch its details and store it as ours."""

from __future__ import annotations

from receiver import errors
from receiver.upstream import payloads, routes
from receiver.worker.context import Context
from receiver.worker.tasks import failures, register_watcher, settle
from storage import states
from storage.repositories import jobs, runs
from storage.transitions import adopting, starting

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
        async with settle.fetch(context, claim, upstream_id) as (shown, result):
            details, now = _details(run, shown), context.clock()
            if result is None:
                await context.database.write(adopting.complete_adoption, claim, details, shown.status, now)
                return True
            refetch_at = None if result.measures.is_complete else settle.next_fetch(context.timing, now, now)
            await context.database.write(adopting.complete_ended_adoption, claim, details, result, now, refetch_at)
            context.telemetry.settled(run, claim.trigger or states.Source.SWEEP, now)
    except errors.UpstreamStatusError as failure:
        if failure.status not in GONE_STATUSES or failure.route != routes.DETAILS:
            raise
        await _missing(context, claim, run, upstream_id, failure)
    return False


async def _missing(
    context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str, failure: errors.UpstreamStatusError
) -> None:
    """Count a 404 from the details route while the list route answers; refuse the run after enough of them.

    The run is never refused as long as the list shows it: then the details route is at fault.
    """
    await context.upstream.list(limit=1)  # where this fails, the 404 may be a general failure
    is_over = failures.is_refused_for_good(context, claim) and not await _is_listed(context, run, upstream_id)
    if is_over:
        await context.database.write(starting.refuse, claim, failure.message, context.clock())
    else:
        await failures.back_off(context, claim, str(failure), refused=True)


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


def _details(run: runs.Run, shown: payloads.Status) -> adopting.UpstreamDetails:
    """Return the values to store from the upstream's answer; a status alone gives only the start."""
    actor, started_at = ACTORS.get(run.submitted_by) or f"key:{run.submitted_by}", shown.measures.started_at
    if not isinstance(shown, payloads.Details):
        return adopting.UpstreamDetails(None, None, None, None, None, started_at, actor)
    asked = (shown.agent_id, shown.prompt, shown.guidance, shown.model)
    return adopting.UpstreamDetails(*asked, shown.measures.created_at, started_at, actor)
