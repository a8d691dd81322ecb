"""Statements that sum over runs.

Where a query names only states, whole days of creation and the group's own values, the rollups answer it, and only
runs that have not ended are counted row by row. Other queries are answered from rows, of the newest runs where
there are more than a bound; the answer says so. Percentiles come from the same histogram either way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from storage import states
from storage.engine import dialect
from storage.query import agents, conditions, grammar, value_ranges
from storage.search import index, lookups
from storage.stats import error_signatures, histogram, rollups, slices
from storage.stats.groups import By, Measure
from storage.stats.totals import Totals
from storage.tables.runs import RUN_TAGS, RUNS

#: Limits of the rows of an answer, the second for failure reasons.
MAX_ROWS, MAX_REASONS = 1000, 50
#: How many of the newest runs are read row by row.
MAX_RUNS_READ = 100_000
_LIVE = sorted(states.LIVE)
#: A limit that never takes effect.
_EVERY = 1 << 62
_RESOLUTION = timedelta.resolution
#: Instants that grow with the keys.
_GROWING = ("accepted", "created", "settled")
#: Groups that are sorted newest first.
_TIMES = (By.HOUR, By.DAY, By.MONTH)


class ReadFrom(StrEnum):
    """What an answer was read from."""

    ROLLUP = "rollup"
    ROWS = "rows"


class Row(NamedTuple):
    """The sums of one group; `key` is None for runs without a value. Times are in milliseconds."""

    key: str | None
    count: int  # type: ignore[assignment]  # this is no method of the tuple
    cost_micros: int
    input_tokens: int
    output_tokens: int
    mean_duration_ms: int | None
    max_duration_ms: int | None
    p50_ms: int | None
    p90_ms: int | None
    p95_ms: int | None
    p99_ms: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """The runs that were read: how many at most, and when the first of them was accepted."""

    runs: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """Sums by groups. `window` is set where only the newest runs were read."""

    by: str
    measure: Measure
    stats: Sequence[Row]
    read_from: ReadFrom
    window: Window | None = None

    @property
    def bounded(self) -> bool:
        """Return whether runs outside the window may be missing."""
        return self.window is not None


def check_grouping(by: str) -> str:
    """Return the name of a grouping: one of By, or a tag. Raise BadFilter."""
    if by in list(By) or grammar.is_tag(by):
        return by
    raise grammar.unknown_value("by", by, [*By, f"{grammar.TAG_PREFIX}<key>"])


def find(connection: Connection, by: str, expression: grammar.Expression, bound: int = MAX_RUNS_READ) -> Answer:
    """Return sums over the runs that match; time groups newest first, others by count. Raise BadFilter."""
    what = check_grouping(by)
    lookups.require_selective(connection, conditions.phrases(expression, with_excluded=True))
    groups, expression = _Groups(what), agents.resolved(connection, expression)
    rollup_slice = _slice(what, expression)
    window = None
    if rollup_slice is not None:
        live = _live(connection, what, expression)
        is_packed = not rollup_slice.has_percentiles or any(row.clean is not None for row in live)
        groups.add_live(live)
        add = groups.add_packed if is_packed else groups.add_ready
        add(slices.sums(connection, rollup_slice, packed=is_packed))
    else:
        keys, window = newest(connection, expression, bound)
        groups.add(connection.execute(_summed(connection, what, conditions.where(connection, expression, keys))))
    measure = Measure.SETTLING if what == By.SOURCE else Measure.DURATION
    read_from = ReadFrom.ROWS if rollup_slice is None else ReadFrom.ROLLUP
    return Answer(what, measure, groups.rows(), read_from, window)


def is_rolled_up(by: str, expression: grammar.Expression) -> bool:
    """Return whether the rollups answer a question, so that it takes a few milliseconds."""
    return _slice(by, expression) is not None


class _Groups:
    """Sums by key, combined from several answers."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._by_key: defaultdict[str | None, Totals] = defaultdict(Totals)
        self._percentiles: dict[str | None, Sequence[int | None]] = {}
        self._ready: list[Row] = []

    def add(self, rows: Iterable[Any]) -> None:
        """Add rows of key, bucket, and sums."""
        for key, bucket, *sums, longest in rows:
            totals = self._at(key)
            totals.add(sums, longest)
            if bucket is not None:
                totals.durations.add(bucket, sums[0])

    def add_live(self, rows: Iterable[Any]) -> None:
        """Add rows of key, duration, and sums."""
        self.add((key, None if took is None else histogram.bucket_of(took), *rest) for key, took, *rest in rows)

    def add_packed(self, rows: Iterable[Any]) -> None:
        """Add rows of key, sums, longest duration, and histogram."""
        for key, *sums, longest, packed in rows:
            self._at(key).merge(Totals(sums, longest, histogram.Histogram(packed)))

    def add_ready(self, rows: Iterable[Any]) -> None:
        """Add the only row of each key: sums, longest duration, and percentiles. No other row has a duration."""
        for key, count, cost, tokens_in, tokens_out, timed, took, longest, *percentiles in rows:
            if (key or None) in self._by_key:
                self._at(key).add((count, cost, tokens_in, tokens_out, timed, took), longest)
                self._percentiles[key or None] = percentiles
            else:
                mean, most = (round(took / timed), longest) if timed else (None, None)
                self._ready.append(Row(key or None, count, cost, tokens_in, tokens_out, mean, most, *percentiles))

    def _at(self, key: str | None) -> Totals:
        """Return the group of a key; failure reasons with the same signature are one group."""
        if key and self._what == By.FAILURE_REASON:
            key = error_signatures.signature(key)
        return self._by_key[key or None]

    def rows(self) -> list[Row]:
        """Return the groups in order, up to the limit."""
        made = self._ready + [self._row(key, totals) for key, totals in self._by_key.items()]
        if self._what in _TIMES:
            return sorted(made, key=lambda row: row.key or "", reverse=True)[:MAX_ROWS]
        made.sort(key=lambda row: (-row.count, row.key is None, row.key or ""))
        return made[: MAX_REASONS if self._what == By.FAILURE_REASON else MAX_ROWS]

    def _row(self, key: str | None, totals: Totals) -> Row:
        count, cost, tokens_in, tokens_out, timed, _ = totals.capped
        time = totals.sums[-1]
        mean, longest = (round(time / timed), totals.longest) if timed else (None, None)
        percentiles = self._percentiles.get(key) or totals.percentiles
        return Row(key, count, cost, tokens_in, tokens_out, mean, longest, *percentiles)


