"""Cancelling upstream: what the caller wished, and orphans of ours."""

from __future__ import annotations

from receiver import errors
from receiver.tasks.context import Context
from storage import jobs, links, runs, states, transitions

#: What a cancel may be answered that came too late, besides the documented 200.
TOO_LATE = frozenset({400, 404, 409, 422})


async def cancel(context: Context, claim: jobs.Claim) -> None:
    """Asks the upstream to cancel. How the run then ended is for the settle to fetch: it may have been faster."""
    run = await context.database.read(runs.find, claim.run_id)
    if run is not None and run.upstream_id is not None:
        await _cancel(context, run.upstream_id, gone_is_fine=run.is_terminal)
    await context.database.write(transitions.ask_for_end, claim, context.clock())


async def orphan(context: Context, claim: jobs.Claim) -> None:
    """Cancels the orphans of a run: committed as such before, so never one that we execute."""
    for upstream_id in await context.database.read(links.orphans, claim.run_id):
        await _cancel(context, upstream_id, gone_is_fine=True)
        await context.database.write(transitions.orphan_cancelled, upstream_id, context.clock())
    await context.database.write(jobs.done, claim)


async def _cancel(context: Context, upstream_id: str, *, gone_is_fine: bool) -> None:
    try:
        await context.upstream.cancel(upstream_id)
    except errors.Answered as failure:
        if failure.status == 404 and gone_is_fine:
            return
        if failure.status not in TOO_LATE or (await context.upstream.status(upstream_id)).status in states.LIVE:
            raise
