"""Statements about rollups: sums over ended runs, updated in the transaction that ends a run.

Two small tables have sums (per day and model, per day and agent), and one has durations by buckets. A transaction
changes its rows in one fixed order, so that two transactions never deadlock. A sum beyond 64 bits is stored as
`bounds.SUM` and is recounted once something is subtracted from it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
    update,
)

from storage import bounds, states
from storage.engine import column_types, dialect
from storage.engine.column_types import instant
from storage.repositories import runs
from storage.stats import histogram
from storage.tables.rollups import ROLLUP_AGENTS, ROLLUP_DURATIONS, ROLLUP_MODELS
from storage.tables.runs import RUNS

#: In the order in which every transaction locks them.
TABLES = (ROLLUP_MODELS, ROLLUP_AGENTS, ROLLUP_DURATIONS)
_TERMINAL = sorted(states.TERMINAL)
_LONGEST = "max_duration_ms"
_MEASURES = ("cost_micros", "input_tokens", "output_tokens", "duration_ms")
_COLUMNS = ("created_at", "status", "agent_id", "model", *_MEASURES)


class Dimension(StrEnum):
    """The keys of durations: an agent or a model in a month, or all runs of a day."""

    AGENT = "agent"
    MODEL = "model"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class RunMeasures:
    """The measures of an ended run. `day` is that of its creation, or of its acceptance."""

    day: str
    created: bool
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
        value["created_at"] is not None,
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
    changes = _merged([*_parts(before, -1), *_parts(after, 1)])
    for table in TABLES:
        rows = [row for each, row in changes if each is table]
        if rows:
            connection.execute(_upsert(connection, table), rows)
    if before is not None:
        _clean_subtracted(connection, before, changes)


def _parts(run: RunMeasures | None, sign: int) -> Iterator[tuple[Table, dict[str, Any]]]:
    """Return the rows of a single run; with a negative sign, the rows that subtract it."""
    if run is None:
        return
    key = {"status": run.status, "created": run.created}
    longest = max(run.duration_ms or 0, 0) if sign > 0 else 0
    sums = {
        "runs": sign,
        **{name: sign * (getattr(run, name) or 0) for name in _MEASURES},
        "timed": 0 if run.duration_ms is None else sign,
        _LONGEST: longest,
    }
    yield ROLLUP_MODELS, {"day": run.day, "model": run.model, **key, **sums}
    yield ROLLUP_AGENTS, {"day": run.day, "agent_id": run.agent_id, **key, **sums}
    if run.duration_ms is not None:
        bucket_key = {"month": run.day[:7], **key, "bucket": histogram.bucket_of(run.duration_ms), "runs": sign}
        for dimension, value in zip(Dimension, (run.agent_id, run.model, run.day), strict=True):
            yield ROLLUP_DURATIONS, {"dimension": dimension.value, "key": value, **bucket_key}


def _merged(parts: Iterable[tuple[Table, dict[str, Any]]]) -> list[tuple[Table, dict[str, Any]]]:
    """Return one row per key, in the order of keys, without rows that change nothing."""
    found: dict[tuple[Any, ...], tuple[Table, dict[str, Any]]] = {}
    for table, row in parts:
        key = (table.name, *(row[name] for name in _keys(table)))
        if key in found:
            existing = found[key][1]
            existing |= {name: existing[name] + row[name] for name in _sums(table)}
            existing |= {_LONGEST: max(existing[_LONGEST], row[_LONGEST])} if _LONGEST in row else {}
        else:
            found[key] = (table, row)
    merged = (found[key] for key in sorted(found))
    return [(table, row) for table, row in merged if any(row[name] for name in _sums(table))]


def _keys(table: Table) -> list[str]:
    return [column.name for column in table.primary_key.columns]


def _sums(table: Table) -> list[str]:
    return [column.name for column in table.columns if not column.primary_key and column.name != _LONGEST]


@dialect.built_once
def _upsert(connection: Connection, table: Table) -> Any:
    """Return the statement that adds to a row or inserts it."""
    new = dialect.insert(connection, table)
    sums = {name: _added(table.c[name], new.excluded[name]) for name in _sums(table)}
    if _LONGEST in table.c:
        stored, added = table.c[_LONGEST], new.excluded[_LONGEST]
        sums[_LONGEST] = case((added > stored, added), else_=stored)
    return new.on_conflict_do_update(index_elements=_keys(table), set_=sums)


def _added(stored: ColumnElement[Any], added: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the sum of both; a sum at its bound stays there."""
    return case(
        (stored == bounds.SUM, stored),
        (added <= 0, stored + added),
        (stored > bounds.SUM - added, bounds.SUM),
        else_=stored + added,
    )


