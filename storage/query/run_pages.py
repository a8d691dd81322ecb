"""Statements about many runs: pages of them, and their number."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    union_all,
)

from storage import cursors, errors, states
from storage.engine import column_types, dialect, prepared
from storage.query import conditions, grammar, run_lines
from storage.search import fulltext, index, lookups, snippets, tokenizer
from storage.tables.runs import RUN_TAGS, RUNS

#: The most runs that are counted; fewer where words are looked up.
MAX_COUNTED, MAX_COUNTED_BY_WORDS = 10_000, 1_000
#: How many of the newest runs are ranked by relevance, and the phrases shown of each run.
MAX_RANKED, MAX_SNIPPETS = 1_000, 3
RELEVANCE = "-relevance"
#: Number of keys in the first window, and the factor by which each next one grows.
WINDOW, GROWTH = 512, 8
#: The first window where words are looked up among its runs, whose passages PostgreSQL then reads one by one.
WORDS_WINDOW = 64

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
    """A page of runs, as lines, with the requested details.

    Where the query has words, `snippets` maps the seq of a run to its passages, and `unindexed` is the number of
    runs whose words cannot be found yet.
    """

    runs: Sequence[run_lines.Line]
    cursor: str | None
    snippets: Mapping[int, Sequence[snippets.Snippet]] = field(default_factory=dict)
    total: Count | None = None
    unindexed: int | None = None


def find(connection: Connection, query: Query, *, counted: bool = False) -> Page:
    """Return a page with the passages that match, and with `counted` the number of matching runs.

    Raise BadFilter.
    """
    query = Query(conditions.by_agent_ids(connection, query.expression), query.sort, query.limit, query.cursor)
    lookups.require_selective(connection, conditions.phrases(query.expression, with_excluded=True))
    found, cursor, firsts = _page(connection, query)
    total = count(connection, query.expression) if counted else None
    phrases = list(conditions.phrases(query.expression))[:MAX_SNIPPETS]
    if not phrases:
        return Page(found, cursor, total=total)
    seqs = [run.seq for run in found]
    shown = snippets.of_runs(connection, seqs, phrases, firsts)
    return Page(found, cursor, shown, total, index.count_queued(connection))


def page(connection: Connection, query: Query) -> tuple[Sequence[run_lines.Line], str | None]:
    """Return a page, and the cursor of the next page, if any."""
    return _page(connection, query)[:2]


def _page(
    connection: Connection, query: Query
) -> tuple[Sequence[run_lines.Line], str | None, Mapping[int, int] | None]:
    """Return a page and its cursor, and the first passages of its only phrase where these were read."""
    cursor = None if query.cursor is None else cursors.parse(query.cursor, query.sort)
    if query.sort == RELEVANCE:
        return *_ranked(connection, query, cursor), None
    if (plain := _plain(query)) is not None:
        form, values = plain
        behind = {} if cursor is None else {"behind": cursor.seq}
        rows = _plain_statement(form).all(connection, values | behind)
        return rows[: query.limit], _next(query, rows), None
    if (phrase := _only_phrase(connection, query)) is not None:
        return _said(connection, phrase, query, cursor)
    rows = _rows(connection, query, cursor)
    return run_lines.of_keys(connection, [row.seq for row in rows[: query.limit]]), _next(query, rows), None


def _next(query: Query, rows: Sequence[prepared.Row]) -> str | None:
    """Return the cursor of the next page; None unless `rows` has one row more than a page."""
    if len(rows) <= query.limit:
        return None
    last = rows[query.limit - 1]
    at = last.sorted_by
    value = column_types.instant_text(at) if isinstance(at, datetime) else at
    return str(cursors.Cursor(query.sort, value, last.seq))


def newest(connection: Connection, expression: grammar.Expression, limit: int) -> list[int]:
    """Return the keys of the newest runs that match, at most `limit` + 1."""
    return [row.seq for row in _rows(connection, Query(expression, limit=limit), None)]


def is_quick(query: Query) -> bool:
    """Return whether an index certainly has the page in order, so that it takes less than a millisecond."""
    return _plain(query) is not None


@dataclass(frozen=True, slots=True)
class _Plain:
    """The form of a query whose statement is built once: which names have one value each, and in what order."""

    names: tuple[str, ...]
    sort: str
    is_behind: bool


def _plain(query: Query) -> tuple[_Plain, dict[str, Any]] | None:
    """Return form and parameters of a query for which an index has the matching runs in the requested order."""
    name, parts = query.sort.lstrip("-"), conditions.single_values(query.expression)
    if parts is None or (name != "accepted" and (parts or query.cursor is not None)):
        return None
    values: dict[str, Any] = {"more": query.limit + 1}
    for each, value in parts.items():
        tag = {"key": each.removeprefix(grammar.TAG_PREFIX), _TAG: value}
        values |= tag if grammar.is_tag(each) else {each: value}
    names = tuple(sorted(_TAG if grammar.is_tag(each) else each for each in parts))
    is_known = names in _PLAIN_NAMES and query.sort != RELEVANCE
    return (_Plain(names, query.sort, query.cursor is not None), values) if is_known else None


@functools.cache
def _plain_statement(plain: _Plain) -> prepared.Prepared:
    return prepared.Prepared(lambda connection: _plain_select(connection, plain))


def _plain_select(connection: Connection, plain: _Plain) -> Select[Any]:
    name, descending = plain.sort.lstrip("-"), plain.sort.startswith("-")
    sorted_by = column_types.spelled(SORTS[name]).label("sorted_by")
    chosen = select(*run_lines.columns(connection), sorted_by).order_by(*_order(name, descending))
    if plain.names == (_TAG,):
        tagged = select(RUN_TAGS.c.run_seq).where(
            RUN_TAGS.c.key == bindparam("key"), RUN_TAGS.c.value == bindparam(_TAG)
        )
        return chosen.where(RUNS.c.seq.in_(_first(tagged, RUN_TAGS.c.run_seq, plain)))
    if plain.names == ("agent",):
        # An index has the runs of an agent by state, so the newest of each state are read, and not all of them.
        of_agent = select(RUNS.c.seq).where(RUNS.c.agent_id == bindparam("agent"))
        of_states = (of_agent.where(RUNS.c.status == each.value) for each in states.Status)
        newest = [select(_first(each, RUNS.c.seq, plain).subquery().c.seq) for each in of_states]
        return chosen.where(RUNS.c.seq.in_(union_all(*newest))).limit(bindparam("more"))
    which = [conditions.COLUMNS[each] == bindparam(each) for each in plain.names]
    return _behind(chosen.where(*which), RUNS.c.seq, plain).limit(bindparam("more"))


def _first(keys: Select[Any], key: ColumnElement[Any], plain: _Plain) -> Select[Any]:
    """Return the keys of a page, behind the cursor, in the order of the page."""
    ordered = key.desc() if plain.sort.startswith("-") else key
    return _behind(keys, key, plain).order_by(ordered).limit(bindparam("more"))


def _behind(chosen: Select[Any], key: ColumnElement[Any], plain: _Plain) -> Select[Any]:
    if not plain.is_behind:
        return chosen
    return chosen.where(key < bindparam("behind") if plain.sort.startswith("-") else key > bindparam("behind"))


_TAG = "tag"
#: The names that have an index in the order of acceptance when each has one value.
_PLAIN_NAMES = frozenset(((), ("status",), ("agent",), ("agent", "status"), ("model",), (_TAG,)))


def _only_phrase(connection: Connection, query: Query) -> tokenizer.Phrase | None:
    """Return the phrase of a query that the index of words answers alone, in the requested order."""
    phrase = conditions.only_phrase(query.expression)
    if phrase is None or query.sort.lstrip("-") != "accepted":
        return None
    return phrase if _reads_passages(connection) or lookups.has_order(connection, phrase) else None


def _reads_passages(connection: Connection) -> bool:
    """Return whether passages are looked up among the runs of a window, each as cheap as another."""
    return not fulltext.is_expensive(connection)


def _said(
    connection: Connection, phrase: tokenizer.Phrase, query: Query, cursor: cursors.Cursor | None
) -> tuple[Sequence[run_lines.Line], str | None, Mapping[int, int]]:
    """Return the page of the runs that contain a phrase, in the order of acceptance."""
    behind, descending = None if cursor is None else cursor.seq, query.sort.startswith("-")
    if _reads_passages(connection):
        firsts = _said_in_windows(connection, phrase, query, descending, behind)
    else:
        firsts = lookups.in_order(connection, phrase, descending, behind, query.limit + 1)
    seqs = list(firsts)
    last = seqs[query.limit - 1] if len(seqs) > query.limit else None
    after = None if last is None else str(cursors.Cursor(query.sort, last, last))
    return run_lines.of_keys(connection, seqs[: query.limit]), after, firsts


def _said_in_windows(
    connection: Connection, phrase: tokenizer.Phrase, query: Query, descending: bool, behind: int | None
) -> dict[int, int]:
    dialect.plan_for_values(connection)
    firsts: dict[int, int] = {}
    for window in _windows(connection, query.expression, descending, behind):
        firsts |= lookups.in_window(connection, phrase, window, descending, query.limit + 1 - len(firsts))
        if len(firsts) > query.limit:
            break
    return firsts


def _rows(connection: Connection, query: Query, cursor: cursors.Cursor | None) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the keys of the page, and one more if there is a next page."""
    name, descending = query.sort.lstrip("-"), query.sort.startswith("-")
    column, more = SORTS[name], query.limit + 1
    dialect.plan_for_values(connection)
    chosen = select(RUNS.c.seq, column.label("sorted_by")).order_by(*_order(name, descending))
    if name == "accepted" and _needs_windows(query.expression):
        after = None if cursor is None else cursor.seq
        return _by_windows(connection, query.expression, chosen, descending, after, more)
    behind = [] if cursor is None else [_after(column, descending, cursor)]
    found = chosen.where(*behind, *conditions.where(connection, query.expression)).limit(more)
    return connection.execute(found).all()


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
    edge: int | None = None,
) -> list[Row[*tuple[Any, ...]]]:
    rows: list[Row[*tuple[Any, ...]]] = []
    part = chosen.where(*conditions.where(connection, expression, index.Window(*_EDGES))).limit(bindparam("more"))
    for window in _windows(connection, expression, descending, behind):
        if edge is not None and window.low >= edge:
            break
        high = window.high if edge is None else min(window.high, edge)
        given = {"low": window.low, "high": high, "more": limit - len(rows)}
        rows += connection.execute(part, given).all()
        if len(rows) >= limit:
            break
    return rows


