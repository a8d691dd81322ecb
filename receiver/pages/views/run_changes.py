"""What can be done with a run: cancel it, fetch it again, notify the backend again."""

from __future__ import annotations

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.web.authentication import Scope
from storage import states
from storage.engine.database import Snapshot
from storage.repositories import job_list, runs
from storage.transitions import retrying, submitting

router = requests.Router()


@router.page("POST", "/runs/{id}/cancel", Scope.SUBMIT)
async def cancel(given: requests.PageRequest) -> Response:
    """Request the cancellation of a run; the upstream decides in which state it ends."""
    found = await given.database.write(submitting.request_cancel, given.ids["id"], given.caller.actor, given.now)
    run = _exact(given, found)
    if run.status is states.CANCELLED:
        return _back(given, run, "The run is cancelled.")
    if run.is_terminal:
        return _back(given, run, f"Not cancelled: the run is {run.status} already.")
    return _back(given, run, "The cancellation is requested.")


@router.page("POST", "/runs/{id}/refresh", Scope.SUBMIT)
async def refresh(given: requests.PageRequest) -> Response:
    """Request the details of a run from the upstream again."""
    run = _exact(given, await given.database.write(submitting.request_refresh, given.ids["id"], given.now))
    if run.pruned_at is not None:
        raise errors.RunPruned(run.id)
    if run.upstream_id is None:
        raise errors.NotCreatedYet(run.id)
    return _back(given, run, "The details are fetched again. A change appears as a further version.")


@router.page("POST", "/runs/{id}/notify", Scope.ADMIN)
async def notify(given: requests.PageRequest) -> Response:
    """Make a notification that failed due now."""

    def load(store: Snapshot) -> tuple[runs.Run | None, list[str]]:
        run = store.read(runs.find, given.ids["id"])
        query = job_list.Query(states.Kind.NOTIFY, run.id if run else "")
        jobs, _ = store.read(job_list.page, query, given.now)
        return run, [job.id for job in jobs]

    found, job_ids = await given.read(load)
    run = _exact(given, found)
    tried = await given.database.write(retrying.retry, job_ids, given.now) if job_ids else 0
    return _back(given, run, "The backend is notified again." if tried else "No notification of this run waits.")


def _exact(given: requests.PageRequest, run: runs.Run | None) -> runs.Run:
    """Return the run that the id names. Raises NotFound and RunIsOrphan."""
    if run is None:
        raise errors.NotFound("there is no run of that id")
    if not run.is_named(given.ids["id"]):
        raise errors.RunIsOrphan(given.ids["id"], run.id)
    return run


def _back(given: requests.PageRequest, run: runs.Run, note: str) -> Response:
    return given.redirect(given.url(f"/runs/{run.id}"), note)
