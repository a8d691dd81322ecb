"""The page from which the content of a run is erased, or held: what would go, and what forbids it."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.responses import Response

from receiver.api.proof import erasures
from receiver.pages import requests
from receiver.pages.run_parts import words
from receiver.schemas import retention
from receiver.web import run_ids
from receiver.web.authentication import Scope
from storage import errors, ids, states
from storage.query import run_lines
from storage.retention import contents, erasing, holds

router = requests.Router()
NO_REASON = "Give a reason of at most 500 characters. It stays in the ledger for ever: name a case, and no person."
NOTHING = "Nothing was left to erase."
NAMES = {
    states.Content.PROMPT: "prompt",
    states.Content.GUIDANCE: "guidance",
    states.Content.INSTRUCTIONS: "instructions",
    states.Content.OBJECT_IDS: "object ids",
    states.Content.OUTPUT: "answer",
    states.Content.SUMMARY: "summary",
    states.Content.FAILURE_REASON: "failure reason",
    states.Content.TAGS: "tags",
    states.Content.COMMENT: "comments of reviews",
}


@router.page("GET", "/runs/{id}/removal", Scope.ADMIN)
async def ask(given: requests.PageRequest) -> Response:
    """Show what an erasure would remove of a run, and what forbids it."""
    return await _page(given)


async def _page(given: requests.PageRequest, fault: str = "", status: int = 200) -> Response:
    run = await _run(given)
    chosen = frozenset(each for each in contents.CHOICES if each.value in given.fields("field")) or contents.USUAL
    erasure = erasing.Erasure(given.field("reason"), given.caller.actor, fields=chosen)
    plan = await erasures.plan(given.database, run.id, erasure)
    found = await given.database.read(holds.covering, run.seq)
    values = {
        "run": run,
        "plan": plan,
        "holds": found,
        "names": NAMES,
        "chosen": chosen,
        "fault": fault,
        "words": words,
    }
    return given.page("run/removal.html", status, reason=given.field("reason"), **values)


@router.page("POST", "/runs/{id}/removal", Scope.ADMIN)
async def act(given: requests.PageRequest) -> Response:
    """Show what would go, erase it, or hold the run, as the button of the form says."""
    if given.field("act") not in ("erase", "hold"):
        return await _page(given)
    run, reason = await _run(given), given.field("reason").strip()
    try:
        body = retention.ErasureRequest.model_validate({"reason": reason, "fields": given.fields("field") or None})
    except ValidationError:
        return await _page(given, NO_REASON, 422)
    try:
        if given.field("act") == "hold":
            scope = states.HoldScope.RUN
            hold = holds.Hold(ids.new(given.now), scope, run.id, reason, given.caller.actor, given.now)
            await given.database.write(holds.place, hold)
            return given.redirect(given.url(f"/runs/{run.id}/removal"), "The run is under a hold.")
        erasure = erasing.Erasure(body.reason, given.caller.actor, fields=body.chosen)
        erased = await erasures.erase(given.database, run.id, erasure, given.now)
    except (errors.NotErasable, errors.TooManyHolds) as refused:
        return await _page(given, str(refused), 409)
    back = given.url(f"/runs/{run.id}", {"tab": "timeline"})
    return given.redirect(back, "The content is erased." if erased.runs else NOTHING)


@router.page("POST", "/runs/{id}/removal/release", Scope.ADMIN)
async def release(given: requests.PageRequest) -> Response:
    """Release a hold that covers the run."""
    run = await _run(given)
    await given.database.write(holds.release, given.field("hold"), given.caller.actor, given.now)
    return given.redirect(given.url(f"/runs/{run.id}/removal"), "The hold is released.")


async def _run(given: requests.PageRequest) -> run_lines.Line:
    """Return the run that the address names exactly. Raises NotFound, RunIsOrphan."""
    named = given.ids["id"]
    found = await given.database.read(run_lines.find, named, ("id", "upstream_id", "prompt"))
    return run_ids.require_exact_run(found, named)
