"""Statements about rollups: sums over ended runs, updated in the transaction that ends a run.

An end changes seven rows: two of its day, one of its month, and those of its agent and its model in the month and
ever. They are read, changed and written under one lock, so that no change is lost and no transactions deadlock. A
sum beyond 64 bits is stored as `bounds.SUM`, and is recounted once something is subtracted from it.
"""

from __future__ import annotations

import calendar
import functools
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
)

from storage import bounds, states
from storage.engine import bulk_insert, column_types, dialect, prepared
from storage.engine.column_types import instant
from storage.repositories import runs
from storage.stats import histogram
from storage.stats.totals import PERCENTILES, SUMS, Totals
from storage.tables.rollups import ROLLUP_SUMS
from storage.tables.runs import RUNS

#: The name of the lock under which sums are changed.
LOCK_NAME = "rollups"
#: The status of the rows that sum over all states.
ANY = ""
TERMINAL = sorted(states.TERMINAL)
_MEASURES = ("cost_micros", "input_tokens", "output_tokens", "duration_ms")
_COLUMNS = ("created_at", "status", "agent_id", "model", *_MEASURES)
PERCENTILE_COLUMNS = tuple(f"p{percent}_ms" for percent in PERCENTILES)
_UNKNOWN = (None,) * len(PERCENTILES)
TOTALS = (*SUMS, "max_duration_ms")


class Dimension(StrEnum):
    """What is summed: all runs, or those of an agent or of a model."""

    ALL = "all"
    AGENT = "agent"
    MODEL = "model"


class Span(StrEnum):
    """The length of the periods: the sums of a longer one are those of the shorter ones in it."""

    DAY = "day"
    MONTH = "month"
    EVER = "ever"


#: The spans of each dimension.
_SPANS = {
    Dimension.ALL: (Span.DAY, Span.MONTH),
    Dimension.AGENT: (Span.MONTH, Span.EVER),
    Dimension.MODEL: (Span.MONTH, Span.EVER),
}
#: The states that a span has a row of: the run's own one (None), or all of them.
_ROWS = {Span.DAY: (ANY, None), Span.MONTH: (None,), Span.EVER: (ANY,)}
#: The characters of a period.
SIZES = {Span.DAY: 10, Span.MONTH: 7, Span.EVER: 0}


class Key(NamedTuple):
    """The key of a row of sums."""

    dimension: str
    span: str
    status: str
    period: str
    key: str


#: The columns of a row that are read in order to change it, and those that are written.
_READ = (*Key._fields, *TOTALS, "histogram")
_WRITTEN = (*_READ, *PERCENTILE_COLUMNS)
#: Deletes the row of a key.
_REMOVE = prepared.Change(
    lambda _: delete(ROLLUP_SUMS).where(*(ROLLUP_SUMS.c[name] == bindparam(name) for name in Key._fields))
)
#: The end of an INSERT that replaces the row with its key.
_REPLACE = (
    f" ON CONFLICT ({', '.join(Key._fields)}) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _WRITTEN[len(Key._fields) :])}"
)


@dataclass(frozen=True, slots=True)
class RunMeasures:
    """The measures of an ended run. `day` is that of its creation, or of its acceptance."""

    day: str
    status: str
    agent_id: str
    model: str
    cost_micros: int
    input_tokens: int
    output_tokens: int
    duration_ms: int | None


def measures(run: runs.Run, changes: Mapping[str, Any] = MappingProxyType({})) -> RunMeasures:
    """Return the measures of an ended run whose row is `run` but for the columns in `changes`."""
    value = ChainMap({**changes}, {name: getattr(run, name) for name in _COLUMNS})
    return RunMeasures(
        column_types.instant_text(value["created_at"] or run.accepted_at)[:10],
        value["status"],
        value["agent_id"] or "",
        value["model"] or "",
        value["cost_micros"] or 0,
        value["input_tokens"] or 0,
        value["output_tokens"] or 0,
        value["duration_ms"],
    )


def recount(connection: Connection, before: RunMeasures | None, after: RunMeasures | None) -> None:
    """Update the sums after a run has ended, was reopened, or has other measures; None stands for not ended."""
    if after == before:
        return
    removed, added = _keys(before), _keys(after)
    dialect.acquire_locks(connection, [LOCK_NAME])
    found = _stored(connection, sorted({*removed, *added}))
    inexact = {key for key in removed if before and bounds.SUM in found[key].sums}
    _count(found, removed, before, -1)
    _count(found, added, after, 1)
    inexact |= {key for key in removed if before and _is_longest_gone(key, found[key], before, after)}
    _write(connection, found)
    for key in sorted(inexact, key=lambda key: SIZES[Span(key.span)], reverse=True):
        _write(connection, {key: _recounted(connection, key)})


