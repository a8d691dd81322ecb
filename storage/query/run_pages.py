"""Statements about many runs: pages of them, and their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, and_, bindparam, func, or_, select

from storage import cursors, errors
from storage.engine import column_types
from storage.query import conditions, grammar
from storage.repositories import runs
from storage.search import index, lookups
from storage.tables.runs import RUNS

#: Up to how many runs are counted; fewer where words are looked up.
MAX_COUNTED, MAX_COUNTED_BY_WORDS = 10_000, 1_000
#: How many of the newest runs are ranked by relevance, and the phrases shown of each run.
MAX_RANKED, MAX_SNIPPETS = 1_000, 3
RELEVANCE = "-relevance"
#: Number of keys in the first window, and the factor by which each next one grows.
WINDOW, GROWTH = 512, 8

#: The edges of a window as parameters of a statement.
_EDGES: Any = (bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger))

#: The sort orders of lists; each has an index that ends with the key, which is the order of acceptance itself.
SORTS = {name: conditions.COLUMNS[name] for name in grammar.SORT_NAMES} | {"accepted": RUNS.c.seq}


@dataclass(frozen=True, slots=True)
class Query:
    """A page of runs: which, in what order (a name of SORTS, `-` for descending), how many, after which cursor."""

    expression: grammar.Expression = grammar.EVERYTHING
    sort: str = "-accepted"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """The number of runs, a lower bound where it is not `exact`."""

    count: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page of runs with the requested details.

    Where the query has words, `snippets` maps the seq of a run to its passages, and `unindexed` is the number of
    runs whose words cannot be found yet.
    """

    runs: Sequence[runs.Run]
    cursor: str | None
    snippets: Mapping[int, Sequence[index.Snippet]] = field(default_factory=dict)
    total: Count | None = None
    unindexed: int | None = None


def find(connection: Connection, query: Query, *, counted: bool = False) -> Page:
    """Return a page with the passages that match, and with `counted` the number of matching runs.

    Raise BadFilter.
    """
    conditions.require_selective(connection, query.expression)
    found, cursor = page(connection, query)
    total = count(connection, query.expression) if counted else None
    phrases = list(conditions.phrases(query.expression))[:MAX_SNIPPETS]
    if not phrases:
        return Page(found, cursor, total=total)
    snippets = index.snippets(connection, [run.seq for run in found], phrases)
    return Page(found, cursor, snippets, total, index.lag(connection).runs)


def page(connection: Connection, query: Query) -> tuple[list[runs.Run], str | None]:
    """Return a page without full prompts, outputs and guidance, and the cursor of the next page, if any."""
    cursor = None if query.cursor is None else cursors.parse(query.cursor, query.sort)
    if query.sort == RELEVANCE:
        return _ranked(connection, query, cursor)
    rows = _rows(connection, query, cursor)
    found = runs.from_rows(connection, rows[: query.limit])
    return found, None if len(rows) <= query.limit else str(_cursor_after(query, rows[query.limit - 1]))


def _cursor_after(query: Query, last: Row[*tuple[Any, ...]]) -> cursors.Cursor:
    value = last.sorted_by
    return cursors.Cursor(
        query.sort, column_types.instant_text(value) if isinstance(value, datetime) else value, last.seq
    )


