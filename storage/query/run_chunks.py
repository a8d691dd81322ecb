"""Statements that read complete runs for an export, in the order of acceptance, a chunk at a time.

Each chunk is a query of its own about a window of keys. So no transaction is long, and no more than a chunk is in
memory, however many runs there are. The newest key at the beginning is the end, so an export ends under load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Select, Table, Text, cast, func, select

from storage import results
from storage.engine import column_types, dialect
from storage.engine.column_types import Integer64
from storage.engine.membership import is_among
from storage.query import conditions, grammar, run_lines
from storage.repositories import documents, runs
from storage.search import index
from storage.tables.runs import RUN_DOCUMENTS, RUN_STEPS, RUN_USAGE, RUNS

#: Runs per chunk, and roughly the bytes after which a chunk is closed: its last run may exceed them.
RUNS_AT_ONCE, BYTES_AT_ONCE = 200, 1 << 20
#: Runs whose content is read together, and roughly the bytes that lower their number.
BATCH, BATCH_BYTES = 64, 1 << 20
#: The errors that values raise which another program wrote into the store.
UNREADABLE_ERRORS = (ValueError, TypeError, OverflowError, RecursionError)
#: The assumed size of a step before it is read.
STEP_BYTES = 4096
#: The size of a trace row besides its text.
ROW_BYTES = 512
#: Columns about this store's own work on a run; they say nothing about the run's result.
LOCAL_COLUMNS = frozenset(
    {
        *("seq", "expected_by", "refresh_requested_at", "asked_at", "missing_since", "lost_create_since"),
        *("watched", "captured_at", "capture_note", "restored_at", "review"),
    }
)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of each run that are exported besides its row and its tags.

    With `as_rows` runs are read as `RunRows`, else as `Record`.
    """

    trace: bool = True
    documents: bool = False
    as_rows: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A run with its trace; `documents` are all versions, oldest first, None where they are not exported."""

    run: runs.Run
    steps: Sequence[results.Step] = ()
    usage: Sequence[results.Usage] = ()
    documents: Sequence[documents.Document] | None = None

    @property
    def id(self) -> str:
        """Return our id of the run."""
        return self.run.id

    @property
    def weight(self) -> int:
        """Return roughly the bytes of its JSON."""
        texts = [self.run.prompt, self.run.guidance, self.run.instructions, self.run.output]
        texts += [text for step in self.steps for text in (step.content, _text(step.tool_output))]
        rows = len(self.steps) + len(self.usage) + 1
        sizes = sum(each.size for each in self.documents or ())
        return sum(len(text or "") for text in texts) + rows * ROW_BYTES + sizes


#: The columns of runs, steps and usage entries in RunRows. Those of JSON are texts.
RUN_COLUMNS = tuple(each.name for each in fields(runs.Run) if each.name not in LOCAL_COLUMNS)
STEP_COLUMNS = tuple(each.name for each in fields(results.Step) if each.name != "salt")
USAGE_COLUMNS = tuple(each.name for each in fields(results.Usage) if each.name != "salt")


@dataclass(frozen=True, slots=True)
class RunRows:
    """What a Record holds, as rows with instants as text."""

    id: str
    run: Sequence[Any]
    steps: Sequence[Sequence[Any]] = ()
    usage: Sequence[Sequence[Any]] = ()
    documents: Sequence[documents.Document] | None = None

    @property
    def weight(self) -> int:
        """Return roughly the bytes of its JSON."""
        rows = (self.run, *self.steps, *self.usage)
        texts = sum(len(value) for row in rows for value in row if isinstance(value, str))
        return texts + len(rows) * ROW_BYTES + sum(each.size for each in self.documents or ())


@dataclass(frozen=True, slots=True)
class ExportRange:
    """The keys of an export: behind `position`, up to `until`.

    `unindexed` is the number of runs whose words could not be found when it began; None without phrases.
    """

    position: int
    until: int
    unindexed: int | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records, the key up to which all runs were read, and the ids of runs that cannot be read."""

    records: Sequence[Record] | Sequence[RunRows]
    position: int
    unreadable: Sequence[str] = ()


def begin(connection: Connection, expression: grammar.Expression, after: str | None) -> ExportRange | None:
    """Return the range of an export that begins behind a run; None where there is no run with that id."""
    position = 0 if after is None else connection.execute(select(RUNS.c.seq).where(RUNS.c.id == after)).scalar()
    if position is None:
        return None
    until: int = connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0
    return ExportRange(position, until, index.lag(connection).runs if conditions.has_phrases(expression) else None)


def read_chunk(
    connection: Connection, expression: grammar.Expression, window: index.Window, parts: Parts
) -> Chunk:
    """Return the first matching runs of a window of keys, with all their content."""
    limit = min(RUNS_AT_ONCE, window.high - window.low)
    chosen = select(RUNS.c.seq, RUNS.c.id, RUNS.c.step_count)
    chosen = chosen.where(*conditions.where(connection, expression, window)).order_by(RUNS.c.seq).limit(limit)
    rows = connection.execute(chosen).all()
    sizes = _sizes(connection, [row.id for row in rows]) if parts.documents else {}
    step_weight = STEP_BYTES if parts.trace else 0
    records: list[Any] = []
    unreadable: list[str] = []
    weight, ids = 0, {row.seq: row.id for row in rows}
    for group in _groups((row.seq, row.step_count * step_weight + sizes.get(row.id, 0)) for row in rows):
        found = _readable(connection, group, parts)
        records += found
        read_ids = {each.id for each in found}
        unreadable += [ids[seq] for seq in group if ids[seq] not in read_ids]
        weight += sum(each.weight for each in found)
        if weight >= BYTES_AT_ONCE:
            return Chunk(records, group[-1], unreadable)
    return Chunk(records, rows[-1].seq if len(rows) == limit else window.high - 1, unreadable)


