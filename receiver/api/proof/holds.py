"""Legal holds: what they cover is neither erased nor removed by age."""

from __future__ import annotations

from receiver import errors
from receiver.schemas import retention
from receiver.web import operations, run_ids
from receiver.web.authentication import Scope
from storage import ids, states
from storage.engine import database
from storage.query import run_lines
from storage.retention import holds

Placing = operations.Call[None, retention.NewHold]
Listing = operations.Call[retention.HoldQuery, None]
Plain = operations.Call[None, None]

router = operations.Router("holds")


@router.operation(
    "POST", "/v1/holds", "Place a legal hold", {201: retention.Hold}, Scope.ADMIN, problems=(400, 404, 409)
)
async def place_hold(call: Placing) -> operations.Answer:
    """Place a hold on a run, on a tag, or on all that a question matches at the moment of a removal."""
    body, target = call.body, call.body.target
    if body.scope is states.HoldScope.RUN:
        found = await call.database.read(run_lines.find, target, ("id", "upstream_id"))
        target = run_ids.require_exact_run(found, target).id
    hold = holds.Hold(ids.new(call.now), body.scope, target, body.reason, call.caller.actor, call.now)
    return _answer(201, await call.database.write(holds.place, hold))


@router.operation("GET", "/v1/holds", "List legal holds", {200: retention.Holds}, Scope.ADMIN)
def list_holds(call: Listing, store: database.Snapshot) -> operations.Answer:
    """Answer with a page of holds, newest first."""
    query = call.query
    found, cursor = store.read(holds.page, query.limit, query.cursor, only_open=query.state == "open")
    shown = [retention.Hold.model_validate(each) for each in found]
    page = retention.Holds(holds=shown, has_more=cursor is not None, next_cursor=cursor)
    return operations.Answer(200, page, call.link("cursor", cursor))


@router.operation("POST", "/v1/holds/{id}/release", "Release a legal hold", {200: retention.Hold}, Scope.ADMIN)
async def release_hold(call: Plain) -> operations.Answer:
    """Release a hold; one that was released before stays as it is."""
    found = await call.database.write(holds.release, call.ids["id"], call.caller.actor, call.now)
    if found is None:
        raise errors.NotFound("there is no hold with that id")
    return _answer(200, found)


def _answer(status: int, hold: holds.Hold) -> operations.Answer:
    return operations.Answer(status, retention.Hold.model_validate(hold))
