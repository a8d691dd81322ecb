"""Requests to submit, watch, cancel and refresh runs. Each is one transaction; a job does the work."""

from __future__ import annotations

import re
from typing import Any

from receiver import errors
from receiver.schemas import bodies
from receiver.schemas import notification as schemas_notification
from receiver.web import authentication, operations, run_ids, submission_values
from storage import errors as storage_errors
from storage import ids, states
from storage.repositories import notifications, runs
from storage.transitions import adopting, submitting

#: The most seconds that a request waits for its run to end.
LONGEST_WAIT = 60

_WAIT = re.compile(r'wait\s*=\s*("?)(\d{1,9})\1', re.IGNORECASE | re.ASCII)

Submit = operations.Call[None, bodies.Submission]
Watch = operations.Call[None, bodies.WatchRequest]
Plain = operations.Call[None, None]

router = operations.Router("runs")
_PREFER = operations.Header(
    "Prefer", "`wait=N`: answer when the run has ended, or after N seconds.", r"^wait=\d{1,2}$"
)
#: The header of requests that submit a run.
IDEMPOTENCY_KEY = operations.Header(
    "Idempotency-Key",
    "A repeated request with the same key and content gets the same run or action.",
    r"^[!-~]([ -~]{0,253}[!-~])?$",
)
_RUN = {200: schemas_notification.FullRun, 202: schemas_notification.FullRun}


@router.operation(
    "POST",
    "/v1/runs",
    "Submit a run",
    _RUN,
    authentication.Scope.SUBMIT,
    headers=(IDEMPOTENCY_KEY, _PREFER),
    problems=(409,),
)
async def submit_run(call: Submit) -> operations.Answer:
    """Accept a run durably, whether or not the upstream can be reached now."""
    expected_by, key = call.timing.overdue_at(call.now), idempotency_key(call)
    submission = submission_values.submission(call.body, call.caller, call.now, expected_by, key)
    submitted = await call.database.write(submitting.submit, submission)
    done = submission_values.require_same(submitted)
    seconds = wait(call.headers.getlist("prefer"))
    if seconds is None:
        return await answer(call, done.run, 202 if done.is_new else 200)
    run = await _settled(call, done.run, seconds)
    return await answer(call, run, 200 if run.is_terminal else 202, {"preference-applied": f"wait={seconds}"})


def idempotency_key(call: operations.Call[Any, Any]) -> str | None:
    """Return the idempotency key of a submission, if it has one. Raises BadHeader."""
    return call.header(
        IDEMPOTENCY_KEY.name, "[ -~]{1,255}", "must be one value of 1 to 255 printable ASCII characters"
    )


def wait(preferences: list[str]) -> int | None:
    """Return the seconds of `Prefer: wait=N` (RFC 7240), capped, or None where there is no valid one.

    >>> wait(["respond-async, wait=10"]), wait(["wait=900"]), wait(["wait=soon"])
    (10, 60, None)
    """
    for preference in ",".join(preferences).split(","):
        found = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if found is not None:
            return min(int(found[2]), LONGEST_WAIT)
    return None


async def _settled(call: Submit, run: runs.Run, seconds: int) -> runs.Run:
    """Return the run once it has ended, after `seconds`, or when the client disconnects or the server stops.

    The run is accepted in any case, so a fault while waiting must not become an error.
    """
    try:
        await call.until(
            lambda: call.database.read(runs.status, run.id), lambda status: status in states.TERMINAL, seconds
        )
        return await call.database.read(runs.find, run.id) or run
    except storage_errors.Unavailable:
        return run


@router.operation(
    "POST",
    "/v1/watch",
    "Adopt a run that was created elsewhere",
    _RUN,
    authentication.Scope.SUBMIT,
    problems=(409,),
)
async def watch_run(call: Watch) -> operations.Answer:
    """Adopt a run that was created elsewhere.

    A known id answers with its record; a refused adoption is tried again.
    """
    known = await call.database.read(runs.find, call.body.run_id)
    if known is not None and not known.may_reopen:
        return await answer(call, run_ids.require_exact_run(known, call.body.run_id), 200)
    adoption = adopting.Adoption(
        id=ids.new(call.now),
        upstream_id=call.body.run_id,
        submitted_by=call.caller.name,
        trigger=states.Source.REQUEST,
        at=call.now,
        expected_by=call.timing.overdue_at(call.now),
        actor=call.caller.actor,
    )
    run, is_new = await call.database.write(adopting.adopt, adoption)
    return await answer(call, run_ids.require_exact_run(run, call.body.run_id), 202 if is_new else 200)


@router.operation(
    "POST", "/v1/runs/{id}/cancel", "Cancel a run", _RUN, authentication.Scope.SUBMIT, problems=(409,)
)
async def cancel_run(call: Plain) -> operations.Answer:
    """Record the request to cancel; the upstream decides in which state the run ends."""
    named = call.ids["id"]
    found = await call.database.write(submitting.request_cancel, named, call.caller.actor, call.now)
    run = run_ids.require_exact_run(found, named)
    return await answer(call, run, 200 if run.is_terminal else 202)


@router.operation(
    "POST",
    "/v1/runs/{id}/refresh",
    "Fetch a run again",
    {202: schemas_notification.FullRun},
    authentication.Scope.SUBMIT,
    problems=(409, 410),
)
async def refresh_run(call: Plain) -> operations.Answer:
    """Request the details from the upstream again, also for a run that is settled."""
    named = call.ids["id"]
    run = run_ids.require_exact_run(await call.database.write(submitting.request_refresh, named, call.now), named)
    if run.pruned_at is not None:
        raise errors.RunPruned(run.id)
    if run.upstream_id is None:
        raise errors.NotCreatedYet(run.id)
    return await answer(call, run, 202)


async def answer(
    call: operations.Call[Any, Any], run: runs.Run, status: int, headers: dict[str, str] | None = None
) -> operations.Answer:
    """Return the answer that shows a run with its notification, and its location."""
    location = {"location": call.mounted_path(f"/v1/runs/{run.id}")}
    sent = await call.database.read(notifications.find, run.id) if run.is_terminal else None
    with call.building(run.id):
        body = schemas_notification.run_object(run, sent)
    return operations.Answer(status, body, {**location, **(headers or {})})
