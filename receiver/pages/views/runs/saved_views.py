"""Saved views of the list of runs: save the one that is shown, list them, delete one."""

from __future__ import annotations

from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.responses import Response

from receiver.pages import requests
from receiver.pages.run_list import faults
from receiver.schemas import actions
from receiver.web import view_access
from receiver.web.authentication import Scope
from storage import ids
from storage.actions import saved_views

router = requests.Router()


@router.page("GET", "/views", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """List the views of the visitor and the shared ones of others."""
    found = await given.read(lambda store: store.read(saved_views.visible_to, given.caller.name), quick=True)
    return given.page("views.html", views=found)


@router.page("POST", "/views", Scope.READ)
async def save(given: requests.PageRequest) -> Response:
    """Save the question that the form names, for the visitor or for all."""
    asked, fault = faults.understood(given, given.form)
    question = {name: value for name, value in asked.question.parameters(cursor="", columns=None).items() if value}
    address = given.url("/runs", asked.question.parameters(cursor=""))
    names = asked.question.columns.split(",") if asked.question.columns else None
    try:
        body = actions.NewView.model_validate(
            {
                "name": given.field("name").strip(),
                "question": urlencode(question),
                "columns": names,
                "isShared": given.field("shared") == "1",
            }
        )
    except ValidationError:
        return given.redirect(address, "Not saved: a name has 1 to 100 characters.")
    if fault is not None:
        return given.redirect(address, "Not saved: the filter has a mistake.")
    owner = given.caller.name
    view = saved_views.View(
        ids.new(given.now), owner, body.name, body.is_shared, body.question, body.columns, given.now, given.now
    )
    await given.database.write(saved_views.save, view, given.caller.actor)
    return given.redirect(address, f"The view {body.name} is saved.")


@router.page("POST", "/views/{id}/delete", Scope.READ)
async def delete(given: requests.PageRequest) -> Response:
    """Delete a view of the visitor; a key with the scope `admin` may delete a shared one of others."""
    found = await given.database.read(saved_views.find, given.ids["id"])
    view = view_access.require_own(found, given.caller)
    await given.database.write(saved_views.remove, view.id, given.caller.actor, given.now)
    return given.redirect(given.url("/views"), f"The view {view.name} is deleted.")