def _rows(connection: Connection, query: Query, cursor: cursors.Cursor | None) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the rows of the page, and one more if there is a next page."""
    name, descending = query.sort.lstrip("-"), query.sort.startswith("-")
    column, more = SORTS[name], query.limit + 1
    chosen = select(*runs.LIST_COLUMNS, column.label("sorted_by")).order_by(*_order(name, descending))
    if name == "accepted" and _needs_windows(query.expression):
        after = None if cursor is None else cursor.seq
        phrase = conditions.only_phrase(query.expression)
        if phrase is None or not lookups.has_order(connection, phrase):
            return _by_windows(connection, query.expression, chosen, descending, after, more)
        keys = lookups.keys_with(connection, phrase, descending, after, more)
        return connection.execute(chosen.where(RUNS.c.seq.in_(keys))).all() if keys else []
    behind = [] if cursor is None else [_after(column, descending, cursor)]
    return connection.execute(
        chosen.where(*behind, *conditions.where(connection, query.expression)).limit(more)
    ).all()


def _needs_windows(expression: grammar.Expression) -> bool:
    """Return whether no index has the matching runs in the order of acceptance."""
    is_bounded = conditions.acceptance_bounds(expression) is not None
    return is_bounded or conditions.needs_lookup(expression) or not conditions.has_index_order(expression)


def _order(name: str, descending: bool) -> list[ColumnElement[Any]]:
    seq = RUNS.c.seq.desc() if descending else RUNS.c.seq.asc()
    if name == "accepted":
        return [seq]
    column = SORTS[name]
    return [column.desc().nulls_last() if descending else column.asc().nulls_first(), seq]


def _by_windows(
    connection: Connection,
    expression: grammar.Expression,
    chosen: Select[Any],
    descending: bool,
    behind: int | None,
    limit: int,
) -> list[Row[*tuple[Any, ...]]]:
    rows: list[Row[*tuple[Any, ...]]] = []
    part = chosen.where(*conditions.where(connection, expression, index.Window(*_EDGES))).limit(bindparam("more"))
    for window in _windows(connection, expression, descending, behind):
        given = {"low": window.low, "high": window.high, "more": limit - len(rows)}
        rows += connection.execute(part, given).all()
        if len(rows) >= limit:
            break
    return rows


def _ranked(
    connection: Connection, query: Query, cursor: cursors.Cursor | None
) -> tuple[list[runs.Run], str | None]:
    """Return the newest runs, those with the most matching passages first; without phrases, by age alone."""
    phrases = list(conditions.phrases(query.expression))
    newest = select(RUNS.c.seq).order_by(RUNS.c.seq.desc())
    rows = _by_windows(connection, query.expression, newest, True, None, MAX_RANKED)
    hits = lookups.count_hits(connection, [row.seq for row in rows], phrases)
    ranked = sorted(((hits.get(row.seq, 0), row.seq) for row in rows), reverse=True)
    if cursor is not None:
        last = (cursor.value if isinstance(cursor.value, int) else 0, cursor.seq)
        ranked = [each for each in ranked if each < last]
    chosen = ranked[: query.limit]
    by_seq = {
        row.seq: row
        for row in connection.execute(select(*runs.LIST_COLUMNS).where(RUNS.c.seq.in_([s for _, s in chosen])))
    }
    found = runs.from_rows(connection, [by_seq[seq] for _, seq in chosen])
    is_more = len(ranked) > query.limit
    return found, str(cursors.Cursor(RELEVANCE, *chosen[-1])) if is_more else None


def _windows(
    connection: Connection, expression: grammar.Expression, descending: bool, behind: int | None
) -> Iterator[index.Window]:
    """Yield windows of keys behind a key, small ones first: matches of a frequent filter are in the first one."""
    low, high = _key_bounds(connection, expression)
    if behind is not None:
        low, high = (low, min(behind, high)) if descending else (max(low, behind + 1), high)
    size = WINDOW
    while low < high:
        edge = max(low, high - size) if descending else min(high, low + size)
        yield index.Window(edge, high) if descending else index.Window(low, edge)
        low, high = (low, edge) if descending else (edge, high)
        size *= GROWTH


def _key_bounds(connection: Connection, expression: grammar.Expression) -> tuple[int, int]:
    """Return the keys between which all matches lie: an index gives them for a time of acceptance."""
    accepted = conditions.acceptance_bounds(expression)
    key = RUNS.c.seq + 0  # along the index of the time, not through the keys
    chosen = select(func.min(key), func.max(key))
    if accepted is None:
        return 1, (connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0) + 1
    low, high = connection.execute(chosen.where(accepted)).one()
    return (1, 1) if low is None else (low, high + 1)


def count(connection: Connection, expression: grammar.Expression) -> Count:
    """Return how many runs match, exactly up to a bound."""
    bound, counted = (MAX_COUNTED_BY_WORDS if conditions.has_phrases(expression) else MAX_COUNTED), 0
    is_elsewhere = conditions.needs_lookup(expression)
    windows: Iterator[index.Window | None] = (
        _windows(connection, expression, True, None) if is_elsewhere else iter([None])
    )
    for window in windows:
        some = (
            select(RUNS.c.seq).where(*conditions.where(connection, expression, window)).limit(bound + 1 - counted)
        )
        counted += connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
        if counted > bound:
            return Count(bound, exact=False)
    return Count(counted, exact=True)


def _after(column: ColumnElement[Any], descending: bool, cursor: cursors.Cursor) -> ColumnElement[bool]:
    """Return the condition for rows behind the cursor's row. Nulls are last descending, first ascending."""
    seq = RUNS.c.seq < cursor.seq if descending else RUNS.c.seq > cursor.seq
    if column is RUNS.c.seq:
        return seq
    if cursor.value is None:
        same = and_(column.is_(None), seq)
        return same if descending else or_(same, column.is_not(None))
    value = _value(column, cursor.value)
    same = and_(column == value, seq)
    return or_(column < value, same, column.is_(None)) if descending else or_(column > value, same)


def _value(column: ColumnElement[Any], value: str | int) -> Any:
    """Return the value of a sort column from a cursor: instants are texts in it, measures are integers."""
    try:
        if isinstance(column.type, column_types.Instant):
            return datetime.fromisoformat(str(value)).astimezone(UTC)
        if isinstance(value, int):
            return value
    except (ValueError, OverflowError):
        pass
    raise errors.BadCursor("the cursor is not one of ours")
