"""Bulk actions: the list of them, how far one has come, and the button that stops it."""

from __future__ import annotations

from starlette.responses import Response

from receiver import errors
from receiver.pages import requests
from receiver.pages.run_list import bulk as run_list_bulk
from receiver.web.authentication import Scope
from storage.actions import bulk

router = requests.Router()
#: Rows of a page.
ROWS = 50


@router.page("GET", "/bulk", Scope.READ)
async def show_list(given: requests.PageRequest) -> Response:
    """Show a page of actions, newest first."""
    given_cursor = given.parameter("cursor")
    found, cursor = await given.read(lambda store: store.read(bulk.page, ROWS, given_cursor or None))
    acts = run_list_bulk.BY_NAME
    values = {"actions": found, "acts": acts, "cursor": cursor, "given_cursor": given_cursor}
    if given.is_partial:
        return given.partial("bulk_list.html", "actions", **values)
    return given.page("bulk_list.html", **values)


@router.page("GET", "/bulk/{id}", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """Show the progress; with scripts it is asked for each second, without them the page loads itself again."""
    found = await given.read(lambda store: store.read(bulk.find, given.ids["id"]), quick=True)
    if found is None:
        raise errors.NotFound("there is no bulk action with that id")
    if given.is_partial:
        return given.partial("bulk.html", "progress", action=found)
    act = run_list_bulk.BY_NAME.get(found.action)
    return given.page("bulk.html", action=found, title=act.title if act else found.action)


@router.page("POST", "/bulk/{id}/stop", Scope.SUBMIT)
async def stop(given: requests.PageRequest) -> Response:
    """Stop an action; runs whose turn has not come stay as they are."""
    found = await given.database.write(bulk.stop, given.ids["id"], given.now)
    if found is None:
        raise errors.NotFound("there is no bulk action with that id")
    return given.redirect(given.url(f"/bulk/{found.id}"), "Stopped. What is done stays done.")
