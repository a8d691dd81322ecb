"""The deliveries: requests that arrived at the public endpoints."""

from __future__ import annotations

from receiver import errors
from receiver.schemas import query_parameters, responses, unreadable_rows
from receiver.web import authentication, operations
from storage import states
from storage.repositories import deliveries, runs

Listing = operations.Call[query_parameters.DeliveryQuery, None]
Plain = operations.Call[None, None]

router = operations.Router("deliveries")


@router.operation(
    "GET", "/v1/deliveries", "List deliveries", {200: responses.Deliveries}, authentication.Scope.READ
)
async def list_deliveries(call: Listing) -> operations.Answer:
    """Answer with a page of deliveries without their bodies, newest first."""
    parameters = call.query
    run_id = parameters.run and await call.database.read(runs.resolve_id, parameters.run)
    source = None if parameters.source is None else states.Source(parameters.source)
    query = deliveries.Query(run_id, parameters.verdict, source, parameters.limit, parameters.cursor)
    found, cursor = await call.database.read(deliveries.page, query)
    lines, unread = unreadable_rows.readable(found, responses.Delivery.model_validate)
    more = cursor is not None
    page = responses.Deliveries(deliveries=lines, has_more=more, next_cursor=cursor, unreadable=unread)
    return operations.Answer(200, page, call.link("cursor", cursor))


@router.operation(
    "GET",
    "/v1/deliveries/{id}",
    "One delivery with its body",
    {200: responses.DeliveryWithBody},
    authentication.Scope.READ,
)
async def get_delivery(call: Plain) -> operations.Answer:
    """Answer with one delivery, its headers and its body."""
    found = await call.database.read(deliveries.find, call.ids["id"])
    if found is None:
        raise errors.NotFound("there is no delivery of that id")
    with call.building(found.id):
        return operations.Answer(200, responses.DeliveryWithBody.of(found))
