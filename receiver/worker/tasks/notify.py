"""Notify the backend of how a run ended."""

from __future__ import annotations

import json
from datetime import timedelta

from pydantic import JsonValue

from receiver import errors, timeouts
from receiver.worker.context import Context
from storage import ids
from storage.engine import column_types
from storage.repositories import jobs, notifications, runs
from storage.transitions import follow_up

#: Characters of a failure reason in the notification; the link leads to the complete text.
REASON_LENGTH = 200


async def notify(context: Context, claim: jobs.Claim) -> None:
    """Send the committed notification: the same id and bytes at each try, from whatever worker."""
    if context.notifier is None:  # a worker without a notifier releases the job for others
        await context.database.write(jobs.release, [claim], context.clock())
        return
    notification = await _prepared(context, claim)
    if notification is None or notification.delivered_at is not None:
        await context.database.write(jobs.complete, claim)
        return
    try:
        result = await context.notifier.post(notification.event_id, notification.body, context.clock())
    except errors.NotificationFailed as failure:
        await _missed(context, claim, failure)
        return
    attempt = notifications.Attempt(context.clock(), result.status, result.remark)
    await context.database.write(follow_up.complete_notification, claim, attempt)
    context.telemetry.notified("delivered", claim.run_id, result.remark)


async def _prepared(context: Context, claim: jobs.Claim) -> notifications.Notification | None:
    """Commit and return the notification; None for a run that is missing or open again."""
    notification = await context.database.read(notifications.find, claim.run_id)
    run = await context.database.read(runs.find, claim.run_id) if notification is None else None
    if run is None or not run.is_terminal:
        return notification
    now = context.clock()
    prepared = notifications.Notification(run.id, f"msg_{ids.new(now)}", body(run, context.public_url), now)
    return await context.database.write(follow_up.prepare_notification, claim, prepared)


def body(run: runs.Run, public_url: str) -> bytes:
    """Return the body for an ended run: ASCII JSON without prompt and output; `link` leads to the rest."""
    assert run.settled_at is not None, "a notification is sent only for an ended run"
    settled_at = column_types.instant_text(run.settled_at)
    data: dict[str, JsonValue] = {
        "id": run.id,
        "upstreamId": run.upstream_id,
        "status": run.status.value,
        "agentId": run.agent_id,
        "tags": dict(run.tags),
        "costMicros": run.cost_micros,
        "settledAt": settled_at,
        "link": f"{public_url}/v1/runs/{run.id}",
    }
    if run.failure_reason is not None:
        data["failureReason"] = run.failure_reason[:REASON_LENGTH]
    message = {"type": f"run.{run.status.value}", "timestamp": settled_at, "data": data}
    return json.dumps(message, separators=(",", ":")).encode("ascii")


async def _missed(context: Context, claim: jobs.Claim, failure: errors.NotificationFailed) -> None:
    """Reschedule a failed notification for some days, then bury the job; after a 410 bury it at once."""
    now, timing = context.clock(), context.timing
    attempt = notifications.Attempt(now, failure.status, failure.reason)
    has_expired = now - (claim.refused_since or now) >= timedelta(seconds=timing.notify_for)
    if failure.is_final or has_expired:
        await context.database.write(follow_up.stop_notification, claim, attempt, failure.reason)
        context.telemetry.notified("stopped", claim.run_id, failure.reason)
        return
    wait = timeouts.delay(claim.failures + 1, timing.notify_backoff, timing.notify_backoff_most)
    due_at = now + max(wait, timedelta(seconds=failure.retry_after or 0.0))
    await context.database.write(follow_up.fail_notification, claim, attempt, failure.reason, due_at)
    context.telemetry.notified("failed", claim.run_id, failure.reason)
