"""Statements that sum over all runs that a list finds: totals, and the number of runs over time.

Rollups answer questions about states alone, by days or months of creation. Other questions are answered from rows,
of the newest runs where there are more than a bound, by the time of acceptance; the answer says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, literal_column, select

from storage import states
from storage.engine import dialect
from storage.engine.column_types import Instant
from storage.engine.membership import is_among
from storage.query import conditions, grammar, run_pages, value_ranges
from storage.stats import questions, rollups
from storage.tables.rollups import ROLLUP_SUMS
from storage.tables.runs import RUNS

#: How many of the newest runs are read row by row, and the most bars of a chart.
MAX_RUNS_READ, MAX_BARS = 50_000, 72
#: The most months of which rollups are read by day.
_MONTHS_BY_DAY = 6
_LIVE = sorted(states.LIVE)
#: The most runs that are read one by one, wherever they are.
FEW = 5_000
_DAY, _HOUR, _TEN = timedelta(days=1), timedelta(hours=1), timedelta(minutes=10)
#: The bounds of charts: an upstream writes zero for a time that it does not know.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
#: The widths of bars.
_WIDTHS = (
    *(timedelta(minutes=each) for each in (1, 5, 15, 30, 60, 180, 360, 720)),
    *(timedelta(days=each) for each in (1, 2, 7, 28, 91, 365, 3650)),
)


@dataclass(slots=True)
class Bar:
    """The runs from `start` on, up to `end`; `failed` of them ended badly, or were refused or lost."""

    start: datetime
    end: datetime
    runs: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums over all runs found. `by_status` has their numbers."""

    by_status: dict[str, int]
    overdue: int
    cost_micros: int
    tokens: int

    @property
    def runs(self) -> int:
        """Return how many runs were found."""
        return sum(self.by_status.values())

    @property
    def failed(self) -> int:
        """Return how many runs failed."""
        return self.by_status.get(states.Status.FAILED, 0)

    @property
    def running(self) -> int:
        """Return how many runs are being executed."""
        return self.by_status.get(states.Status.RUNNING, 0)


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals, and bars over the whole time by `time`: the name of accepted or created.

    `window` is set where only the newest runs were read.
    """

    totals: Totals
    time: str
    bars: Sequence[Bar]
    window: questions.Window | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a chart: from `since` on, or from the first run; bars begin `offset` after a day in UTC."""

    since: datetime | None
    until: datetime
    offset: timedelta = timedelta()


def is_rolled_up(expression: grammar.Expression) -> bool:
    """Return whether the rollups answer a question, so that it takes a few milliseconds."""
    return _statuses(expression) is not None