def _clean_subtracted(
    connection: Connection, before: RunMeasures, changes: Iterable[tuple[Table, Mapping[str, Any]]]
) -> None:
    """Clean the changed rows of a subtracted run: delete empty sums, and recompute the longest duration."""
    for table, row in changes:
        which = and_(*(table.c[name] == row[name] for name in _keys(table)))
        if row["runs"] < 0:
            connection.execute(delete(table).where(which, table.c.runs == 0))
        if row.get("duration_ms", 0) < 0:
            longest = _of_day(before, table, func.max(_clean(RUNS.c.duration_ms)))
            may_be_longest = table.c[_LONGEST] <= before.duration_ms
            connection.execute(update(table).where(which, may_be_longest).values({_LONGEST: longest}))
        subtracted = [name for name in _MEASURES if row.get(name, 0) < 0]
        if subtracted:
            sums = {name: _of_day(before, table, dialect.total(connection, RUNS.c[name])) for name in subtracted}
            at_bound = or_(*(table.c[name] == bounds.SUM for name in subtracted))
            connection.execute(update(table).where(which, at_bound).values(sums))


def _of_day(run: RunMeasures, table: Table, what: ColumnElement[Any]) -> Any:
    """Return an aggregate over the runs of a row of sums; zero where there are none."""
    name, value = ("agent_id", run.agent_id) if "agent_id" in table.c else ("model", run.model)
    begins = datetime.fromisoformat(f"{run.day}T00:00:00+00:00")
    ends = datetime.fromisoformat(f"{run.day}T23:59:59.999999+00:00")
    at = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
    chosen = select(func.coalesce(what, 0)).where(
        RUNS.c.created_at.is_not(None) if run.created else RUNS.c.created_at.is_(None),
        at >= instant(begins),
        at <= instant(ends),
        RUNS.c.status == run.status,
        func.coalesce(RUNS.c[name], "") == value,
    )
    return chosen.scalar_subquery()


def _clean(duration: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((duration < 0, 0), else_=duration)


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs from the runs: its key, the stored and the counted sums; None stands for no row."""

    table: str
    key: Mapping[str, Any]
    stored: Mapping[str, int] | None
    counted: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of a comparison: how many rows the runs make, and where the rollups differ."""

    rows: int
    differences: Sequence[Difference]


def verify(connection: Connection) -> Verified:
    """Count all ended runs, and compare the rollups with them."""
    rows, found = 0, list[Difference]()
    for table in TABLES:
        counted, stored = (_read(connection, table, each) for each in (_counted(connection, table), select(table)))
        rows += len(counted)
        for key in sorted(counted.keys() | stored.keys()):
            if counted.get(key) != stored.get(key):
                named = dict(zip(_keys(table), key, strict=True))
                found.append(Difference(table.name, named, stored.get(key), counted.get(key)))
    return Verified(rows, found)


def _read(connection: Connection, table: Table, chosen: Select[Any]) -> dict[tuple[Any, ...], Any]:
    names, keyed = [column.name for column in table.columns], len(_keys(table))
    found: dict[tuple[Any, ...], Any] = {}
    for row in connection.execute(chosen):
        key = tuple(
            bool(each) if name == "created" else each for name, each in zip(names, row[:keyed], strict=False)
        )
        found[key] = {name: int(each) for name, each in zip(names[keyed:], row[keyed:], strict=True)}
    return found


def rebuild(connection: Connection) -> int:
    """Recount all ended runs; return the number of rows. No run may end in the meantime."""
    dialect.lock_tables(connection, TABLES)
    for table in TABLES:
        connection.execute(delete(table))
        names = [column.name for column in table.columns]
        connection.execute(table.insert().from_select(names, _counted(connection, table)))
    return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in TABLES)


