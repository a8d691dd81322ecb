"""Sums over the runs of a time range, by time and by value: what charts are made of.

Days of all runs come from the rollups. Everything else is read from the runs of the range in one pass, of the
newest runs where there are more than a bound; the answer says so. Sums are exact up to 2^53.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)

from storage import states
from storage.engine import dialect, prepared
from storage.query import conditions, grammar, value_ranges
from storage.search import index
from storage.stats import error_signatures, histogram, questions, rollups, shares
from storage.stats.groups import By
from storage.stats.histogram import Histogram
from storage.tables.rollups import ROLLUP_SUMS
from storage.tables.runs import RUNS

#: What is summed.
_MEASURES = ("cost_micros", "input_tokens", "output_tokens")
#: How many of the newest runs are read for sources and reasons where rollups have the rest.
MAX_PASS = 10_000
_LIVE = sorted(states.LIVE)
#: The agents and models of no month.
_NO_MONTHS: Mapping[By, Sequence[questions.Row]] = {By.AGENT: (), By.MODEL: ()}
_REASONED = (states.FAILED.value, states.REFUSED.value)

Conditions = Sequence[ColumnElement[bool]]


class Slot(StrEnum):
    """The length of the periods in which runs are counted, in UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Question:
    """The runs created from `low` up to, but not including, `high`."""

    low: datetime
    high: datetime
    slot: Slot
    expression: grammar.Expression = grammar.EVERYTHING

    @property
    def has_rollups(self) -> bool:
        """Return whether rollups have the states and durations: of whole days in UTC."""
        is_whole = all(each.astimezone(UTC).time() == time() for each in (self.low, self.high))
        return self.slot is Slot.DAY and is_whole and self.expression == grammar.EVERYTHING

    @property
    def whole(self) -> grammar.Expression:
        """Return the expression with the range."""
        span = value_ranges.Range(self.low, self.high, excludes_high=True)
        return grammar.all_of(self.expression, grammar.InRange("created", (span,)))


@dataclass(slots=True)
class Sums:
    """Runs by state, cost, tokens and durations of all runs of a range."""

    states: Counter[str] = field(default_factory=Counter)
    cost_micros: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    durations: Histogram = field(default_factory=Histogram)

    def add(self, status: str, row: Any) -> None:
        """Add the runs of a state."""
        self.states[status] += row.runs
        self.cost_micros += int(row.cost_micros or 0)
        self.input_tokens += int(row.input_tokens or 0)
        self.output_tokens += int(row.output_tokens or 0)


@dataclass(slots=True)
class Timeline:
    """The sums of a range: by period (its beginning), and by agent, model, failure reason and source.

    `delays` are the times from the end of runs until its record here, by source; of runs that were accepted before
    their end, since those that were adopted later would measure only when that was. `settled` counts runs by the
    period of their creation and their source. `window` is set where reasons and sources (without rollups,
    everything) cover only the newest runs, and `spent_window` where agents and models do.
    """

    sums: Sums = field(default_factory=Sums)
    periods: defaultdict[datetime, Sums] = field(default_factory=lambda: defaultdict(Sums))
    agents: Sequence[shares.Share] = ()
    models: Sequence[shares.Share] = ()
    reasons: Sequence[shares.Share] = ()
    delays: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    settled: Counter[tuple[datetime, str]] = field(default_factory=Counter)
    window: questions.Window | None = None
    spent_window: questions.Window | None = None

    def count(self, period: datetime, status: str, row: Any) -> None:
        """Add the runs of a state in a period."""
        for sums in (self.sums, self.periods[period]):
            sums.add(status, row)

    def time(self, period: datetime, durations: Histogram) -> None:
        """Add the durations of a period."""
        self.sums.durations.merge(durations)
        self.periods[period].durations.merge(durations)


def fits(connection: Connection, question: Question, bound: int = MAX_PASS) -> bool:
    """Return whether the runs of a range are few enough to read them all."""
    return _last_left_out(connection, question, bound) is None


