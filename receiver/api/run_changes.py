"""Requests about a run that is stored: change its tags, run it again, notify again."""

from __future__ import annotations

from collections.abc import Mapping

from receiver.api import submissions
from receiver.schemas import bodies
from receiver.schemas import notification as schemas_notification
from receiver.web import operations, run_ids, submission_values
from receiver.web.authentication import Scope
from storage.repositories import runs
from storage.transitions import retrying, submitting

Replacing = operations.Call[None, bodies.NewTags]
Tagging = operations.Call[None, bodies.TagChanges]
Again = operations.Call[None, bodies.Again]
Plain = operations.Call[None, None]

router = operations.Router("runs")
_RUN = {200: schemas_notification.FullRun}
_ACCEPTED = {202: schemas_notification.FullRun}


@router.operation("PUT", "/v1/runs/{id}/tags", "Replace the tags of a run", _RUN, Scope.SUBMIT, problems=(409,))
async def replace_tags(call: Replacing) -> operations.Answer:
    """Put the tags of the body in place of all that the run has."""
    return await _change_tags(call, call.body.tags, replaces=True)


@router.operation(
    "PATCH", "/v1/runs/{id}/tags", "Set and remove tags of a run", _RUN, Scope.SUBMIT, problems=(409, 422)
)
async def change_tags(call: Tagging) -> operations.Answer:
    """Set the tags of the body; null removes a tag, and the others stay."""
    return await _change_tags(call, call.body.tags, replaces=False)


async def _change_tags(
    call: Replacing | Tagging, tags: Mapping[str, str | None], *, replaces: bool
) -> operations.Answer:
    named, actor = call.ids["id"], call.caller.actor
    found = await call.database.write(submitting.change_tags, named, tags, actor, call.now, replaces=replaces)
    return await submissions.answer(call, run_ids.require_exact_run(found, named), 200)


@router.operation(
    "POST",
    "/v1/runs/{id}/again",
    "Run a run again",
    _RUN | _ACCEPTED,
    Scope.SUBMIT,
    headers=(submissions.IDEMPOTENCY_KEY,),
    problems=(409,),
)
async def run_again(call: Again) -> operations.Answer:
    """Submit the content of a run as a new run, which names the first one, with the changes of the body."""
    named = call.ids["id"]
    run_ids.require_exact_run(await call.database.read(runs.find, named), named)
    changes, key = call.body.model_dump(exclude_none=True), submissions.idempotency_key(call)
    expected_by = call.timing.overdue_at(call.now)
    again = submission_values.again(named, changes, call.caller, call.now, expected_by, key)
    done = submission_values.require_same(await call.database.write(submitting.run_again, again))
    return await submissions.answer(call, done.run, 202 if done.is_new else 200)


@router.operation(
    "POST", "/v1/runs/{id}/notify", "Notify the backend again", _ACCEPTED, Scope.SUBMIT, problems=(409,)
)
async def notify_again(call: Plain) -> operations.Answer:
    """Send the notification of an ended run once more, with the same id and body, or now where it waits."""
    named = call.ids["id"]
    found = await call.database.write(retrying.notify_again, named, call.caller.actor, call.now)
    return await submissions.answer(call, run_ids.require_exact_run(found, named), 202)