def _keys(run: RunMeasures | None) -> list[Key]:
    """Return the keys of the rows that an ended run is counted in."""
    if run is None:
        return []
    values = {Dimension.ALL: "", Dimension.AGENT: run.agent_id, Dimension.MODEL: run.model}
    return [
        each for dimension, value in values.items() for each in _keys_in(dimension, run.status, run.day, value)
    ]


def _keys_in(dimension: Dimension, status: str, period: str, value: str) -> Iterator[Key]:
    """Yield the keys of one dimension; `period` is a day or, where the dimension has no days, a month."""
    for span in _SPANS[dimension]:
        for each in _ROWS[span]:
            of_state = status if each is None else each
            yield Key(dimension.value, span.value, of_state, period[: SIZES[span]], value)


def _count(found: Mapping[Key, Totals], keys: Iterable[Key], run: RunMeasures | None, sign: int) -> None:
    """Add one run to the sums of its keys, or with a negative sign remove it."""
    if run is None:
        return
    timed, duration = run.duration_ms is not None, run.duration_ms or 0
    measured = (1, run.cost_micros, run.input_tokens, run.output_tokens, timed, duration)
    sums, longest = [sign * each for each in measured], max(duration, 0) if sign > 0 else 0
    bucket = histogram.bucket_of(duration)
    for key in keys:
        found[key].add(sums, longest)
        if timed:
            found[key].durations.add(bucket, sign)


def _is_longest_gone(key: Key, totals: Totals, before: RunMeasures, after: RunMeasures | None) -> bool:
    """Return whether the longest duration of a row may have been that of a run which no longer has it."""
    stayed = after.duration_ms if after is not None and key in _keys(after) else None
    removed = before.duration_ms or 0
    return removed > (stayed or 0) and removed >= totals.longest


def _stored(connection: Connection, keys: Sequence[Key]) -> defaultdict[Key, Totals]:
    """Return the sums of those keys that have some."""
    values = {f"{name}{at}": value for at, key in enumerate(keys) for name, value in key._asdict().items()}
    return defaultdict(Totals, map(_read, _by_keys(len(keys)).all(connection, values)))


@functools.lru_cache(64)
def _by_keys(count: int) -> prepared.Prepared:
    """Return the statement for the rows of `count` keys."""
    each = [
        and_(*(ROLLUP_SUMS.c[name] == bindparam(f"{name}{at}") for name in Key._fields)) for at in range(count)
    ]
    return prepared.Prepared(lambda _: select(*(ROLLUP_SUMS.c[name] for name in _READ)).where(or_(*each)))


def _read(row: Sequence[Any]) -> tuple[Key, Totals]:
    """Return the key and the sums of a row with the columns _READ."""
    *columns, longest, packed = row
    size = len(Key._fields)
    return Key(*columns[:size]), Totals(columns[size:], longest, histogram.Histogram(packed))


def _write(connection: Connection, totals: Mapping[Key, Totals]) -> None:
    """Store the sums of these keys in place of what they have."""
    emptied = [key for key, each in totals.items() if each.sums[0] == 0]
    for key in emptied:
        _REMOVE.run(connection, key._asdict())
    rows = [_row(key, each) for key, each in totals.items() if each.sums[0] != 0]
    bulk_insert.insert(connection, ROLLUP_SUMS, [dict(zip(_WRITTEN, row, strict=True)) for row in rows], _REPLACE)


def _row(key: Key, totals: Totals) -> tuple[Any, ...]:
    """Return the columns of a row. Those of single states have no percentiles: most questions combine them."""
    percentiles = totals.percentiles if key.status == ANY else _UNKNOWN
    return (*key, *totals.capped, totals.longest, totals.durations.packed, *percentiles)


def _recounted(connection: Connection, key: Key) -> Totals:
    """Return the sums of a key from the rows of shorter periods, or from the runs where it has none."""
    dimension, found = Dimension(key.dimension), Totals()
    shortest, *_ = _SPANS[dimension]
    if key.span == shortest:
        for row in connection.execute(_counted(connection, dimension, *_of(key, dimension))):
            _add_counted(found, row)
        return found
    parts = select(*(ROLLUP_SUMS.c[name] for name in _READ)).where(
        ROLLUP_SUMS.c.dimension == key.dimension,
        ROLLUP_SUMS.c.span == shortest.value,
        ROLLUP_SUMS.c.status.in_(TERMINAL if key.status == ANY else [key.status]),
        ROLLUP_SUMS.c.key == key.key,
        func.substr(ROLLUP_SUMS.c.period, 1, len(key.period)) == key.period,
    )
    for _, part in map(_read, connection.execute(parts)):
        found.merge(part)
    return found


