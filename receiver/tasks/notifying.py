"""Telling the backend how a run ended."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from receiver import backoff, errors
from receiver.tasks.context import Context
from storage import columns, ids, jobs, notifications, runs, transitions

#: Characters of a failure's reason that the backend is told; the whole of it is behind the link.
REASON_LENGTH = 200


async def notify(context: Context, claim: jobs.Claim) -> None:
    """Sends what was committed before the first try: the same id and bytes each time, whoever sends."""
    if context.notifier is None:  # no worker claims what it cannot send: it is left to others
        await context.database.write(jobs.give_back, [claim], context.clock())
        return
    held = await _prepared(context, claim)
    if held is None or held.delivered_at is not None:
        await context.database.write(jobs.done, claim)
        return
    try:
        taken = await context.notifier.post(held.event_id, held.body, context.clock())
    except errors.NotDelivered as failure:
        await _missed(context, claim, failure)
        return
    attempt = notifications.Attempt(context.clock(), taken.status, taken.remark)
    await context.database.write(transitions.notified, claim, attempt)
    context.telemetry.notified("delivered", claim.run_id, taken.remark)


async def _prepared(context: Context, claim: jobs.Claim) -> notifications.Notification | None:
    """What the backend is to be told, committed; None for a run that is not there, or open again."""
    held = await context.database.read(notifications.find, claim.run_id)
    run = await context.database.read(runs.find, claim.run_id) if held is None else None
    if run is None or not run.is_terminal:
        return held
    now = context.clock()
    new = notifications.Notification(run.id, f"msg_{ids.new(now)}", body(run, context.public_url), now)
    return await context.database.write(transitions.prepare, claim, new)


def body(run: runs.Run, public_url: str) -> bytes:
    """What is sent of a run that has ended: JSON in ASCII, without prompt and output. `link` leads to the rest."""
    assert run.settled_at is not None, "only an end is told"
    settled_at = columns.text(run.settled_at)
    data: dict[str, Any] = {
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
    told = {"type": f"run.{run.status.value}", "timestamp": settled_at, "data": data}
    return json.dumps(told, separators=(",", ":")).encode("ascii")


async def _missed(context: Context, claim: jobs.Claim, failure: errors.NotDelivered) -> None:
    """It is tried again for days; then, or where the backend wants no more of it, somebody has to look."""
    now, timing = context.clock(), context.timing
    attempt = notifications.Attempt(now, failure.status, failure.reason)
    given_up = now - (claim.refused_since or now) >= timedelta(seconds=timing.notify_for)
    if failure.is_final or given_up:
        await context.database.write(transitions.stop_notifying, claim, attempt, failure.reason)
        context.telemetry.notified("stopped", claim.run_id, failure.reason)
        return
    wait = backoff.delay(claim.failures + 1, timing.notify_backoff, timing.notify_backoff_most)
    due_at = now + max(wait, timedelta(seconds=failure.retry_after or 0.0))
    await context.database.write(transitions.not_notified, claim, attempt, failure.reason, due_at)
    context.telemetry.notified("failed", claim.run_id, failure.reason)
