"""The feed: all that happened, in the order of the sealer's numbers, without gaps: a page or a stream of it."""

from __future__ import annotations

import re

from receiver import access, endpoint, errors, following, headers, shapes
from storage import following as feed
from storage import house, ledger

Following = endpoint.Call[shapes.ChangeQuery, None]

_NUMBER = re.compile(r"-1|[0-9]{1,15}")


async def follow_changes(call: Following) -> endpoint.Answer:
    """A page for who asks now and then, a stream for who accepts one: the same entries in either."""
    place = _place(call)
    if headers.prefers(call.headers.getlist("accept"), endpoint.STREAM, "application/json"):
        return await _stream(call, place)
    return await list_changes(call)


async def list_changes(call: Following) -> endpoint.Answer:
    """Entries above a number. Who has read up to n will never find a new one below n.

    Unless the store was restored from an older copy: a number that is not reached any more is a 409 then, and
    `restoredAt` is another one than before.
    """
    after, wish = call.query.after, call.query.wish(call.now)
    reading = call.database.ask if wish.is_of_runs else call.database.read
    found = await reading(feed.look, after, wish, call.query.limit)
    if found.last is not None and found.last < after:
        raise errors.BeyondTheEnd(after, found.last)
    restored_at = (await call.database.read(house.origin)).restored_at
    entries = [shapes.Change.of(each) for each in found.shown]
    page = shapes.Changes(
        changes=entries, has_more=found.has_more, next_after=found.number, restored_at=restored_at
    )
    link = call.link("after", found.number if found.has_more else None)
    return endpoint.Answer(200, page, {**link, **_VARY})


async def _stream(call: Following, number: int | None) -> endpoint.Answer:
    """What comes behind a number, from now on where there is none."""
    context = call.context
    question = following.Question(call.query.asked, lambda: call.query.wish(context.clock()))
    question.wish()  # what cannot be read is told before the stream begins
    if number is None:
        number = await call.database.read(ledger.last_number)
    events = await context.feed.follow(call.database, number, question, call.timing, context.stopping)
    return endpoint.Answer(200, events=events, headers=_VARY)


def _place(call: Following) -> int | None:
    """The header wins: a client that connects again keeps the query of its first call."""
    given = call.headers.getlist(_LAST.name)
    if not given:
        return call.query.after if "after" in call.query.model_fields_set else None
    if len(given) > 1 or _NUMBER.fullmatch(given[0]) is None:
        raise errors.BadHeader(_LAST.name, "is the number of the last change that was received, or -1")
    return int(given[0])


_VARY = {"vary": "accept"}
_LAST = endpoint.Header("Last-Event-ID", "Of a stream: as `after`; it wins.", r"^(-1|\d{1,15})$")

OPERATIONS = (
    endpoint.Operation(
        "GET",
        "/v1/changes",
        "All that happened, in order: a page, or a stream for who accepts `text/event-stream`",
        follow_changes,
        {200: shapes.Changes},
        access.Scope.READ,
        query=shapes.ChangeQuery,
        headers=(_LAST,),
        tag="changes",
        problems=(409,),
        is_streamed=True,
        name="list_changes",
    ),
)
