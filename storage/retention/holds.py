"""Legal holds on runs: on one run, on a tag, or on all that a question matches. A hold beats every removal.

What a hold covers is decided in the transaction that removes, behind a lock that the placing of a hold takes too:
a hold that was placed before a removal commits is always seen by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, false, func, or_, select, true, update

from storage import cursors, errors, merkle, states
from storage.engine import dialect
from storage.ledger import entries
from storage.query import conditions, grammar
from storage.search import lookups
from storage.tables import declare
from storage.tables.retention import HOLDS
from storage.tables.runs import RUNS
from storage.tables.search import SEARCH_QUEUE

#: The most open holds of each scope: a removal reads all of them, and a database bounds the depth of a condition.
MOST = {states.HoldScope.RUN: 5000, states.HoldScope.TAG: 200, states.HoldScope.QUESTION: 50}


@dataclass(frozen=True, slots=True)
class Hold:
    """A row of `holds`. `target` is our id of a run, `key=value`, or a question in the filter language."""

    id: str
    scope: states.HoldScope
    target: str
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None


def place(connection: Connection, hold: Hold) -> Hold:
    """Place a hold. Raises TooManyHolds, and BadQuery or BadFilter for a question that cannot be asked."""
    take_turn(connection)
    if known := find(connection, hold.id):  # an earlier try of this call
        return known
    expression = _expression(hold)
    lookups.require_selective(connection, conditions.phrases(expression, with_excluded=True))
    same = HOLDS.c.released_at.is_(None), HOLDS.c.scope == hold.scope.value
    if connection.execute(select(func.count()).where(*same)).scalar_one() >= MOST[hold.scope]:
        raise errors.TooManyHolds(
            f"{MOST[hold.scope]} holds of the scope {hold.scope} are open: release one, or hold by a tag"
        )
    connection.execute(HOLDS.insert(), declare.row(HOLDS, hold) | {"scope": hold.scope.value})
    _record(connection, entries.Kind.HOLD_PLACED, hold, hold.placed_by, hold.placed_at)
    return hold


def release(connection: Connection, hold_id: str, by: str, now: datetime) -> Hold | None:
    """Release a hold; one that was released before stays as it is. Return None where there is none."""
    take_turn(connection)
    hold = find(connection, hold_id)
    if hold is None or hold.released_at is not None:
        return hold
    released = {"released_by": by, "released_at": now}
    connection.execute(update(HOLDS).where(HOLDS.c.id == hold_id).values(released))
    _record(connection, entries.Kind.HOLD_RELEASED, hold, by, now)
    return find(connection, hold_id)


def find(connection: Connection, hold_id: str) -> Hold | None:
    """Return the hold with this id."""
    row = connection.execute(_ALL.where(HOLDS.c.id == hold_id)).first()
    return None if row is None else _hold(row)


def page(
    connection: Connection, limit: int = 50, cursor: str | None = None, *, only_open: bool = False
) -> tuple[list[Hold], str | None]:
    """Return a page of holds, newest first, and the cursor of the next page. Raises BadCursor."""
    newest = _ALL.order_by(HOLDS.c.id.desc()).limit(limit + 1)  # ids are in the order of time
    if only_open:
        newest = newest.where(HOLDS.c.released_at.is_(None))
    if cursor is not None:
        newest = newest.where(HOLDS.c.id < str(cursors.parse(cursor, _NEWEST).value))
    found = [_hold(row) for row in connection.execute(newest)]
    if len(found) <= limit:
        return found, None
    return found[:limit], str(cursors.Cursor(_NEWEST, found[limit - 1].id, 0))


def take_turn(connection: Connection) -> None:
    """Wait until no other transaction places holds or removes; call this before the first look at either."""
    dialect.acquire_locks(connection, ["holds"])


def covers(connection: Connection) -> ColumnElement[bool]:
    """Return the condition that an open hold covers a run; it is never null."""
    found = [_condition(connection, each) for each in _together(_open(connection))]
    return func.coalesce(or_(false(), *found), false())


def covering(connection: Connection, run_seq: int) -> list[Hold]:
    """Return the open holds that cover the run of this key."""
    of_run = select(RUNS.c.seq).where(RUNS.c.seq == run_seq)
    named = select(RUNS.c.id).where(RUNS.c.seq == run_seq).scalar_subquery()
    # Of the holds on single runs, of which there may be thousands, only those on this one are read.
    possible = or_(HOLDS.c.scope != states.HoldScope.RUN.value, HOLDS.c.target == named)
    return [
        hold
        for hold in _open(connection, possible)
        if connection.execute(of_run.where(_condition(connection, _expression(hold)))).first()
    ]


def _open(connection: Connection, *which: ColumnElement[bool]) -> list[Hold]:
    rows = connection.execute(_ALL.where(HOLDS.c.released_at.is_(None), *which).order_by(HOLDS.c.id))
    return [_hold(row) for row in rows]


def _expression(hold: Hold) -> grammar.Expression:
    """Return what a hold covers; ages in a question count from its placement."""
    if hold.scope is states.HoldScope.QUESTION:
        return grammar.parse(hold.target, hold.placed_at)
    name, value = "id", hold.target
    if hold.scope is states.HoldScope.TAG:
        key, _, value = hold.target.partition("=")
        name = f"{grammar.TAG_PREFIX}{key}"
    return grammar.Equals(name, (grammar.Value(value),))


def _together(holds: Sequence[Hold]) -> Iterator[grammar.Expression]:
    """Yield what the holds cover, in as few expressions as there are names and questions."""
    values: dict[str, list[grammar.Value]] = {}
    for hold in holds:
        match _expression(hold):
            case grammar.Equals(name, (value,)) if hold.scope is not states.HoldScope.QUESTION:
                values.setdefault(name, []).append(value)
            case expression:
                yield expression
    yield from (grammar.Equals(name, tuple(given)) for name, given in values.items())


def _condition(connection: Connection, expression: grammar.Expression) -> ColumnElement[bool]:
    """Return the condition that a run matches, or may match once its words are in the index."""
    found = and_(true(), *conditions.where(connection, expression))
    if next(conditions.phrases(expression, with_excluded=True), None) is None:
        return found
    could = conditions.where(connection, conditions.without_phrases(expression))
    is_queued = RUNS.c.seq.in_(select(SEARCH_QUEUE.c.run_seq))
    # A run of which a part was erased is not in the index any more.
    return or_(found, and_(or_(is_queued, RUNS.c.pruned_at.is_not(None)), *could))


def _record(connection: Connection, kind: entries.Kind, hold: Hold, actor: str, now: datetime) -> None:
    is_of_run = hold.scope is states.HoldScope.RUN
    facts: dict[str, entries.Fact | None]
    facts = {"holdId": hold.id, "scope": hold.scope.value, "reason": hold.reason}
    digests = [] if is_of_run else merkle.salted_digest("question", hold.target)
    run_id = hold.target if is_of_run else None
    entries.append(connection, [entries.Entry(kind, now, run_id, actor, facts, list(digests))])


def _hold(row: Any) -> Hold:
    return Hold(**row._asdict() | {"scope": states.read(states.HoldScope, row.scope)})


_NEWEST = "-id"
_ALL = select(*(HOLDS.c[each.name] for each in fields(Hold)))