def _ranked(
    connection: Connection, query: Query, cursor: cursors.Cursor | None
) -> tuple[Sequence[run_lines.Line], str | None]:
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
    found = run_lines.of_keys(connection, [seq for _, seq in chosen])
    is_more = len(ranked) > query.limit
    return found, str(cursors.Cursor(RELEVANCE, *chosen[-1])) if is_more else None


def _windows(
    connection: Connection, expression: grammar.Expression, descending: bool, behind: int | None
) -> Iterator[index.Window]:
    """Yield windows of keys behind a key, small ones first: matches of a frequent filter are in the first one."""
    low, high = _key_bounds(connection, expression)
    if behind is not None:
        low, high = (low, min(behind, high)) if descending else (max(low, behind + 1), high)
    size = WORDS_WINDOW if conditions.has_phrases(expression) and _reads_passages(connection) else WINDOW
    while low < high:
        edge = max(low, high - size) if descending else min(high, low + size)
        yield index.Window(edge, high) if descending else index.Window(low, edge)
        low, high = (low, edge) if descending else (edge, high)
        size *= GROWTH


def _key_bounds(connection: Connection, expression: grammar.Expression) -> tuple[int, int]:
    """Return the keys between which all matches lie: an index gives them for a time of acceptance."""
    accepted = conditions.acceptance_bounds(expression)
    if accepted is None:
        return 1, (connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0) + 1
    key = RUNS.c.seq + 0  # along the index of the time, not through the keys
    low, high = connection.execute(select(func.min(key), func.max(key)).where(accepted)).one()
    return (1, 1) if low is None else (low, high + 1)


