"""Retry on request: of failing and dead jobs, of a notification, and of a stored delivery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from storage import errors, states
from storage.ledger import entries
from storage.repositories import deliveries, job_errors, jobs, notifications, runs, system_state
from storage.transitions import receiving, submitting

#: Jobs per statement: databases bound the number of values.
BATCH = 1000


def retry(connection: Connection, job_ids: Sequence[str], now: datetime) -> int:
    """Make jobs due now, regardless of their back-off, dead ones too; return how many there are."""
    count = 0
    for start in range(0, len(job_ids), BATCH):
        tried = jobs.retry(connection, job_ids[start : start + BATCH], now)
        notifications.resume(connection, [run_id for kind, run_id in tried if kind is states.Kind.NOTIFY])
        count += len(tried)
    return count


def retry_matching(connection: Connection, query: job_errors.Query, now: datetime) -> int:
    """Retry every job that matches the query; return how many there are."""
    return retry(connection, job_errors.matching(connection, query, now), now)


def notify_again(connection: Connection, run_id: str, by: str, now: datetime) -> runs.Run | None:
    """Send the notification of an ended run once more, or now; its id and body stay the same.

    Return the run; None where there is none. One that is named by the id of an orphan stays unchanged. Raises
    NothingToNotify for a run that has not ended, and where no backend is configured.
    """
    run = submitting.lock_with_jobs(connection, run_id)
    if run is None or not run.is_named(run_id):
        return run
    if not run.is_terminal:
        raise errors.NothingToNotify(f"run {run.id} has not ended: its backend is notified once it has")
    if not system_state.follow_ups(connection).notifies:
        raise errors.NothingToNotify("no server of this deployment has RUNLEDGER_NOTIFY_URL: nobody is notified")
    if run.pruned_at is not None and notifications.is_erased(connection, run.id):
        raise errors.NothingToNotify(f"the notification of run {run.id} was erased")
    notifications.reset(connection, run.id)
    jobs.withdraw(connection, states.Kind.NOTIFY, run.id)  # a dead one stays dead, and a late one has a back-off
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.NOTIFY, run.id, now)])
    entry = entries.Entry(entries.Kind.RUN_NOTIFY_REQUESTED, now, run.id, by, {"by": by})
    entries.append(connection, [entry])
    return run


def accept_rejected(
    connection: Connection, delivery: deliveries.Delivery, actor: str, now: datetime
) -> deliveries.Receipt | None:
    """Put a delivery that verifies now in the place of its rejected request, and do what follows from it.

    The unique dedupe key decides whether it is accepted or a duplicate, as at its arrival. Return its receipt;
    None where the rejected request is not there any more.
    """
    seq = deliveries.take_rejected(connection, delivery.id)
    if seq is None:
        return None
    receipt = receiving.accept_delivery(connection, [delivery])[delivery.id]
    deliveries.place(connection, delivery.id, seq)
    entries.append(connection, [_entry(delivery.id, receipt.verdict, receipt.run_id, actor, now)])
    return receipt


def refresh_run(
    connection: Connection, delivery: deliveries.StoredDelivery, actor: str, now: datetime
) -> runs.Run | None:
    """Request a fetch of the run of a delivery. Return None where the upstream cannot be asked about it."""
    run = None if delivery.run_id is None else submitting.request_refresh(connection, delivery.run_id, now)
    if run is None or run.upstream_id is None or run.pruned_at is not None:
        return None
    entries.append(connection, [_entry(delivery.id, delivery.verdict, run.id, actor, now)])
    return run


def _entry(
    delivery_id: str, verdict: states.Verdict, run_id: str | None, actor: str, now: datetime
) -> entries.Entry:
    facts: dict[str, entries.Fact | None] = {"deliveryId": delivery_id, "verdict": str(verdict)}
    return entries.Entry(entries.Kind.DELIVERY_PROCESSED, now, run_id, actor, facts)
