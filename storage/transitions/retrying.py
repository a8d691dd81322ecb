"""Jobs that failed or were set aside are tried again because somebody wishes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from storage import causes, jobs, notifications, states

#: Jobs of one statement: databases bound the number of values.
AT_ONCE = 1000


def retry(connection: Connection, job_ids: Sequence[str], now: datetime) -> int:
    """Makes jobs due now, whatever their back-off, dead ones too; how many of them there are."""
    count = 0
    for start in range(0, len(job_ids), AT_ONCE):
        tried = jobs.retry(connection, job_ids[start : start + AT_ONCE], now)
        notifications.resume(connection, [run_id for kind, run_id in tried if kind is states.Kind.NOTIFY])
        count += len(tried)
    return count


def retry_all(connection: Connection, query: causes.Query, now: datetime) -> int:
    """The same for every job that is meant."""
    return retry(connection, causes.matching(connection, query, now), now)
