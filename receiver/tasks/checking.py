"""Looking after our endpoint for platform events: whether the upstream still sends to it."""

from __future__ import annotations

from datetime import timedelta

from receiver import errors
from receiver.tasks.context import Context
from receiver.upstream import webhooks as upstream
from storage import jobs, transitions, webhooks


async def check(context: Context, claim: jobs.Claim) -> None:
    """Keeps what the upstream shows of the endpoint, and comes due again; without an endpoint it is over."""
    endpoint = await context.database.read(webhooks.standing)
    if endpoint is None or endpoint.upstream_id is None:
        await context.database.write(jobs.done, claim)
        return
    found = await _look(context, endpoint.upstream_id)
    now = context.clock()
    due_at = now + timedelta(seconds=context.timing.check)
    before = await context.database.write(transitions.checked, claim, endpoint.id, found, now, due_at)
    is_news = before is not None and found.status not in (None, before.status)
    if is_news and found.status != webhooks.ACTIVE:
        context.telemetry.log.error(
            "webhook_endpoint_disabled", upstream_id=endpoint.upstream_id, status=found.status
        )


async def _look(context: Context, upstream_id: str) -> transitions.Checked:
    """What is shown. Where these routes alone say no, runs go on and the endpoint's row says why."""
    try:
        shown = await context.upstream.webhooks.get(upstream_id)
    except (errors.Answered, errors.Unreadable) as failure:
        return transitions.Checked(None, None, failure.summary)
    return transitions.Checked(*upstream.state(shown))
