"""Registering our callback address for a run that exists upstream: the last thing that its job does."""

from __future__ import annotations

from receiver import errors
from receiver.tasks import failing
from receiver.tasks.context import Context
from storage import jobs, runs, states, transitions


async def watch(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> None:
    """Registers our callback address. Where the upstream will not have it the sweep is the road."""
    url = context.callback_url(run.id)
    watched = url is not None and await _register(context, run, upstream_id, url)
    fetch_at = context.clock() if watched and await _may_have_ended(context, upstream_id) else None
    await context.database.write(transitions.watching, claim, watched, fetch_at)


async def _register(context: Context, run: runs.Run, upstream_id: str, url: str) -> bool:
    """Whether the upstream took the address."""
    try:
        await context.upstream.watch(upstream_id, url)
    except errors.Answered as failure:
        if failure.status not in failing.REFUSALS:
            raise
        context.telemetry.log.warning("callback_refused", run_id=run.id, reason=failure.summary)
        return False
    return True


async def _may_have_ended(context: Context, upstream_id: str) -> bool:
    """Whether the run may have ended before the watcher was there, which then hears of nothing."""
    try:
        shown = await context.upstream.status(upstream_id)
    except errors.UpstreamError as failure:
        if failing.concerns_all(failure):
            raise
        return True  # who fetches the details has a back-off of its own
    return shown.status in states.TERMINAL
