"""Register our callback address for a run that exists upstream, as the last step of its job."""

from __future__ import annotations

from receiver import errors
from receiver.worker.context import Context
from receiver.worker.tasks import failures
from storage import states
from storage.repositories import jobs, runs
from storage.transitions import adopting


async def register(context: Context, claim: jobs.Claim, run: runs.Run, upstream_id: str) -> None:
    """Register the callback address. Where the upstream refuses it, only the sweep observes the run."""
    url = context.callback_url(run.id)
    watched = url is not None and await _register(context, run, upstream_id, url)
    fetch_at = context.clock() if watched and await _may_have_ended(context, upstream_id) else None
    await context.database.write(adopting.record_watcher, claim, watched, fetch_at)


async def _register(context: Context, run: runs.Run, upstream_id: str, url: str) -> bool:
    """Return whether the upstream accepted the address."""
    try:
        await context.upstream.watch(upstream_id, url)
    except errors.UpstreamStatusError as failure:
        if failure.status not in failures.REFUSAL_STATUSES:
            raise
        context.telemetry.log.warning("callback_url_refused", run_id=run.id, reason=failure.summary)
        return False
    return True


async def _may_have_ended(context: Context, upstream_id: str) -> bool:
    """Return whether the run may have ended before the watcher was registered, which is then never called."""
    try:
        shown = await context.upstream.status(upstream_id)
    except errors.UpstreamError as failure:
        if failure.status in failures.DEPLOYMENT_WIDE:
            raise
        return True  # the settle job that fetches the details has a back-off of its own
    return shown.status in states.TERMINAL
