"""Saved views of the list of runs."""

from __future__ import annotations

from receiver import errors
from receiver.schemas import actions
from receiver.web import operations, view_access
from receiver.web.authentication import Scope
from storage import ids
from storage.actions import saved_views
from storage.engine import database

Saving = operations.Call[None, actions.NewView]
Plain = operations.Call[None, None]

router = operations.Router("views")


@router.operation("GET", "/v1/views", "List saved views", {200: actions.Views}, Scope.READ)
def list_views(call: Plain, store: database.Snapshot) -> operations.Answer:
    """Answer with the views of the caller and the shared ones of others."""
    found = store.read(saved_views.visible_to, call.caller.name)
    return operations.Answer(200, actions.Views(views=[actions.View.model_validate(each) for each in found]))


@router.operation("POST", "/v1/views", "Save a view", {201: actions.View}, Scope.READ, problems=(409,))
async def save_view(call: Saving) -> operations.Answer:
    """Save a view, which belongs to the name of the caller's API key."""
    view = _view(call, ids.new(call.now), call.caller.name)
    return _answer(201, await call.database.write(saved_views.save, view, call.caller.actor))


@router.operation(
    "PUT", "/v1/views/{id}", "Replace a saved view", {200: actions.View}, Scope.READ, problems=(403, 409)
)
async def replace_view(call: Saving) -> operations.Answer:
    """Replace a view of the caller; a key with the scope `admin` may replace any."""
    known = await _own(call)
    view = _view(call, known.id, known.owner)
    stored = await call.database.write(saved_views.replace, view, call.caller.actor)
    if stored is None:
        raise _missing()
    return _answer(200, stored)


@router.operation("DELETE", "/v1/views/{id}", "Delete a saved view", {204: None}, Scope.READ, problems=(403,))
async def delete_view(call: Plain) -> operations.Answer:
    """Delete a view of the caller; a key with the scope `admin` may delete any."""
    known = await _own(call)
    await call.database.write(saved_views.remove, known.id, call.caller.actor, call.now)
    return operations.Answer(204)


async def _own(call: Saving | Plain) -> saved_views.View:
    """Return the view, which the caller may change. Raises NotFound, NotPermitted."""
    return view_access.require_own(await call.database.read(saved_views.find, call.ids["id"]), call.caller)


def _view(call: Saving, view_id: str, owner: str) -> saved_views.View:
    body = call.body
    return saved_views.View(
        view_id, owner, body.name, body.is_shared, body.question, body.columns, call.now, call.now
    )


def _answer(status: int, view: saved_views.View) -> operations.Answer:
    return operations.Answer(status, actions.View.model_validate(view))


def _missing() -> errors.NotFound:
    return errors.NotFound("there is no saved view with that id")
