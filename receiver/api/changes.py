"""The change feed: all ledger entries in the order of their numbers, without gaps, as a page or a stream."""

from __future__ import annotations

from receiver import errors, http_headers
from receiver.schemas import changes, json_rows, query_parameters
from receiver.streams import subscribers
from receiver.web import operations, streaming
from receiver.web.authentication import Scope
from storage.engine import column_types, database
from storage.engine.database import Reader
from storage.ledger import entries as ledger_entries
from storage.query import change_feed
from storage.repositories import system_state

Following = operations.Call[query_parameters.ChangeQuery, None]

router = operations.Router("changes")
_LAST = operations.Header(
    "Last-Event-ID", "For a stream: the same as `after`, which it overrides.", r"^(-1|\d{1,15})$"
)


@router.operation(
    "GET",
    "/v1/changes",
    "Read the change feed: a page, or a stream for a client that accepts `text/event-stream`",
    {200: changes.Changes},
    Scope.READ,
    headers=(_LAST,),
    problems=(409,),
    is_streamed=True,
    name="list_changes",
)
async def follow_changes(call: Following) -> operations.Answer:
    """Answer with a page, or with a stream for a client that accepts one. Both hold the same entries."""
    after = _start(call)
    if http_headers.prefers(call.headers.getlist("accept"), streaming.TYPE, "application/json"):
        return await _stream(call, after)
    return await list_changes(call)


async def list_changes(call: Following) -> operations.Answer:
    """Answer with the entries after a number. A client that has read up to n never finds a new entry below n.

    The exception is a store that was restored from an older copy: then a number that is not reached any more is a
    409, and `restoredAt` differs from before.
    """
    after, selection = call.query.after, call.query.selection(call.now)
    reader = Reader.TIMED if selection.excludes_deployment else Reader.QUICK

    def read(store: database.Snapshot) -> tuple[change_feed.FeedPage, system_state.CopyStatus]:
        found = store.read(change_feed.read_page, after, selection, call.query.limit)
        return found, store.read(system_state.copy_status)

    found, copy = await call.database.read_by(reader, read)
    if found.last is not None and found.last < after:
        raise errors.CursorBeyondEnd(after, found.last)
    page = {
        "changes": changes.CHANGES.list_of(list(map(changes.values, found.changes)))[0],
        "hasMore": found.has_more,
        "nextAfter": found.number,
        "restoredAt": None if copy.restored_at is None else column_types.instant_text(copy.restored_at),
    }
    link = call.link("after", found.number if found.has_more else None)
    return operations.Answer(200, json_rows.encode(page), {**link, **_VARY})


async def _stream(call: Following, number: int | None) -> operations.Answer:
    """Answer with a stream of the entries after a number, or from now on where `number` is None."""
    context = call.context
    question = subscribers.Subscription(call.query.filter_key, lambda: call.query.selection(context.clock()))
    question.build()  # raises for an invalid filter before the stream begins
    if number is None:
        number = await call.database.read(ledger_entries.last_number)
    events = await context.feed.subscribe(call.database, number, question, call.timing, context.stopping)
    return operations.Answer(200, events=events, headers=_VARY)


def _start(call: Following) -> int | None:
    """Return the number to start after. The header wins: a client that connects again repeats its first query."""
    rule = "must be the number of the last change that was received, or -1"
    given = call.header(_LAST.name, _LAST.pattern, rule)
    if given is None:
        return call.query.after if "after" in call.query.model_fields_set else None
    return int(given)


_VARY = {"vary": "accept"}