def _of(key: Key, dimension: Dimension) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on the runs of a day, or of an agent or a model in a month."""
    first = datetime.fromisoformat(f"{key.period}-01"[:10] + "T00:00:00+00:00")
    days = calendar.monthrange(first.year, first.month)[1] if key.span == Span.MONTH else 1
    at = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
    yield at >= instant(first)
    yield at <= instant(first + timedelta(days=days - 1, hours=23, minutes=59, seconds=59, microseconds=999_999))
    if key.status != ANY:
        yield RUNS.c.status == key.status
    if dimension is not Dimension.ALL:
        yield _value_of(dimension) == key.key


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs from the runs: its key, the stored and the counted sums; None stands for no row."""

    table: str
    key: Mapping[str, Any]
    stored: Mapping[str, Any] | None
    counted: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a comparison: how many rows the runs make, and where the rollups differ."""

    rows: int
    differences: Sequence[Difference]


def verify(connection: Connection) -> Verified:
    """Count all ended runs, and compare the rollups with them."""
    counted = {key: _shown(_row(key, each)) for key, each in _from_runs(connection).items()}
    rows = connection.execute(select(*(ROLLUP_SUMS.c[name] for name in _WRITTEN)))
    stored = {Key(*row[: len(Key._fields)]): _shown(row) for row in rows}
    differing = (key for key in sorted(counted.keys() | stored.keys()) if counted.get(key) != stored.get(key))
    found = [Difference(ROLLUP_SUMS.name, key._asdict(), stored.get(key), counted.get(key)) for key in differing]
    return Verified(len(counted), found)


def _shown(row: Sequence[Any]) -> dict[str, Any]:
    """Return the sums of a row, with its histogram as runs by bucket."""
    sums = dict(zip(_WRITTEN, row, strict=True))
    counts = histogram.Histogram(sums["histogram"]).counts
    return {name: sums[name] for name in (*TOTALS, *PERCENTILE_COLUMNS)} | {"histogram": counts}


def rebuild(connection: Connection) -> int:
    """Recount all ended runs; return the number of rows. No run may end in the meantime."""
    dialect.acquire_locks(connection, [LOCK_NAME])
    connection.execute(delete(ROLLUP_SUMS))
    found = _from_runs(connection)
    _write(connection, found)
    return len(found)


def _from_runs(connection: Connection) -> dict[Key, Totals]:
    """Return the sums that the runs make."""
    found = defaultdict[Key, Totals](Totals)
    for dimension in Dimension:
        for row in connection.execute(_counted(connection, dimension)):
            for key in _keys_in(dimension, row.status, row.period, row.value):
                _add_counted(found[key], row)
    return found


def _add_counted(totals: Totals, row: Any) -> None:
    """Add a row of `_counted`."""
    totals.add(row[4:10], row.longest)
    if row.bucket is not None:
        totals.durations.add(row.bucket, row.runs)


def _counted(connection: Connection, dimension: Dimension, *which: ColumnElement[bool]) -> Any:
    """Return the query for the sums of ended runs by their shortest period, value, state and bucket."""
    at = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
    period = dialect.day(connection, at) if dimension is Dimension.ALL else dialect.month(connection, at)
    ended = select(
        period.label("period"),
        _value_of(dimension).label("value"),
        RUNS.c.status,
        histogram.bucket_sql(RUNS.c.duration_ms).label("bucket"),
        *(RUNS.c[name] for name in _MEASURES),
    )
    row = ended.where(RUNS.c.status.in_(TERMINAL), *which).subquery().c
    keys = (row.period, row.value, row.status, row.bucket)
    *sums, duration = (dialect.total(connection, row[name]) for name in _MEASURES)
    timed, longest = func.count(row.duration_ms), func.max(case((row.duration_ms < 0, 0), else_=row.duration_ms))
    return select(*keys, func.count().label("runs"), *sums, timed, duration, longest.label("longest")).group_by(
        *keys
    )


def _value_of(dimension: Dimension) -> ColumnElement[Any]:
    """Return the value of a run in a dimension; the empty text where it is unknown."""
    names = {Dimension.AGENT: RUNS.c.agent_id, Dimension.MODEL: RUNS.c.model}
    return literal_column("''") if dimension is Dimension.ALL else func.coalesce(names[dimension], "")
