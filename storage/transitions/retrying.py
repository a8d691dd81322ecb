"""Retry of failing and dead jobs on request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from storage import states
from storage.repositories import job_errors, jobs, notifications

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
