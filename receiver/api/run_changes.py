"""Requests about a run that is stored: change its tags."""

from __future__ import annotations

from collections.abc import Mapping

from receiver.api import run_ids, submissions
from receiver.schemas import bodies
from receiver.schemas import notification as schemas_notification
from receiver.web import operations
from receiver.web.authentication import Scope
from storage.transitions import submitting

Replacing = operations.Call[None, bodies.NewTags]
Tagging = operations.Call[None, bodies.TagChanges]

router = operations.Router("runs")
_RUN = {200: schemas_notification.FullRun}


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
