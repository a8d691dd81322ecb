"""What can be done with a run: cancel it, fetch it again, notify the backend again, change its tags."""

from __future__ import annotations

from pydantic import ValidationError
from starlette.responses import Response

from receiver import errors
from receiver.pages import requests, tag_text
from receiver.schemas import bodies
from receiver.web import run_ids
from receiver.web.authentication import Scope
from storage import states
from storage.repositories import runs
from storage.transitions import retrying, submitting

router = requests.Router()
BAD_TAGS = (
    "Write one a line, as client=tidewater: a name of letters, digits and _ . -, and a value of at most 256 "
    "characters; at most fifty."
)


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


@router.page("POST", "/runs/{id}/notify", Scope.SUBMIT)
async def notify(given: requests.PageRequest) -> Response:
    """Send the notification of an ended run once more, or now where it waits."""
    found = await given.database.write(retrying.notify_again, given.ids["id"], given.caller.actor, given.now)
    return _back(given, _exact(given, found), "The backend is notified again.")


@router.page("GET", "/runs/{id}/tags", Scope.SUBMIT)
async def edit_tags(given: requests.PageRequest) -> Response:
    """Show the tags of a run as text."""
    run = _exact(given, await given.database.read(runs.find, given.ids["id"]))
    return given.page("run/tags.html", run=run, tags=tag_text.text(run.tags), fault="")


@router.page("POST", "/runs/{id}/tags", Scope.SUBMIT)
async def change_tags(given: requests.PageRequest) -> Response:
    """Put the tags of the form in place of all that the run has."""
    text, named = given.field("tags").replace("\r\n", "\n"), given.ids["id"]
    try:
        tags = bodies.NewTags.model_validate({"tags": tag_text.tags(text)}).tags
    except ValidationError:
        run = _exact(given, await given.database.read(runs.find, named))
        return given.page("run/tags.html", 422, run=run, tags=text, fault=BAD_TAGS)
    found = await given.database.write(
        submitting.change_tags, named, tags, given.caller.actor, given.now, replaces=True
    )
    return _back(given, _exact(given, found), "The tags are changed.")


def _exact(given: requests.PageRequest, run: runs.Run | None) -> runs.Run:
    """Return the run that the address names exactly. Raises NotFound, RunIsOrphan."""
    return run_ids.require_exact_run(run, given.ids["id"])


def _back(given: requests.PageRequest, run: runs.Run, note: str) -> Response:
    return given.redirect(given.url(f"/runs/{run.id}"), note)