def find(
    connection: Connection, expression: grammar.Expression, times: Times, now: datetime, bound: int = MAX_RUNS_READ
) -> Summary:
    """Return the sums over the runs that match, overdue ones as of `now`."""
    chosen = _statuses(expression)
    if chosen is not None:
        return _from_rollups(connection, chosen, now)
    chosen_runs = _choose(connection, expression, bound)
    time, since, until = _span(connection, expression, chosen_runs, times)
    start, width = _scale(since, until, times.offset)
    period = _period_of(width, times.offset)
    statement = _by_time(connection, time, chosen_runs.which, period)
    rows = connection.execute(statement, {**chosen_runs.parameters, "now": now}).all()
    counted = [(_period(row.at), row) for row in rows]
    return Summary(_totals(rows), time, _bars(counted, start, until, width), chosen_runs.newest)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The condition on the runs to read with its parameters; `newest` as in Summary."""

    which: Sequence[ColumnElement[bool]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    newest: questions.Window | None = None


def _choose(connection: Connection, expression: grammar.Expression, bound: int) -> _Chosen:
    """Return the runs to read: all that match where they are few, else those among the newest."""
    few = min(FEW, bound)
    keys = run_pages.newest(connection, expression, few)
    if len(keys) <= few:
        return _Chosen([is_among(RUNS.c.seq, "seqs")], {"seqs": keys})
    window, newest = questions.newest(connection, expression, bound)
    return _Chosen(conditions.where(connection, expression, window), newest=newest)


def _span(
    connection: Connection, expression: grammar.Expression, chosen: _Chosen, times: Times
) -> tuple[str, datetime, datetime]:
    """Return the name, start and end of the time of a chart: `created` where the question is about it."""
    parts = grammar.conjuncts(expression)
    spans = [span for each in parts if isinstance(each, grammar.InRange) for span in _created(each)]
    if spans:
        edges = select(func.min(conditions.CREATED), func.max(conditions.CREATED)).where(*chosen.which)
        low, high = connection.execute(edges, chosen.parameters).one()
        until = min((each.high for each in spans if each.high is not None), default=times.until)
        return "created", low or times.until, min(until, high or times.until)
    read_since = None if chosen.newest is None else chosen.newest.since
    given = [each for each in (times.since, read_since) if each is not None]
    return "accepted", max(given) if given else _first(connection, chosen) or times.until, times.until


def _created(part: grammar.InRange) -> Sequence[value_ranges.Range]:
    return part.ranges if part.name == "created" else ()


def _statuses(expression: grammar.Expression) -> list[str] | None:
    """Return the states that a question is about; None where it is about something else."""
    match expression:
        case grammar.And(()):
            return [*states.Status]
        case grammar.Equals("status", values):
            return [each.text for each in values]
        case grammar.Not(grammar.Equals("status", values)):
            return sorted({*states.Status} - {each.text for each in values})
    return None


def _from_rollups(connection: Connection, statuses: Sequence[str], now: datetime) -> Summary:
    first = connection.execute(_first_month(connection)).scalar() or f"{now:%Y-%m}"
    months = (now.year - int(first[:4])) * 12 + now.month - int(first[5:7])
    span = rollups.Span.DAY if months < _MONTHS_BY_DAY else rollups.Span.MONTH
    given = {"span": span.value, "statuses": statuses}
    ended = connection.execute(_ended(connection), given).all()
    unended = {"now": now, "statuses": [each for each in _LIVE if each in statuses]}
    live = connection.execute(_live(connection), unended).all()
    counted = [(_period(row.at), row) for row in (*ended, *live)]
    start = max(min((at for at, _ in counted), default=now - _DAY), EARLIEST)
    if span is rollups.Span.DAY:
        start, width = _scale(start, now, timedelta(), _DAY)
        return Summary(_totals((*ended, *live)), "created", _bars(counted, start, now, width))
    edges = list(_months(min(start, now), now))
    bars = [Bar(low, high) for low, high in pairwise(edges)]
    for at, row in counted:
        number = (at.year - start.year) * 12 + at.month - start.month
        _add(bars[min(max(number, 0), len(bars) - 1)], row)
    return Summary(_totals((*ended, *live)), "created", bars)


def _period_of(width: timedelta, offset: timedelta) -> str:
    """Return the longest period whose beginnings include those of all bars: texts of periods are read quickly."""
    if width % _TEN or offset % _TEN:
        return "minute"
    if width < _HOUR or offset % _HOUR:
        return "ten minutes"
    return "day" if width >= _DAY and not offset % _DAY else "hour"


def _period(text: str) -> datetime:
    """Return the beginning of a minute, an hour, a day or a month."""
    whole = text if "T" in text else f"{text}-01"[:10] + "T00:00Z"
    return datetime.fromisoformat(whole)


def _months(start: datetime, end: datetime) -> Iterable[datetime]:
    """Yield the beginnings of months, up to one after the end."""
    number = start.year * 12 + start.month - 1
    while True:
        yield datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        if (number // 12, number % 12 + 1) > (end.year, end.month):
            return
        number += 1


def _scale(
    since: datetime, until: datetime, offset: timedelta, least: timedelta = _WIDTHS[0]
) -> tuple[datetime, timedelta]:
    """Return the beginning of the first bar, and the width of all, which is not below `least`."""
    since = min(max(since, EARLIEST), LATEST)
    length = max(until - since, timedelta(minutes=1))
    width = next((each for each in _WIDTHS if each >= least and length / each <= MAX_BARS), _WIDTHS[-1])
    origin = EARLIEST + offset
    return origin + (since - origin) // width * width, width


def _bars(
    counted: Iterable[tuple[datetime, Any]], start: datetime, until: datetime, width: timedelta
) -> list[Bar]:
    """Return bars from the start up to the end, with the rows at their times."""
    number = min(max(-((start - until) // width), 1), 2 * MAX_BARS)
    bars = [Bar(start + width * at, start + width * (at + 1)) for at in range(number)]
    for at, row in counted:
        _add(bars[min(max((at - start) // width, 0), number - 1)], row)
    return bars


def _add(bar: Bar, row: Any) -> None:
    bar.runs += row.runs
    if row.status in (states.FAILED, states.Status.REFUSED, states.Status.LOST):
        bar.failed += row.runs


def _totals(rows: Sequence[Any]) -> Totals:
    by_status: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        by_status[row.status] += row.runs
    cost = sum(int(row.cost or 0) for row in rows)
    tokens = sum(int(row.tokens_in or 0) + int(row.tokens_out or 0) for row in rows)
    return Totals(dict(by_status), sum(row.overdue or 0 for row in rows), cost, tokens)


def _first(connection: Connection, chosen: _Chosen) -> datetime | None:
    first = select(RUNS.c.accepted_at).where(*chosen.which).order_by(RUNS.c.seq).limit(1)
    found: datetime | None = connection.execute(first, chosen.parameters).scalar()
    return found


@dialect.built_once
def _first_month(_connection: Connection) -> Any:
    month = rollups.Span.MONTH.value
    return select(func.min(ROLLUP_SUMS.c.period)).where(
        ROLLUP_SUMS.c.dimension == rollups.Dimension.ALL.value,
        ROLLUP_SUMS.c.span == month,
        ROLLUP_SUMS.c.status.in_(rollups.TERMINAL),
    )


@dialect.built_once
def _ended(_connection: Connection) -> Any:
    table = ROLLUP_SUMS.c
    sums = (table.runs, table.cost_micros.label("cost"), table.input_tokens.label("tokens_in"))
    return select(
        table.period.label("at"), table.status, *sums, table.output_tokens.label("tokens_out"), _NONE
    ).where(
        table.dimension == rollups.Dimension.ALL.value,
        table.span == bindparam("span"),
        table.status.in_(bindparam("statuses", expanding=True)),
    )


@dialect.built_once
def _live(connection: Connection) -> Any:
    at = dialect.day(connection, conditions.CREATED).label("at")
    return _summed(connection, at, [RUNS.c.status.in_(bindparam("statuses", expanding=True))])


def _by_time(connection: Connection, time: str, which: Sequence[ColumnElement[bool]], period: str) -> Any:
    periods = {
        "minute": dialect.minute,
        "ten minutes": dialect.ten_minutes,
        "hour": dialect.hour,
        "day": dialect.day,
    }
    return _summed(connection, periods[period](connection, conditions.COLUMNS[time]).label("at"), which)


def _summed(connection: Connection, at: ColumnElement[Any], which: Sequence[Any]) -> Any:
    """Return the query for the sums of runs by time and state."""
    columns = (RUNS.c.cost_micros, RUNS.c.input_tokens, RUNS.c.output_tokens)
    is_late = (RUNS.c.expected_by < bindparam("now", type_=Instant())) & RUNS.c.settled_at.is_(None)
    rows = select(at, RUNS.c.status, *columns, case((is_late, 1), else_=0).label("late")).where(*which)
    found = rows.subquery().c
    cost, tokens_in, tokens_out = (dialect.total(connection, found[each.name]) for each in columns)
    sums = (func.count().label("runs"), cost.label("cost"), tokens_in.label("tokens_in"))
    late = func.sum(found.late).label("overdue")
    return select(found.at, found.status, *sums, tokens_out.label("tokens_out"), late).group_by(
        found.at, found.status
    )


_NONE: ColumnElement[Any] = literal_column("0").label("overdue")