def oldest_keys(
    connection: Connection, expression: grammar.Expression, behind: int, last: int, limit: int
) -> list[int]:
    """Return the keys of the oldest matching runs behind a key, up to the key `last`."""
    chosen = select(RUNS.c.seq).order_by(RUNS.c.seq)
    rows = _by_windows(connection, expression, chosen, False, behind, limit, last + 1)
    return [row.seq for row in rows]


def count(connection: Connection, expression: grammar.Expression) -> Count:
    """Return how many runs match, exactly up to a bound."""
    bound, counted = (MAX_COUNTED_BY_WORDS if conditions.has_phrases(expression) else MAX_COUNTED), 0
    is_elsewhere = conditions.needs_lookup(expression)
    dialect.plan_for_values(connection)
    for window in _windows(connection, expression, True, None) if is_elsewhere else [None]:
        matching = select(RUNS.c.seq).where(*conditions.where(connection, expression, window))
        some = matching.limit(bound + 1 - counted).subquery()
        counted += connection.execute(select(func.count()).select_from(some)).scalar_one()
        if counted > bound:
            return Count(bound, exact=False)
    return Count(counted, exact=True)


def count_newer(connection: Connection, expression: grammar.Expression, seq: int, bound: int) -> int:
    """Return how many of the runs that were accepted after one match, up to a bound."""
    newest = connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0
    if newest <= seq:
        return 0
    window = index.Window(seq + 1, newest + 1)
    dialect.plan_for_values(connection)
    some = select(RUNS.c.seq).where(*conditions.where(connection, expression, window)).limit(bound).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


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