def read(connection: Connection, question: Question, bound: int | None = None) -> Timeline:
    """Return the sums of a range."""
    found = Timeline()
    if question.has_rollups:
        _add_days(connection, question, found)
    most = questions.MAX_RUNS_READ
    passed, found.window = _narrowed(connection, question, bound or (MAX_PASS if question.has_rollups else most))
    rows: defaultdict[str, list[Any]] = defaultdict(list)
    for row in _rows(connection, passed, _PASSES[question.slot, question.has_rollups], _passes(question)):
        rows[row.what].append(row)
    _add_periods(rows, found)
    for row in rows["delay"]:
        found.delays[row.key].add(row.bucket, row.runs)
    found.settled = Counter({(_beginning(row.period), row.key): row.runs for row in rows["settled"]})
    found.reasons = shares.by_reason(rows["reason"])
    spent, asked, found.spent_window = rows["spent"], _NO_MONTHS, found.window
    if question.has_rollups:
        spent, asked, found.spent_window = _spenders(connection, question, bound or most)
    found.agents = shares.by_column(spent, "agent_id", asked[By.AGENT])
    found.models = shares.by_column(spent, "model", asked[By.MODEL])
    return found


def _spenders(
    connection: Connection, question: Question, bound: int
) -> tuple[list[Any], Mapping[By, Sequence[questions.Row]], questions.Window | None]:
    """Return the runs by agent and model: the days around whole months from rows, the months from the rollups."""
    first, last = _months(question)
    rows, window = list[Any](), None
    for each in (replace(question, low=last), replace(question, high=first)):
        if each.low < each.high:
            narrowed, left = _narrowed(connection, each, bound)
            rows, window = [*rows, *_rows(connection, narrowed, _SPENT, _spent)], window or left
    if first >= last:
        return rows, _NO_MONTHS, window
    months = replace(question, low=first, high=last).whole
    return rows, {by: questions.find(connection, by, months).stats for by in _NO_MONTHS}, window


def _months(question: Question) -> tuple[datetime, datetime]:
    """Return the beginning of the first whole month of a range, and the end of the last one."""
    next_month = (question.low.replace(day=28) + timedelta(days=4)).replace(day=1)
    first = question.low if question.low.day == 1 else next_month
    last = question.high.replace(day=1)
    return (first, last) if first < last else (question.high, question.high)


def sums(connection: Connection, question: Question) -> Sums | None:
    """Return the sums of all runs of a range; None where that would take too long."""
    if question.has_rollups:
        found = Timeline()
        _add_days(connection, question, found)
        return found.sums
    if not fits(connection, question, questions.MAX_RUNS_READ):
        return None
    total = Sums()
    for row in _rows(connection, question, _TOTALS, _totals):
        total.add(row.status, row)
        if row.bucket is not None:
            total.durations.add(row.bucket, row.runs)
    return total


def _narrowed(connection: Connection, question: Question, bound: int) -> tuple[Question, questions.Window | None]:
    """Return the question about the newest runs of its range, and what it leaves out."""
    last = _last_left_out(connection, question, bound)
    if last is None:
        return question, None
    low = last + timedelta.resolution
    return replace(question, low=low), questions.Window(bound, low)


def _last_left_out(connection: Connection, question: Question, bound: int) -> datetime | None:
    """Return when the newest run was created that is not among the newest ones of a range; None without one."""
    at = conditions.CREATED.label("at")
    older = select(at).where(*_where(connection, question)).order_by(at.desc()).offset(bound)
    found: datetime | None = connection.execute(older.limit(1)).scalar()
    return found


def _rows(
    connection: Connection,
    question: Question,
    ready: prepared.Prepared,
    build: Callable[[Connection, Conditions], Any],
) -> Sequence[Any]:
    """Return the rows of a statement about the runs of a range: without a filter those of the ready one."""
    if question.expression == grammar.EVERYTHING:
        return ready.all(connection, {"low": question.low, "high": question.high})
    return connection.execute(build(connection, _where(connection, question))).all()


