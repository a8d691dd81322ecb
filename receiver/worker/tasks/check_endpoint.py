"""Check whether the upstream still sends to our endpoint for platform events."""

from __future__ import annotations

from datetime import timedelta

from receiver import errors
from receiver.upstream import webhooks
from receiver.worker.context import Context
from storage.repositories import jobs, webhook_endpoints
from storage.transitions import webhook_changes


async def check(context: Context, claim: jobs.Claim) -> None:
    """Store what the upstream shows of the endpoint and reschedule; without an endpoint the job is done."""
    endpoint = await context.database.read(webhook_endpoints.find_active)
    if endpoint is None or endpoint.upstream_id is None:
        await context.database.write(jobs.complete, claim)
        return
    found = await _fetch_state(context, endpoint.upstream_id)
    now = context.clock()
    due_at = now + timedelta(seconds=context.timing.check)
    before = await context.database.write(webhook_changes.complete_check, claim, endpoint.id, found, now, due_at)
    has_changed = before is not None and found.status not in (None, before.status)
    if has_changed and found.status != webhook_endpoints.ACTIVE:
        context.telemetry.log.error(
            "webhook_endpoint_disabled", upstream_id=endpoint.upstream_id, status=found.status
        )


async def _fetch_state(context: Context, upstream_id: str) -> webhook_changes.EndpointCheck:
    """Ask the upstream for the endpoint. An error of these routes is stored, since runs do not need them."""
    try:
        shown = await context.upstream.webhooks.get(upstream_id)
    except (errors.UpstreamStatusError, errors.InvalidResponse) as failure:
        return webhook_changes.EndpointCheck(None, None, failure.summary)
    return webhook_changes.EndpointCheck(*webhooks.state(shown))