def _counted(connection: Connection, table: Table) -> Any:
    """Return the query for the rows that the runs make, in the order of the table's columns."""
    ended = _ended(connection)
    if table is ROLLUP_DURATIONS:
        values = (ended.agent_id, ended.model, ended.day)
        return union_all(*(_buckets(ended, *each) for each in zip(Dimension, values, strict=True)))
    keys = [ended[name] for name in _keys(table)]
    duration, summed = ended.duration_ms, (dialect.total(connection, ended[name]) for name in _MEASURES)
    *sums, time = (func.coalesce(each, 0) for each in summed)
    timed = [func.count(duration), time, func.coalesce(func.max(_clean(duration)), 0)]
    return select(*keys, func.count(), *sums, *timed).group_by(*keys)


def _buckets(ended: Any, dimension: Dimension, value: ColumnElement[Any]) -> Select[Any]:
    keys = [value, ended.month, ended.status, ended.created, ended.bucket]
    return select(literal(dimension.value), *keys, func.count()).where(ended.bucket.is_not(None)).group_by(*keys)


def _ended(connection: Connection) -> Any:
    at = func.coalesce(RUNS.c.created_at, RUNS.c.accepted_at)
    chosen = select(
        dialect.day(connection, at).label("day"),
        dialect.month(connection, at).label("month"),
        RUNS.c.created_at.is_not(None).label("created"),
        func.coalesce(RUNS.c.agent_id, "").label("agent_id"),
        func.coalesce(RUNS.c.model, "").label("model"),
        histogram.bucket_sql(RUNS.c.duration_ms).label("bucket"),
        *(RUNS.c[name] for name in ("status", *_MEASURES)),
    )
    return chosen.where(RUNS.c.status.in_(_TERMINAL)).subquery().c


@dataclass(frozen=True, slots=True)
class Slice:
    """A selection of the sums by states, agents or models (as `dimension` says), and ranges of days.

    A range includes its first day and excludes its last one. None selects all.
    """

    dimension: Dimension
    by: str
    statuses: Sequence[str] | None = None
    keys: Sequence[str] | None = None
    days: Sequence[tuple[str | None, str | None]] | None = None

    @property
    def has_durations(self) -> bool:
        """Return whether durations are kept for the selection: those of agents and models by whole months only."""
        edges = [edge for span in self.days or () for edge in span if edge is not None]
        if self.dimension is Dimension.DAY:
            return True
        return self.by != "day" and all(edge.endswith("-01") for edge in edges)


def sums(connection: Connection, chosen: Slice) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return rows of key, runs, cost_micros, input_tokens, output_tokens, timed, duration_ms, max_duration_ms."""
    table = ROLLUP_AGENTS if chosen.dimension is Dimension.AGENT else ROLLUP_MODELS
    named = {"agent": "agent_id", "model": "model", "status": "status", "day": "day"}
    key = (table.c[named[chosen.by]] if chosen.by in named else func.substr(table.c.day, 1, 7)).label("key")
    value = None if chosen.dimension is Dimension.DAY else table.c[named[chosen.dimension]]
    inner = select(key, *(table.c[name] for name in (*_sums(table), _LONGEST)))
    rows = inner.where(*_which(table, chosen, value, table.c.day, 10)).subquery().c
    summed = [dialect.total(connection, rows[name]) for name in _sums(table)]
    return connection.execute(select(rows.key, *summed, func.max(rows[_LONGEST])).group_by(rows.key)).all()


def durations(connection: Connection, chosen: Slice) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return rows of key, bucket, runs, for a selection that has durations."""
    table = ROLLUP_DURATIONS
    key = {"status": table.c.status, "month": table.c.month}.get(chosen.by, table.c.key)
    at, size = (table.c.key, 10) if chosen.dimension is Dimension.DAY else (table.c.month, 7)
    rows = select(key, table.c.bucket, func.sum(table.c.runs)).where(
        table.c.dimension == chosen.dimension.value, *_which(table, chosen, table.c.key, at, size)
    )
    return connection.execute(rows.group_by(key, table.c.bucket)).all()


def _which(
    table: Table, chosen: Slice, value: ColumnElement[Any] | None, at: ColumnElement[Any], size: int
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if chosen.statuses is not None:
        found.append(table.c.status.in_(chosen.statuses))
    if chosen.keys is not None and value is not None:
        found.append(value.in_(chosen.keys))
    if chosen.days is not None:
        found.append(or_(*(_between(at, span, size) for span in chosen.days)))
    return found


def _between(at: ColumnElement[Any], span: tuple[str | None, str | None], size: int) -> ColumnElement[bool]:
    low, high = span
    since = [] if low is None else [at >= low[:size]]
    until = [] if high is None else [at < high[:size]]
    return and_(true(), *since, *until)
