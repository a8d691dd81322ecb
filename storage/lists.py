"""Statements about many runs at once: pages of them, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from storage import columns, conditions, cursors, errors, filters, runs, search
from storage.tables import RUNS

#: Up to how many runs are counted; where words have to be looked up, fewer.
COUNTED, COUNTED_BY_WORDS = 10_000, 1_000
#: Of so many runs at most, the newest, it is looked which are most relevant; and phrases that are shown of a run.
RANKED, SNIPPETS = 1_000, 3
RELEVANCE = "-relevance"
#: Keys in the first window that is looked at, and how many times more are in each further one.
WINDOW, GROWTH = 512, 8

#: What lists can be sorted by; each has an index that ends with the key.
SORTS = {
    "accepted": RUNS.c.seq,
    "created": conditions.CREATED,
    "settled": RUNS.c.settled_at,
    "cost": RUNS.c.cost_micros,
    "duration": RUNS.c.duration_ms,
    "tokens": conditions.TOKENS,
}


@dataclass(frozen=True, slots=True)
class Query:
    """A page of runs: which, in what order (a name of SORTS, `-` for descending), how many, after what."""

    wanted: filters.Expression = filters.EVERYTHING
    sort: str = "-accepted"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many runs there are, at least where it is not `exact`."""

    count: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A page and what it was asked to tell beside it.

    `snippets` by the seq of a run, and `unindexed`, the runs whose words are not to be found yet, are told where
    words are asked for.
    """

    runs: Sequence[runs.Run]
    cursor: str | None
    snippets: Mapping[int, Sequence[search.Snippet]] = field(default_factory=dict)
    total: Count | None = None
    unindexed: int | None = None


def find(connection: Connection, query: Query, *, counted: bool = False) -> Found:
    """A page with where its runs say what is asked for, and with `counted` how many there are in all."""
    found, cursor = page(connection, query)
    total = count(connection, query.wanted) if counted else None
    phrases = list(conditions.phrases(query.wanted))[:SNIPPETS]
    if not phrases:
        return Found(found, cursor, total=total)
    snippets = search.snippets(connection, [run.seq for run in found], phrases)
    return Found(found, cursor, snippets, total, search.lag(connection).runs)


def page(connection: Connection, query: Query) -> tuple[list[runs.Run], str | None]:
    """A page without prompts in full, outputs, or guidance; and the cursor of the next one, if there is one."""
    cursor = None if query.cursor is None else cursors.parse(query.cursor, query.sort)
    if query.sort == RELEVANCE:
        return _ranked(connection, query, cursor)
    rows = _rows(connection, query, cursor)
    found = runs.listed(connection, rows[: query.limit])
    return found, None if len(rows) <= query.limit else str(_behind(query, rows[query.limit - 1]))


def _behind(query: Query, last: Any) -> cursors.Cursor:
    value = last.sorted_by
    return cursors.Cursor(query.sort, columns.text(value) if isinstance(value, datetime) else value, last.seq)


def _rows(connection: Connection, query: Query, cursor: cursors.Cursor | None) -> Sequence[Any]:
    """One row more than the page has, if there are so many."""
    name, descending = query.sort.lstrip("-"), query.sort.startswith("-")
    column, more = SORTS[name], query.limit + 1
    chosen = select(*runs.LISTED, column.label("sorted_by")).order_by(*_order(name, descending))
    if name == "accepted" and _needs_windows(query.wanted):
        return _by_windows(
            connection, query.wanted, chosen, descending, None if cursor is None else cursor.seq, more
        )
    behind = [] if cursor is None else [_after(column, descending, cursor)]
    return connection.execute(chosen.where(*behind, *conditions.where(connection, query.wanted)).limit(more)).all()


def _needs_windows(wanted: filters.Expression) -> bool:
    """Whether no index has in the order of acceptance what is asked for."""
    is_bound = conditions.acceptance(wanted) is not None
    return is_bound or conditions.is_elsewhere(wanted) or not conditions.is_in_order(wanted)


def _order(name: str, descending: bool) -> list[ColumnElement[Any]]:
    seq = RUNS.c.seq.desc() if descending else RUNS.c.seq.asc()
    if name == "accepted":
        return [seq]
    column = SORTS[name]
    return [column.desc().nulls_last() if descending else column.asc().nulls_first(), seq]


def _by_windows(
    connection: Connection,
    wanted: filters.Expression,
    chosen: Select[Any],
    descending: bool,
    behind: int | None,
    limit: int,
) -> list[Any]:
    rows: list[Any] = []
    for window in _windows(connection, wanted, descending, behind):
        part = chosen.where(*conditions.where(connection, wanted, window)).limit(limit - len(rows))
        rows += connection.execute(part).all()
        if len(rows) >= limit:
            break
    return rows


def _ranked(
    connection: Connection, query: Query, cursor: cursors.Cursor | None
) -> tuple[list[runs.Run], str | None]:
    """Those first in which most passages say what is asked for, of the newest; the newest, where no words are."""
    phrases = list(conditions.phrases(query.wanted))
    newest = select(RUNS.c.seq).order_by(RUNS.c.seq.desc())
    rows = _by_windows(connection, query.wanted, newest, True, None, RANKED)
    hits = search.hits(connection, [row.seq for row in rows], phrases)
    ranked = sorted(((hits.get(row.seq, 0), row.seq) for row in rows), reverse=True)
    if cursor is not None:
        last = (cursor.value if isinstance(cursor.value, int) else 0, cursor.seq)
        ranked = [each for each in ranked if each < last]
    chosen = ranked[: query.limit]
    by_seq = {
        row.seq: row
        for row in connection.execute(select(*runs.LISTED).where(RUNS.c.seq.in_([s for _, s in chosen])))
    }
    found = runs.listed(connection, [by_seq[seq] for _, seq in chosen])
    is_more = len(ranked) > query.limit
    return found, str(cursors.Cursor(RELEVANCE, *chosen[-1])) if is_more else None


def _windows(
    connection: Connection, wanted: filters.Expression, descending: bool, behind: int | None
) -> Iterator[search.Window]:
    """Windows of keys behind one, small ones first: the newest of what is common stand in the first of them."""
    low, high = _edges(connection, wanted)
    if behind is not None:
        low, high = (low, min(behind, high)) if descending else (max(low, behind + 1), high)
    size = WINDOW
    while low < high:
        edge = max(low, high - size) if descending else min(high, low + size)
        yield search.Window(edge, high) if descending else search.Window(low, edge)
        low, high = (low, edge) if descending else (edge, high)
        size *= GROWTH


def _edges(connection: Connection, wanted: filters.Expression) -> tuple[int, int]:
    """The keys between which all that is wanted stands: an index tells them of a time of acceptance."""
    accepted = conditions.acceptance(wanted)
    key = RUNS.c.seq + 0  # along the index of the time, not through the keys
    chosen = select(func.min(key), func.max(key))
    if accepted is None:
        return 1, (connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0) + 1
    low, high = connection.execute(chosen.where(accepted)).one()
    return (1, 1) if low is None else (low, high + 1)


def count(connection: Connection, wanted: filters.Expression) -> Count:
    """How many runs are wanted, exactly up to a bound."""
    bound, counted = (COUNTED_BY_WORDS if conditions.says(wanted) else COUNTED), 0
    is_elsewhere = conditions.is_elsewhere(wanted)
    windows: Iterator[search.Window | None] = (
        _windows(connection, wanted, True, None) if is_elsewhere else iter([None])
    )
    for window in windows:
        some = select(RUNS.c.seq).where(*conditions.where(connection, wanted, window)).limit(bound + 1 - counted)
        counted += connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
        if counted > bound:
            return Count(bound, exact=False)
    return Count(counted, exact=True)


def _after(column: Any, descending: bool, cursor: cursors.Cursor) -> ColumnElement[bool]:
    """What comes behind the cursor's row. Rows without a value stand last descending, first ascending."""
    seq = RUNS.c.seq < cursor.seq if descending else RUNS.c.seq > cursor.seq
    if column is RUNS.c.seq:
        return seq
    if cursor.value is None:
        same = and_(column.is_(None), seq)
        return same if descending else or_(same, column.is_not(None))
    value = _value(column, cursor.value)
    same = and_(column == value, seq)
    return or_(column < value, same, column.is_(None)) if descending else or_(column > value, same)


def _value(column: Any, value: str | int) -> Any:
    """The value of a sort column as a cursor carries it: instants as text, measures as integers."""
    try:
        if isinstance(column.type, columns.Instant):
            return datetime.fromisoformat(str(value)).astimezone(UTC)
        if isinstance(value, int):
            return value
    except (ValueError, OverflowError):
        pass
    raise errors.BadCursor("the cursor is not one of ours")
