"""The parts of bulk actions: the action on each run, and the progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from storage import errors, ids, states
from storage.actions import bulk
from storage.repositories import jobs
from storage.tables.runs import RUNS
from storage.transitions import retrying, submitting

#: The most runs of one part: other writes wait for its commit, and ending a run takes the longest.
RUNS_AT_ONCE = {each: 25 if each is states.BulkKind.CANCEL else 100 for each in states.BulkKind}
#: The most failures that are kept.
ERRORS_KEPT = 20
#: Why a transition refuses a run, before it has written anything.
_REFUSALS = (errors.NothingToRun, errors.NothingToNotify, errors.TooManyTags)


def handle_part(
    connection: Connection,
    claim: jobs.Claim,
    action: bulk.Action,
    seqs: Sequence[int],
    now: datetime,
    expected_by: datetime,
) -> None:
    """Do the action with the runs of these keys, and move its position behind them; without any it is finished.

    Changes nothing where the action was stopped, or has another position than when it was read. Raises LeaseLost.
    """
    if not _is_current(connection, claim, action):
        return
    if not seqs:
        handled = action.done + action.failed
        bulk.save_progress(connection, action, {"finished_at": now, "total": handled, "is_exact": True})
        return
    run_ids = _locked(connection, seqs)
    failures: list[Mapping[str, str]] = []
    for run_id in run_ids:
        try:
            _ACTIONS[action.action](connection, action, run_id, now, expected_by)
        except _REFUSALS as refusal:
            failures.append({"runId": run_id, "error": str(refusal)})
    _move(connection, action, seqs, len(run_ids), failures, now)


def skip(
    connection: Connection, claim: jobs.Claim, action: bulk.Action, seqs: Sequence[int], error: str, now: datetime
) -> None:
    """Leave out runs whose rows cannot be handled. Raises LeaseLost."""
    if _is_current(connection, claim, action):
        failures = [{"runId": run_id, "error": error} for run_id in _locked(connection, seqs)]
        _move(connection, action, seqs, len(failures), failures, now)


def give_up(connection: Connection, claim: jobs.Claim, action: bulk.Action, error: str, now: datetime) -> None:
    """Stop an action whose next runs cannot be found. Raises LeaseLost."""
    if _is_current(connection, claim, action):
        noted = [*(action.errors or ()), {"error": error}]
        bulk.save_progress(connection, action, {"finished_at": now, "is_stopped": True, "errors": noted})


def _is_current(connection: Connection, claim: jobs.Claim, action: bulk.Action) -> bool:
    jobs.require_lease(connection, claim)
    stored = bulk.get_for_update(connection, action.id)
    return stored is not None and stored.finished_at is None and stored.position == action.position


def _locked(connection: Connection, seqs: Sequence[int]) -> list[str]:
    """Return the ids of runs, whose rows and jobs are locked.

    The jobs come first, as in a worker's transaction, which has the row of its job before it locks the run.
    """
    of_runs = select(RUNS.c.id).where(RUNS.c.seq.in_(seqs))
    jobs.lock_of_runs(connection, connection.execute(of_runs).scalars().all())
    rows = connection.execute(
        select(RUNS.c.id, RUNS.c.seq).where(RUNS.c.seq.in_(seqs)).order_by(RUNS.c.id).with_for_update()
    )
    return [row.id for row in sorted(rows, key=lambda row: row.seq)]


def _move(
    connection: Connection,
    action: bulk.Action,
    seqs: Sequence[int],
    count: int,
    failures: Sequence[Mapping[str, str]],
    now: datetime,
) -> None:
    changes = {
        "position": seqs[-1],
        "done": action.done + count - len(failures),
        "failed": action.failed + len(failures),
        "errors": [*(action.errors or ()), *failures][:ERRORS_KEPT],
        "worked_at": now,
    }
    bulk.save_progress(connection, action, changes)


def _cancel(
    connection: Connection, action: bulk.Action, run_id: str, now: datetime, _expected_by: datetime
) -> None:
    submitting.request_cancel(connection, run_id, action.actor, now)


def _refresh(
    connection: Connection, _action: bulk.Action, run_id: str, now: datetime, _expected_by: datetime
) -> None:
    run = submitting.request_refresh(connection, run_id, now)
    if run is not None and run.pruned_at is not None:
        raise errors.NothingToRun(f"the content of run {run.id} was removed, so it is not fetched again")
    if run is not None and run.upstream_id is None:
        raise errors.NothingToRun(f"the upstream does not know run {run.id} yet, so there is nothing to fetch")


def _notify(
    connection: Connection, action: bulk.Action, run_id: str, now: datetime, _expected_by: datetime
) -> None:
    retrying.notify_again(connection, run_id, action.actor, now)


def _tag(connection: Connection, action: bulk.Action, run_id: str, now: datetime, _expected_by: datetime) -> None:
    submitting.change_tags(connection, run_id, action.tags or {}, action.actor, now)


def _run_again(
    connection: Connection, action: bulk.Action, run_id: str, now: datetime, expected_by: datetime
) -> None:
    """Run a run again. The key makes one run of it, whatever else is done twice."""
    key = f"bulk/{action.id}/{run_id}"
    again = submitting.Again(run_id, ids.new(now), now, expected_by, action.submitted_by, action.actor, {}, key)
    submitting.run_again(connection, again)


_ACTIONS: Mapping[states.BulkKind, Callable[[Connection, bulk.Action, str, datetime, datetime], None]] = {
    states.BulkKind.CANCEL: _cancel,
    states.BulkKind.REFRESH: _refresh,
    states.BulkKind.RETRY_NOTIFICATION: _notify,
    states.BulkKind.TAG: _tag,
    states.BulkKind.AGAIN: _run_again,
}
