"""The deliveries: requests that arrived at the public endpoints."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from receiver import errors
from receiver.schemas import json_rows, query_parameters, responses
from receiver.web import operations
from receiver.web.authentication import Scope
from storage import states
from storage.engine import database
from storage.engine.database import Reader
from storage.repositories import deliveries, runs

Listing = operations.Call[query_parameters.DeliveryQuery, None]
Plain = operations.Call[None, None]

router = operations.Router("deliveries")


@router.operation(
    "GET", "/v1/deliveries", "List deliveries", {200: responses.Deliveries}, Scope.READ, reader=Reader.PLAIN
)
def list_deliveries(call: Listing, store: database.Snapshot) -> operations.Answer:
    """Answer with a page of deliveries without their bodies, newest first."""
    parameters = call.query
    run_id = parameters.run and store.read(runs.resolve_id, parameters.run)
    source = None if parameters.source is None else states.Source(parameters.source)
    query = deliveries.Query(run_id, parameters.verdict, source, parameters.limit, parameters.cursor)
    found, cursor = store.read(deliveries.page, query)
    page = _DELIVERIES.page("deliveries", list(map(_DELIVERIES.values, found)), cursor)
    return operations.Answer(200, page, call.link("cursor", cursor))


@router.operation(
    "GET",
    "/v1/deliveries/{id}",
    "Get a delivery with its body",
    {200: responses.DeliveryWithBody},
    Scope.READ,
    reader=Reader.PLAIN,
)
def get_delivery(call: Plain, store: database.Snapshot) -> operations.Answer:
    """Answer with one delivery, its headers and its body."""
    found = store.read(deliveries.find, call.ids["id"])
    if found is None:
        raise errors.NotFound("there is no delivery with that id")
    with call.building(found.id):
        return operations.Answer(200, _with_body(found))


@router.operation(
    "POST",
    "/v1/deliveries/{id}/process",
    "Process a delivery again",
    {202: responses.Delivery},
    Scope.ADMIN,
    problems=(409,),
)
async def process_delivery(call: Plain) -> operations.Answer:
    """Accept a rejected event that verifies by now, or fetch the run of an accepted delivery again."""
    found = await call.context.process(call.ids["id"], call.caller.actor, call.now)
    with call.building(found.id):
        return operations.Answer(202, bytes(_DELIVERIES.one(_DELIVERIES.values(found))))


def _with_body(stored: deliveries.StoredDelivery) -> bytes:
    sent = stored.body or b""
    is_pruned = stored.size != 0 and not sent
    values = _WITH_BODY.values(
        stored,
        headers=stored.headers if isinstance(stored.headers, Mapping) else {},
        body=base64.b64encode(sent).decode("ascii"),
        text=None if is_pruned else _text(sent),
    )
    return bytes(_WITH_BODY.one(values))


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


_DELIVERIES = json_rows.JsonRows(responses.Delivery)
_WITH_BODY = json_rows.JsonRows(responses.DeliveryWithBody)