def _readable(connection: Connection, seqs: Sequence[int], parts: Parts) -> Sequence[Record] | Sequence[RunRows]:
    """Return the runs of these keys; where one of them cannot be read, the others."""
    try:
        return read_rows(connection, seqs, parts) if parts.as_rows else read(connection, seqs, parts)
    except UNREADABLE_ERRORS:
        found: list[Any] = [] if len(seqs) == 1 else [_readable(connection, [seq], parts) for seq in seqs]
        return [each for some in found for each in some]


def _sizes(connection: Connection, run_ids: Sequence[str]) -> Mapping[str, int]:
    """Return the bytes of each run's documents, all versions together."""
    table = RUN_DOCUMENTS.c
    summed = select(table.run_id, cast(func.sum(table.size), Integer64)).where(table.run_id.in_(run_ids))
    return {row[0]: row[1] for row in connection.execute(summed.group_by(table.run_id))}


def _groups(weights: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Group keys, given with their weights, so that each group can be read together."""
    group: list[int] = []
    total = 0
    for seq, weight in weights:
        if group and (len(group) >= BATCH or total + weight > BATCH_BYTES):
            yield group
            group, total = [], 0
        group.append(seq)
        total += weight
    if group:
        yield group


def read(connection: Connection, seqs: Sequence[int], parts: Parts) -> list[Record]:
    """Return the runs of these keys, in their order."""
    found = runs.get_full(connection, seqs)
    ids = [run.id for run in found]
    steps = _by_run(connection, ids, results.Step, RUN_STEPS.c.id) if parts.trace else {}
    usage = _by_run(connection, ids, results.Usage, RUN_USAGE.c.id) if parts.trace else {}
    kept = _documents(connection, ids, parts)
    return [Record(run, steps.get(run.id, ()), usage.get(run.id, ()), kept[run.id]) for run in found]


def read_rows(connection: Connection, seqs: Sequence[int], parts: Parts) -> list[RunRows]:
    """Return the runs of these keys as rows, in their order."""
    found = connection.execute(_run_rows(connection), {"seqs": seqs}).all()
    ids = [row.id for row in found]
    steps = _grouped(connection.execute(_STEP_ROWS, {"ids": ids})) if parts.trace else {}
    usage = _grouped(connection.execute(_USAGE_ROWS, {"ids": ids})) if parts.trace else {}
    kept = _documents(connection, ids, parts)
    return [RunRows(row.id, row, steps.get(row.id, ()), usage.get(row.id, ()), kept[row.id]) for row in found]


def _documents(
    connection: Connection, run_ids: Sequence[str], parts: Parts
) -> Mapping[str, Sequence[documents.Document] | None]:
    """Return all versions of each run's document, None where they are not exported."""
    if not parts.documents:
        return dict.fromkeys(run_ids)
    order = (RUN_DOCUMENTS.c.run_id, RUN_DOCUMENTS.c.version)
    return dict.fromkeys(run_ids, ()) | _by_run(connection, run_ids, documents.Document, *order)


@dialect.built_once
def _run_rows(connection: Connection) -> Select[Any]:
    columns = [run_lines.column(connection, name) for name in RUN_COLUMNS]
    return select(*columns).where(is_among(RUNS.c.seq, "seqs")).order_by(RUNS.c.seq)


def _trace_rows(table: Table, names: Sequence[str]) -> Select[Any]:
    """Return the statement that reads rows of runs, with the id of their run first."""
    columns = [
        cast(table.c[name], Text).label(name)
        if isinstance(table.c[name].type, column_types.Json)
        else column_types.spelled(table.c[name])
        for name in names
    ]
    chosen = select(table.c.run_id.label("of_run"), *columns)
    return chosen.where(is_among(table.c.run_id, "ids")).order_by(table.c.id)


def _grouped(rows: Iterable[Any]) -> dict[str, list[Sequence[Any]]]:
    """Return rows without their first column, by that column."""
    groups: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row[1:])
    return groups


_STEP_ROWS = _trace_rows(RUN_STEPS, STEP_COLUMNS)
_USAGE_ROWS = _trace_rows(RUN_USAGE, USAGE_COLUMNS)

T = TypeVar("T", results.Step, results.Usage, documents.Document)


def _by_run(
    connection: Connection, run_ids: Sequence[str], kind: type[T], *order: Column[Any]
) -> dict[str, Sequence[T]]:
    """Return the rows of each run, ordered by columns of their table that have an index in this order."""
    table = order[0].table.c
    selected = [table[each.name] for each in fields(kind)]
    chosen = select(table.run_id, *selected).where(table.run_id.in_(run_ids)).order_by(*order)
    grouped = _grouped(connection.execute(chosen))
    return {run_id: [kind(*row) for row in rows] for run_id, rows in grouped.items()}


def is_same(one: Record, other: Record) -> bool:
    """Return whether two records describe the same run; documents count where both have them."""
    return _content(one) == _content(other) and (
        one.documents is None
        or other.documents is None
        or _version_keys(one.documents) == _version_keys(other.documents)
    )


def _content(record: Record) -> tuple[Any, ...]:
    run = {
        each.name: getattr(record.run, each.name) for each in fields(record.run) if each.name not in LOCAL_COLUMNS
    }
    object_ids = record.run.object_ids
    run |= {"tags": dict(record.run.tags), "object_ids": None if object_ids is None else list(object_ids)}
    return run, *([replace(row, salt=b"") for row in rows] for rows in (record.steps, record.usage))


def _version_keys(versions: Sequence[documents.Document]) -> list[tuple[int, str, datetime, str | None]]:
    return [(each.version, each.body_sha256, each.fetched_at, each.parse_error) for each in versions]


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value or "")
