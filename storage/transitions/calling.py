"""One call that creates a run and starts it at once: what is committed around it, so that it is made at most once.

The mark that it is being made is `stray_since`: from then on, and until its run is linked or the call is known to
have done nothing, a run of this submission may be astray upstream.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, or_

from storage import jobs, runs, states
from storage.columns import instant
from storage.tables import RUNS
from storage.transitions import starting


def calling(connection: Connection, claim: jobs.Claim, now: datetime) -> bool:
    """Marks the call as being made, before it is sent.

    False where it is not to be made: the run has ended, or an earlier call may have done its work.
    """
    jobs.hold(connection, claim)
    unmarked = or_(RUNS.c.stray_since.is_(None), RUNS.c.stray_since == instant(now))
    return runs.change(connection, and_(_unknown(claim), unmarked, _is_accepted()), {"stray_since": now})


def uncalled(connection: Connection, claim: jobs.Claim) -> None:
    """The call is known to have done nothing: no run of it is astray, and it may be made again."""
    jobs.hold(connection, claim)
    runs.change(connection, _unknown(claim), {"stray_since": None})


def called(
    connection: Connection,
    claim: jobs.Claim,
    made: starting.Created,
    via: str,
    now: datetime,
    expected_by: datetime,
) -> starting.Linked:
    """Commits the upstream id of a run that was created and started at once. The job goes on: to the watcher.

    What else may become of the upstream run is as with `created`.
    """
    linked = starting.created(connection, claim, made, now)
    if linked is starting.Linked.RUN:
        starting.begin(connection, claim.run_id, via, now, expected_by)
    return linked


def _unknown(claim: jobs.Claim) -> ColumnElement[bool]:
    return and_(RUNS.c.id == claim.run_id, RUNS.c.upstream_id.is_(None))


def _is_accepted() -> ColumnElement[bool]:
    return RUNS.c.status == states.ACCEPTED.value