def _where(connection: Connection, question: Question) -> Conditions:
    """Return the conditions on the runs of a question.

    On a file they name the least and the greatest key of the range's runs: SQLite does not know how few runs of a
    state, tool or tag are of a short time, and would read all of them.
    """
    if question.expression == grammar.EVERYTHING or not dialect.is_embedded(connection):
        return conditions.where(connection, question.whole)
    of_range = conditions.where(connection, replace(question, expression=grammar.EVERYTHING).whole)
    keys = select(RUNS.c.seq).where(*of_range).limit(questions.MAX_RUNS_READ + 1).subquery().c
    count, low, high = connection.execute(select(func.count(), func.min(keys.seq), func.max(keys.seq))).one()
    window = index.Window(low, high + 1) if 0 < count <= questions.MAX_RUNS_READ else None
    return conditions.where(connection, question.whole, window)


def _add_periods(rows: Mapping[str, Sequence[Any]], found: Timeline) -> None:
    """Add the states and durations of periods that were read from runs."""
    for row in rows.get("state", ()):
        found.count(_beginning(row.period), row.key, row)
    durations: defaultdict[str, Histogram] = defaultdict(Histogram)
    for row in rows.get("duration", ()):
        durations[row.period].add(row.bucket, row.runs)
    for period, each in durations.items():
        found.time(_beginning(period), each)


@lru_cache(4096)
def _beginning(period: str) -> datetime:
    """Return the instant at which a period begins.

    >>> str(_beginning("2026-11-23T14:00Z")), str(_beginning("2026-11-23"))
    ('2026-11-23 14:00:00+00:00', '2026-11-23 00:00:00+00:00')
    """
    return datetime.fromisoformat(period).replace(tzinfo=UTC)


def _add_days(connection: Connection, question: Question, found: Timeline) -> None:
    """Add the days of a range: ended runs from the rollups, the others row by row."""
    given = {"first": f"{question.low:%Y-%m-%d}", "end": f"{question.high:%Y-%m-%d}"}
    for row in _DAYS.all(connection, given):
        if row.status == rollups.ANY:
            found.time(_beginning(row.period), Histogram(row.histogram))
        else:
            found.count(_beginning(row.period), row.status, row)
    for row in _rows(connection, question, _LIVE_DAYS, _live):
        found.count(_beginning(row.period), row.status, row)


def _days(_connection: Connection) -> Any:
    row = ROLLUP_SUMS.c
    return select(row.period, row.status, row.runs, *(row[name] for name in _MEASURES), row.histogram).where(
        row.dimension == rollups.Dimension.ALL.value,
        row.span == rollups.Span.DAY.value,
        _is_one(row.status, [rollups.ANY, *rollups.TERMINAL]),
        row.period >= bindparam("first"),
        row.period < bindparam("end"),
    )


def _live(connection: Connection, which: Conditions) -> Any:
    period = _period(connection, Slot.DAY).label("period")
    chosen = select(period, RUNS.c.status, *_summed(connection, RUNS.c)).where(
        _is_one(RUNS.c.status, _LIVE), *which
    )
    return chosen.group_by(period, RUNS.c.status)


def _totals(connection: Connection, which: Conditions) -> Any:
    bucket = histogram.bucket_sql(RUNS.c.duration_ms).label("bucket")
    chosen = select(RUNS.c.status, bucket, *_summed(connection, RUNS.c)).where(*which)
    return chosen.group_by(RUNS.c.status, bucket)


def _spent(connection: Connection, which: Conditions) -> Any:
    """Return the query for the runs and their cost by agent and model."""
    grouped = (RUNS.c.agent_id, RUNS.c.model)
    return select(*grouped, *_summed(connection, RUNS.c, _MEASURES[:1])).where(*which).group_by(*grouped)


def _passes(question: Question) -> Callable[[Connection, Conditions], Any]:
    return lambda connection, which: _statement(connection, question.slot, question.has_rollups, which)


