"""What came to the public endpoints."""

from __future__ import annotations

from receiver import access, endpoint, errors, shapes
from storage import deliveries, runs, states

Listing = endpoint.Call[shapes.DeliveryQuery, None]
Plain = endpoint.Call[None, None]


async def list_deliveries(call: Listing) -> endpoint.Answer:
    """A page of deliveries without their bodies, newest first."""
    asked = call.query
    run_id = asked.run and await call.database.read(runs.own_id, asked.run)
    query = deliveries.Query(run_id, asked.verdict, _road(asked), asked.limit, asked.cursor)
    found, cursor = await call.database.read(deliveries.page, query)
    lines, unread = shapes.readable(found, shapes.Delivery.model_validate)
    more = cursor is not None
    page = shapes.Deliveries(deliveries=lines, has_more=more, next_cursor=cursor, unreadable=unread)
    return endpoint.Answer(200, page, call.link("cursor", cursor))


def _road(asked: shapes.DeliveryQuery) -> states.Road | None:
    return None if asked.road is None else states.Road(asked.road)


async def get_delivery(call: Plain) -> endpoint.Answer:
    """One delivery with its headers and its body."""
    found = await call.database.read(deliveries.find, call.ids["id"])
    if found is None:
        raise errors.NotFound("there is no delivery of that id")
    return endpoint.Answer(200, shapes.DeliveryWithBody.of(found))


OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/v1/deliveries",
        "List deliveries",
        list_deliveries,
        {200: shapes.Deliveries},
        access.Scope.READ,
        query=shapes.DeliveryQuery,
        tag="deliveries",
    ),
    endpoint.Operation(
        "GET",
        "/v1/deliveries/{id}",
        "One delivery with its body",
        get_delivery,
        {200: shapes.DeliveryWithBody},
        access.Scope.READ,
        tag="deliveries",
    ),
)
