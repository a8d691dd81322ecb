"""Retry of failing and dead jobs on request, and further notifications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from storage import errors, states
from storage.ledger import entries
from storage.repositories import job_errors, jobs, notifications, runs, system_state

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
    run = runs.get_for_update(connection, run_id)
    if run is None or not run.is_named(run_id):
        return run
    if not run.is_terminal:
        raise errors.NothingToNotify(f"run {run.id} has not ended: its backend is notified once it has")
    if not system_state.follow_ups(connection).notifies:
        raise errors.NothingToNotify("no server of this deployment has RUNLEDGER_NOTIFY_URL: nobody is notified")
    notifications.reset(connection, run.id)
    jobs.withdraw(connection, states.Kind.NOTIFY, run.id)  # a dead one stays dead, and a late one has a back-off
    jobs.enqueue(connection, [jobs.JobRequest(states.Kind.NOTIFY, run.id, now)])
    entry = entries.Entry(entries.Kind.RUN_NOTIFY_REQUESTED, now, run.id, by, {"by": by})
    entries.append(connection, [entry])
    return run