def _is_one(column: ColumnElement[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that a column has one of few known values, without parameters."""
    return column.in_([literal_column(f"'{value}'", Text) for value in values])


def _bounds() -> Conditions:
    low, high = (bindparam(name, type_=RUNS.c.accepted_at.type) for name in ("low", "high"))
    at = conditions.CREATED
    return [at >= low, at < high]


def _pass(connection: Connection, slot: Slot, has_rollups: bool) -> Any:
    return _statement(connection, slot, has_rollups, _bounds())


def _statement(connection: Connection, slot: Slot, has_rollups: bool, which: Conditions) -> Any:
    """Return the query for rows of what, key, period, bucket, and sums. The runs are read once, for all groups."""
    delay = dialect.milliseconds_between(connection, RUNS.c.completed_at, RUNS.c.settled_at)
    row = (
        select(
            _period(connection, slot).label("period"),
            *(RUNS.c[name] for name in ("status", "settled_by", "agent_id", "model")),
            *(RUNS.c[name] for name in ("cost_micros", "input_tokens", "output_tokens")),
            func.substr(RUNS.c.failure_reason, 1, error_signatures.MAX_READ).label("reason"),
            histogram.bucket_sql(RUNS.c.duration_ms).label("bucket"),
            case((RUNS.c.completed_at >= RUNS.c.accepted_at, delay)).label("delay"),
        )
        .where(*which)
        .cte("chosen")
        .c
    )
    is_failed = or_(_is_one(row.status, _REASONED), row.reason.is_not(None))
    is_settled = row.settled_by.is_not(None)
    groups = [
        _group(connection, row, "reason", {"key": row.reason}).where(is_failed),
        _group(connection, row, "settled", {"key": row.settled_by, "period": row.period}).where(is_settled),
        _group(connection, row, "delay", {"key": row.settled_by, "bucket": histogram.bucket_sql(row.delay)}).where(
            is_settled, row.delay.is_not(None)
        ),
    ]
    if not has_rollups:
        groups += [
            _group(connection, row, "state", {"key": row.status, "period": row.period}, _MEASURES),
            _group(connection, row, "duration", {"period": row.period, "bucket": row.bucket}).where(
                row.bucket.is_not(None)
            ),
            _group(connection, row, "spent", {"agent_id": row.agent_id, "model": row.model}, _MEASURES[:1]),
        ]
    return union_all(*groups)


def _group(
    connection: Connection, row: Any, what: str, keys: Mapping[str, ColumnElement[Any]], summed: Sequence[str] = ()
) -> Any:
    """Return the query for one grouping; columns that it does not group by, and sums not asked for, are null."""
    kinds = {"key": Text, "period": Text, "bucket": BigInteger, "agent_id": Text, "model": Text}
    named = [keys.get(name, cast(null(), kind)).label(name) for name, kind in kinds.items()]
    chosen = select(literal_column(f"'{what}'", Text).label("what"), *named, *_summed(connection, row, summed))
    return chosen.group_by(*keys.values())


def _summed(connection: Connection, row: Any, names: Sequence[str] = _MEASURES) -> list[ColumnElement[Any]]:
    """Return the number of runs and their sums, which are null where they are not named."""
    sums = [
        (dialect.rough_total(connection, row[name]) if name in names else cast(null(), Float)).label(name)
        for name in _MEASURES
    ]
    return [func.count().label("runs"), *sums]


def _period(connection: Connection, slot: Slot) -> ColumnElement[Any]:
    of_slot: Mapping[Slot, Any] = {Slot.MINUTE: dialect.minute, Slot.HOUR: dialect.hour, Slot.DAY: dialect.day}
    return of_slot[slot](connection, conditions.CREATED)  # type: ignore[no-any-return]


#: Without a filter the statements never change, so they are compiled once.
_PASSES = {
    (slot, has_rollups): prepared.Prepared(partial(_pass, slot=slot, has_rollups=has_rollups))
    for slot in Slot
    for has_rollups in (False, True)
}
_SPENT, _TOTALS, _LIVE_DAYS = (
    prepared.Prepared(lambda connection, build=build: build(connection, _bounds()))  # type: ignore[misc]
    for build in (_spent, _totals, _live)
)
_DAYS = prepared.Prepared(_days)