def _live(connection: Connection, what: str, expression: grammar.Expression) -> Sequence[Any]:
    """Return rows of key, duration, and sums, of runs that have not ended; hardly any of them has a duration."""
    is_plain = expression == grammar.EVERYTHING
    statement = _of_live(connection, what) if is_plain else _live_matching(connection, what, expression)
    return connection.execute(statement).all()


@dialect.built_once
def _of_live(connection: Connection, what: str) -> Select[Any]:
    return _live_matching(connection, what, grammar.EVERYTHING)


def _live_matching(connection: Connection, what: str, expression: grammar.Expression) -> Select[Any]:
    which = [*conditions.where(connection, expression), RUNS.c.status.in_(_LIVE)]
    return _grouped(connection, _cleaned(connection, what, which).subquery().c, "clean")


def _summed(connection: Connection, what: str, which: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Return the query for rows of key, bucket, runs, cost, tokens in and out, timed, time, longest."""
    # The limit makes SQLite evaluate `clean` once per row, and not at each use.
    rows = _cleaned(connection, what, which).limit(_EVERY).subquery().c
    bucketed = select(*rows, histogram.bucket_sql(rows.clean).label("bucket")).subquery().c
    return _grouped(connection, bucketed, "bucket")


def _cleaned(connection: Connection, what: str, which: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """Return the query for the runs, with the time of each as `clean`: not negative."""
    rows = _rows(connection, what).where(*which).subquery().c
    return select(*rows, case((rows.took < 0, 0), else_=rows.took).label("clean"))


def _grouped(connection: Connection, rows: Any, name: str) -> Select[Any]:
    """Return the query for rows of key, the named column, runs, cost, tokens in and out, timed, time, longest."""
    measures = (rows.cost_micros, rows.input_tokens, rows.output_tokens, rows.clean)
    *sums, time = (dialect.total(connection, measure) for measure in measures)
    times = (func.count(rows.clean), time, func.max(rows.clean))
    keys = (rows.key, rows[name])
    return select(*keys, func.count(), *sums, *times).group_by(*keys)


def _rows(connection: Connection, what: str) -> Select[Any]:
    """Return the query for one row per run, with the key of its group."""
    # By source, the time from the end upstream until it was known here, in milliseconds.
    ended, settled = (dialect.milliseconds(connection, at) for at in (RUNS.c.completed_at, RUNS.c.settled_at))
    took = settled - ended if what == By.SOURCE else RUNS.c.duration_ms
    rest = (took.label("took"), RUNS.c.cost_micros, RUNS.c.input_tokens, RUNS.c.output_tokens)
    if what.startswith(grammar.TAG_PREFIX):
        is_it = and_(RUN_TAGS.c.run_seq == RUNS.c.seq, RUN_TAGS.c.key == what.removeprefix(grammar.TAG_PREFIX))
        tagged = RUNS.outerjoin(RUN_TAGS, is_it)
        return select(RUN_TAGS.c.value.label("key"), *rest).select_from(tagged)
    chosen = select(_key(connection, By(what)).label("key"), *rest)
    if what == By.FAILURE_REASON:
        failed = RUNS.c.status.in_((states.FAILED.value, states.REFUSED.value))
        return chosen.where(or_(failed, RUNS.c.failure_reason.is_not(None)))
    return chosen.where(RUNS.c.settled_by.is_not(None)) if what == By.SOURCE else chosen


def _key(connection: Connection, what: By) -> ColumnElement[Any]:
    periods = {By.HOUR: dialect.hour, By.DAY: dialect.day, By.MONTH: dialect.month}
    if what in periods:
        return periods[what](connection, conditions.CREATED)
    if what is By.FAILURE_REASON:
        return func.substr(RUNS.c.failure_reason, 1, error_signatures.MAX_READ)
    return RUNS.c.settled_by if what is By.SOURCE else conditions.COLUMNS[what]


def newest(
    connection: Connection, expression: grammar.Expression, bound: int
) -> tuple[index.Window, Window] | tuple[None, None]:
    """Return the window of the newest runs, as keys and for the answer, where more than `bound` runs may match."""
    last = connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0
    low = last - bound + 1
    older = [RUNS.c.seq + 0 < low]  # along the index of the other conditions, not through the whole table
    for part in grammar.conjuncts(expression):
        if isinstance(part, grammar.InRange) and part.name in _GROWING:
            older += conditions.where(connection, part)
    if low <= 1 or connection.execute(select(RUNS.c.seq).where(*older).limit(1)).first() is None:
        return None, None
    first = select(RUNS.c.accepted_at).where(RUNS.c.seq >= low).order_by(RUNS.c.seq).limit(1)
    return index.Window(low, last + 1), Window(bound, connection.execute(first).scalar_one())


def _slice(what: str, expression: grammar.Expression) -> slices.Slice | None:
    """Return the part of the rollups that answers a query; None where they do not suffice."""
    if what not in (By.AGENT, By.MODEL, By.STATUS, By.DAY, By.MONTH):
        return None
    given: dict[str, Any] = {}
    for part in grammar.conjuncts(expression):
        term = _rollup_term(part)
        if term is None or term[0] in given:
            return None
        given |= {term[0]: term[1]}
    dimensions = {each for each in (what, *given) if each in (By.AGENT, By.MODEL)}
    if len(dimensions) > 1:
        return None
    dimension = rollups.Dimension(next(iter(dimensions), rollups.Dimension.ALL))
    keys = given.get("agent") or given.get("model")
    chosen = slices.Slice(dimension, what, given.get("status"), keys, given.get("created"))
    return chosen if chosen.exists else None


def _rollup_term(part: grammar.Expression) -> tuple[str, Any] | None:
    """Return a name and its values in the form of the rollups."""
    match part:
        case grammar.Equals("status" | "agent" | "model" as name, values):
            # In rollups an empty text stands for none.
            is_answered = all(each.text and not each.is_prefix for each in values)
            return (name, [each.text for each in values]) if is_answered else None
        case grammar.Not(grammar.Equals("status", values)):
            return "status", sorted({*states.Status} - {each.text for each in values})
        case grammar.InRange("created", ranges):
            days = [_days(each) for each in ranges]
            return None if None in days else ("created", days)
    return None


def _days(span: value_ranges.Range) -> tuple[str | None, str | None] | None:
    """Return the first day and the day after the last one; None where the range has a part of a day."""
    try:
        low = None if span.low is None else span.low + _RESOLUTION * span.excludes_low
        high = None if span.high is None else span.high + _RESOLUTION * (not span.excludes_high)
    except OverflowError:  # the end of the calendar
        return None
    edges = [None if each is None else each.astimezone(UTC) for each in (low, high)]
    if any(each is not None and each.time() != time() for each in edges):
        return None
    first, end = (None if each is None else f"{each:%Y-%m-%d}".zfill(10) for each in edges)
    return first, end
