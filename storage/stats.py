"""Statements about sums over runs.

Where a question is of states, whole days of creation and what it is grouped by, the rollups answer it, and only
runs that have not ended are counted row by row. Any other question is answered from rows, of the newest runs where
there are more than a bound; the answer says so. Percentiles come from the same buckets either way: see `buckets`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from storage import bounds, buckets, conditions, dialect, filters, reasons, rollups, search, spans, states
from storage.tables import RUN_TAGS, RUNS

#: Rows of one answer at most; of reasons fewer.
LIMIT, REASONS = 1000, 50
#: Of so many runs, the newest, rows are looked at.
BOUND = 100_000
_PERCENTILES = (50, 90, 95, 99)
_LIVE = sorted(states.LIVE)
#: A limit that cuts nothing off.
_EVERY = 1 << 62
_RESOLUTION = timedelta.resolution


class By(StrEnum):
    """What runs are grouped by, beside tags."""

    AGENT = "agent"
    MODEL = "model"
    STATUS = "status"
    ORIGIN = "origin"
    SETTLED_BY = "settled_by"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    ROAD = "road"
    FAILURE_REASON = "failure_reason"


#: Those of which the newest come first.
_TIMES = (By.HOUR, By.DAY, By.MONTH)


class Measure(StrEnum):
    """What is timed: how long a run took, or after how long its end was known here."""

    DURATION = "duration"
    SETTLING = "settling"


class Source(StrEnum):
    """Where an answer comes from."""

    ROLLUP = "rollup"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Row:
    """The sums of one group; `key` is None for runs without a value. Times are in milliseconds."""

    key: str | None
    count: int
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
    """The runs that were looked at: how many at most, and since when the first of them was accepted."""

    runs: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """Sums by groups. `window` tells of which runs, where there were more than are looked at."""

    by: str
    measure: Measure
    stats: Sequence[Row]
    source: Source
    window: Window | None = None

    @property
    def bounded(self) -> bool:
        """Whether there may be runs beside the window."""
        return self.window is not None


def known(by: str) -> str:
    """What is asked to be grouped by, where that is something: one of By or a tag. Raises BadFilter."""
    if by in [each.value for each in By] or (by.startswith(filters.TAG) and len(by) > len(filters.TAG)):
        return by
    raise filters.unknown("by", by, [*By, f"{filters.TAG}<key>"])


def find(connection: Connection, by: str, wanted: filters.Expression, bound: int = BOUND) -> Found:
    """The sums of the runs that `wanted` chooses; times newest first, others by count. Raises BadFilter."""
    what, groups = known(by), _Groups()
    chosen = _slice(what, wanted)
    window = None
    if chosen is not None:
        groups.add_sums(rollups.sums(connection, chosen))
        groups.add_durations(rollups.durations(connection, chosen))
        live = [*conditions.where(connection, wanted), RUNS.c.status.in_(_LIVE)]
        groups.add(_summed(connection, what, live))
    else:
        window = _window(connection, wanted, bound)
        keys = None if window is None else search.Window(window.low, window.high)
        groups.add(_summed(connection, what, conditions.where(connection, wanted, keys)))
    measure = Measure.SETTLING if what == By.ROAD else Measure.DURATION
    told = None if window is None else Window(bound, window.since)
    source = Source.ROWS if chosen is None else Source.ROLLUP
    return Found(what, measure, groups.rows(what), source, told)


@dataclass(slots=True)
class _Group:
    count: int = 0
    cost: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    timed: int = 0
    time: int = 0
    longest: int = 0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(
        self, count: int, cost: Any, tokens_in: Any, tokens_out: Any, timed: int, time: Any, longest: Any
    ) -> None:
        self.count += int(count)
        self.cost += int(cost or 0)
        self.tokens_in += int(tokens_in or 0)
        self.tokens_out += int(tokens_out or 0)
        self.timed += int(timed)
        self.time += int(time or 0)
        self.longest = max(self.longest, int(longest or 0))

    def row(self, key: str | None) -> Row:
        mean, longest = (round(self.time / self.timed), self.longest) if self.timed else (None, None)
        told = [buckets.percentile(self.buckets, percent) for percent in _PERCENTILES]
        shares = [None if each is None else min(each, self.longest) for each in told]
        cost, tokens_in, tokens_out = map(bounds.total, (self.cost, self.tokens_in, self.tokens_out))
        return Row(key, self.count, cost, tokens_in, tokens_out, mean, longest, *shares)


class _Groups:
    """Sums that are put together of several answers, by their keys."""

    def __init__(self) -> None:
        self._held: dict[str | None, _Group] = {}

    def add(self, rows: Iterable[Any]) -> None:
        """Rows of key, bucket, and sums."""
        for key, bucket, count, *rest in rows:
            group = self._at(key)
            group.add(count, *rest)
            if bucket is not None:
                group.buckets[bucket] += count

    def add_sums(self, rows: Iterable[Any]) -> None:
        """Rows of key and sums."""
        for key, *told in rows:
            self._at(key).add(*told)

    def add_durations(self, rows: Iterable[Any]) -> None:
        """Rows of key, bucket, runs."""
        for key, bucket, count in rows:
            self._at(key).buckets[bucket] += int(count)

    def _at(self, key: str | None) -> _Group:
        key = key or None
        if key not in self._held:
            self._held[key] = _Group()
        return self._held[key]

    def rows(self, what: str) -> list[Row]:
        """All of them in order, as many as are told."""
        found = self._held if what != By.FAILURE_REASON else self._alike()
        made = [group.row(key) for key, group in found.items()]
        if what in _TIMES:
            return sorted(made, key=lambda row: row.key or "", reverse=True)[:LIMIT]
        made.sort(key=lambda row: (-row.count, row.key is None, row.key or ""))
        return made[: REASONS if what == By.FAILURE_REASON else LIMIT]

    def _alike(self) -> dict[str | None, _Group]:
        """Texts that say the same of different things are one group."""
        found: dict[str | None, _Group] = {}
        for key, group in self._held.items():
            into = found.setdefault(None if key is None else reasons.form(key) or None, _Group())
            into.add(
                group.count, group.cost, group.tokens_in, group.tokens_out, group.timed, group.time, group.longest
            )
            into.buckets.update(group.buckets)
        return found


def _summed(connection: Connection, what: str, which: Sequence[ColumnElement[bool]]) -> Iterable[Any]:
    """Rows of key, bucket, runs, cost, tokens in and out, timed, time, longest."""
    # With a limit SQLite works out what it calls `took` once a row, and not wherever that is used.
    rows = _rows(connection, what).where(*which).limit(_EVERY).subquery().c
    took = case((rows.took < 0, 0), else_=rows.took)
    bucketed = select(*rows, took.label("clean"), buckets.sql(rows.took).label("bucket")).subquery().c
    measures = (bucketed.cost_micros, bucketed.input_tokens, bucketed.output_tokens, bucketed.clean)
    *sums, time = (dialect.total(connection, measure) for measure in measures)
    times = (func.count(bucketed.clean), time, func.max(bucketed.clean))
    keys = (bucketed.key, bucketed.bucket)
    return connection.execute(select(*keys, func.count(), *sums, *times).group_by(*keys))


def _rows(connection: Connection, what: str) -> Select[Any]:
    """A row a run, with the key of its group."""
    took = _settling(connection) if what == By.ROAD else RUNS.c.duration_ms
    rest = (took.label("took"), RUNS.c.cost_micros, RUNS.c.input_tokens, RUNS.c.output_tokens)
    if what.startswith(filters.TAG):
        is_it = and_(RUN_TAGS.c.run_seq == RUNS.c.seq, RUN_TAGS.c.key == what.removeprefix(filters.TAG))
        tagged = RUNS.outerjoin(RUN_TAGS, is_it)
        return select(RUN_TAGS.c.value.label("key"), *rest).select_from(tagged)
    chosen = select(_key(connection, By(what)).label("key"), *rest)
    match what:
        case By.ROAD:
            return chosen.where(RUNS.c.settled_by.is_not(None))
        case By.FAILURE_REASON:
            failed = RUNS.c.status.in_((states.FAILED.value, states.REFUSED.value))
            return chosen.where(or_(failed, RUNS.c.failure_reason.is_not(None)))
    return chosen


def _key(connection: Connection, what: By) -> ColumnElement[Any]:
    at = conditions.CREATED
    match what:
        case By.HOUR:
            return dialect.hour(connection, at)
        case By.DAY:
            return dialect.day(connection, at)
        case By.MONTH:
            return dialect.month(connection, at)
        case By.FAILURE_REASON:
            return func.substr(RUNS.c.failure_reason, 1, reasons.READ)
    return _COLUMNS[what]


def _settling(connection: Connection) -> ColumnElement[Any]:
    """From the end upstream until it was known here, in milliseconds."""
    ended, known = (dialect.milliseconds(connection, at) for at in (RUNS.c.completed_at, RUNS.c.settled_at))
    return known - ended


_COLUMNS: dict[By, ColumnElement[Any]] = {
    By.AGENT: RUNS.c.agent_id,
    By.MODEL: RUNS.c.model,
    By.STATUS: RUNS.c.status,
    By.ORIGIN: RUNS.c.origin,
    By.SETTLED_BY: RUNS.c.settled_by,
    By.ROAD: RUNS.c.settled_by,
}


@dataclass(frozen=True, slots=True)
class _Keys:
    low: int
    high: int
    since: datetime


def _window(connection: Connection, wanted: filters.Expression, bound: int) -> _Keys | None:
    """The newest runs, where there are more than a bound of which some may be wanted."""
    last = connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0
    low = last - bound + 1
    older = [RUNS.c.seq + 0 < low]  # along the index of what else is asked, not through the whole table
    for part in wanted.parts if isinstance(wanted, filters.All) else (wanted,):
        if isinstance(part, filters.Within) and part.name in (
            "accepted",
            "created",
            "settled",
        ):  # they grow as keys do
            older += conditions.where(connection, part)
    if low <= 1 or connection.execute(select(RUNS.c.seq).where(*older).limit(1)).first() is None:
        return None
    first = select(RUNS.c.accepted_at).where(RUNS.c.seq >= low).order_by(RUNS.c.seq).limit(1)
    return _Keys(low, last + 1, connection.execute(first).scalar_one())


_BY = {By.AGENT: rollups.Dimension.AGENT, By.MODEL: rollups.Dimension.MODEL}


def _slice(what: str, wanted: filters.Expression) -> rollups.Slice | None:
    """What the rollups have to say to a question; None where it is of more than they know."""
    if what not in (By.AGENT, By.MODEL, By.STATUS, By.DAY, By.MONTH):
        return None
    given: dict[str, Any] = {}
    for part in wanted.parts if isinstance(wanted, filters.All) else (wanted,):
        told = _told(part)
        if told is None or told[0] in given:
            return None
        given |= {told[0]: told[1]}
    dimensions = {each for each in (By(what), *map(_named, given)) if each in _BY}
    if len(dimensions) > 1:
        return None
    keys = given.get("agent") or given.get("model")
    # Of models there are the fewest rows.
    tried = [_BY[each] for each in dimensions] or [rollups.Dimension.MODEL, rollups.Dimension.DAY]
    slices = (rollups.Slice(each, what, given.get("status"), keys, given.get("created")) for each in tried)
    return next((each for each in slices if each.has_durations), None)


def _named(name: str) -> By | None:
    return By(name) if name in (By.AGENT, By.MODEL) else None


def _told(part: filters.Expression) -> tuple[str, Any] | None:
    """A name and what is asked of it, as rollups have it."""
    match part:
        case filters.Is("status" | "agent" | "model" as name, values) if _are_whole(values):
            return name, [each.text for each in values]
        case filters.Not(filters.Is("status", values)):
            return "status", sorted({*states.Status} - {each.text for each in values})
        case filters.Within("created", ranges):
            days = [_days(each) for each in ranges]
            return None if None in days else ("created", days)
    return None


def _are_whole(values: Sequence[filters.Value]) -> bool:
    """Whether each is a text in full; an empty one is what rollups have for none."""
    return all(each.text and not each.open_ended for each in values)


def _days(span: spans.Range) -> tuple[str | None, str | None] | None:
    """From which day up to before which other one; None where it begins or ends within a day."""
    try:
        low = None if span.low is None else span.low + _RESOLUTION * span.above
        high = None if span.high is None else span.high + _RESOLUTION * (not span.below)
    except OverflowError:  # the end of the calendar
        return None
    edges = [None if each is None else each.astimezone(UTC) for each in (low, high)]
    if any(each is not None and each.time() != time() for each in edges):
        return None
    return _day(edges[0]), _day(edges[1])


def _day(edge: datetime | None) -> str | None:
    return None if edge is None else f"{edge:%Y-%m-%d}".zfill(10)
