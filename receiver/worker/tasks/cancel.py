"""Cancel runs upstream: those that a caller asked to cancel, and our orphans."""

from __future__ import annotations

from receiver import errors
from receiver.worker.context import Context
from storage import states
from storage.repositories import jobs, runs, upstream_links
from storage.transitions import starting

#: Statuses that a late cancel may get, besides the documented 200.
TOO_LATE = frozenset({400, 404, 409, 422})


async def cancel(context: Context, claim: jobs.Claim) -> None:
    """Ask the upstream to cancel the run. The settle job fetches the end, since the run may have ended before."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is not None and run.upstream_id is not None:
        await _cancel(context, run.upstream_id, gone_is_fine=run.is_terminal)
    await context.database.write(starting.leave_to, claim, states.Kind.SETTLE, context.clock())


async def cancel_orphans(context: Context, claim: jobs.Claim) -> None:
    """Cancel the orphans of a run. Each is committed as an orphan before, so it is never one that we execute."""
    for upstream_id in await context.database.read(upstream_links.open_orphans, claim.run_id):
        await _cancel(context, upstream_id, gone_is_fine=True)
        await context.database.write(upstream_links.mark_cancelled, upstream_id, context.clock())
    await context.database.write(jobs.complete, claim)


async def _cancel(context: Context, upstream_id: str, *, gone_is_fine: bool) -> None:
    try:
        await context.upstream.cancel(upstream_id)
    except errors.UpstreamStatusError as failure:
        if failure.status == 404 and gone_is_fine:
            return
        if failure.status not in TOO_LATE or (await context.upstream.status(upstream_id)).status in states.LIVE:
            raise
