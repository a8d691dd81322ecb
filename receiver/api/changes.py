"""The feed: all that happened, in the order of the sealer's numbers, which have no gaps."""

from __future__ import annotations

from receiver import access, endpoint, errors, shapes
from storage import changes, house, ledger

Following = endpoint.Call[shapes.ChangeQuery, None]


async def list_changes(call: Following) -> endpoint.Answer:
    """Entries above a number. Who has read up to n will never find a new one below n.

    Unless the store was restored from an older copy: a number that is not reached any more is a 409 then, and
    `restoredAt` is another one than before.
    """
    after, limit = call.query.after, call.query.limit
    found = await call.database.read(changes.after, after, limit + 1)
    last = after if found else await call.database.read(ledger.last_number)
    if after > last:
        raise errors.BeyondTheEnd(after, last)
    restored_at = (await call.database.read(house.origin)).restored_at
    entries = [shapes.Change.of(each) for each in found[:limit]]
    next_after = entries[-1].number if entries else after
    has_more = len(found) > limit
    page = shapes.Changes(changes=entries, has_more=has_more, next_after=next_after, restored_at=restored_at)
    return endpoint.Answer(200, page, call.link("after", next_after if has_more else None))


OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/v1/changes",
        "All that happened, in order",
        list_changes,
        {200: shapes.Changes},
        access.Scope.READ,
        query=shapes.ChangeQuery,
        tag="changes",
        problems=(409,),
    ),
)
