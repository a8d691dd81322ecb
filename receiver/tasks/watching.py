"""Registering our callback address for a run that exists upstream: the last thing that its job does."""

from __future__ import annotations

from receiver import errors
from receiver.tasks import failing
from receiver.tasks.context import Context
from storage import jobs, runs, transitions


async def watch(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> None:
    """Registers our callback address. Where the upstream will not have it the sweep is the road."""
    url = context.callback_url(run.id)
    watched = False
    if url is not None:
        try:
            await context.upstream.watch(upstream_id, url)
            watched = True
        except errors.Answered as failure:
            if failure.status not in failing.REFUSALS:
                raise
            context.telemetry.log.warning("callback_refused", run_id=run.id, reason=failure.summary)
    await context.database.write(transitions.watching, claim, watched)
