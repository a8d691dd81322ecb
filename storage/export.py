"""Statements about runs as they leave the store: whole, in the order of acceptance, a chunk at a time.

A chunk is a question of its own about a window of keys, so that however many runs there are no transaction is long
and no more than a chunk is in memory. The newest key at the beginning is the end, so an export ends under load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import Connection, cast, func, select

from storage import conditions, documents, filters, runs, search
from storage.columns import Integer64
from storage.tables import RUN_DOCUMENTS, RUNS

#: Runs that are looked for at once, and bytes, roughly, after which a chunk is closed: the last run may go beyond.
RUNS_AT_ONCE, BYTES_AT_ONCE = 200, 1 << 20
#: Runs whose content is read at once, and bytes, roughly, after which there are fewer of them.
GROUP, GROUP_BYTES = 16, 1 << 20
#: What comes of a value that somebody else wrote into the store.
UNREADABLE = (ValueError, TypeError, OverflowError, RecursionError)
#: What a step weighs before it was read.
STEP_BYTES = 4096
#: What a row of a trace weighs beside its text.
ROW_BYTES = 512
#: Columns that say what this store has to do about a run; what became of it they do not tell.
OWN = frozenset(
    (
        "seq",
        "expected_by",
        "refresh_requested_at",
        "asked_at",
        "missing_since",
        "stray_since",
        "watched",
        "captured_at",
        "capture_note",
        "restored_at",
    )
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is told of each run beside its row and its tags."""

    trace: bool = True
    documents: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A run with its trace; `documents` are all versions, oldest first, None where they are not told."""

    run: runs.Run
    steps: Sequence[documents.Step] = ()
    usage: Sequence[documents.Usage] = ()
    documents: Sequence[documents.Document] | None = None

    @property
    def weight(self) -> int:
        """Bytes, roughly, of its JSON."""
        texts = [self.run.prompt, self.run.guidance, self.run.instructions, self.run.output]
        texts += [text for step in self.steps for text in (step.content, _shown(step.tool_output))]
        rows = len(self.steps) + len(self.usage) + 1
        sizes = sum(each.size for each in self.documents or ())
        return sum(len(text or "") for text in texts) + rows * ROW_BYTES + sizes


@dataclass(frozen=True, slots=True)
class Span:
    """The keys that an export goes through: behind `place` up to `until`.

    `unindexed` are runs whose words were not to be found when it began; None where no words are asked for.
    """

    place: int
    until: int
    unindexed: int | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records, the key up to which all has been looked at, and the ids of runs that cannot be read."""

    records: Sequence[Record]
    place: int
    unread: Sequence[str] = ()


def begin(connection: Connection, wanted: filters.Expression, after: str | None) -> Span | None:
    """Where an export begins, behind the run of that id, and where it ends; None where there is no such run."""
    place = 0
    if after is not None:
        found = connection.execute(select(RUNS.c.seq).where(RUNS.c.id == after)).scalar()
        if found is None:
            return None
        place = found
    until: int = connection.execute(select(func.max(RUNS.c.seq))).scalar() or 0
    return Span(place, until, search.lag(connection).runs if conditions.says(wanted) else None)


def chunk(connection: Connection, wanted: filters.Expression, window: search.Window, parts: Parts) -> Chunk:
    """The first of the wanted runs in a window of keys, whole."""
    limit = min(RUNS_AT_ONCE, window.high - window.low)
    chosen = select(RUNS.c.seq, RUNS.c.id, RUNS.c.step_count)
    chosen = chosen.where(*conditions.where(connection, wanted, window)).order_by(RUNS.c.seq).limit(limit)
    rows = connection.execute(chosen).all()
    sizes = _sizes(connection, [row.id for row in rows]) if parts.documents else {}
    a_step = STEP_BYTES if parts.trace else 0
    records: list[Record] = []
    unread: list[str] = []
    weight, ids = 0, {row.seq: row.id for row in rows}
    for group in _groups((row.seq, row.step_count * a_step + sizes.get(row.id, 0)) for row in rows):
        found = _readable(connection, group, parts)
        records += found
        unread += [ids[seq] for seq in group if seq not in {each.run.seq for each in found}]
        weight += sum(each.weight for each in found)
        if weight >= BYTES_AT_ONCE:
            return Chunk(records, group[-1], unread)
    return Chunk(records, rows[-1].seq if len(rows) == limit else window.high - 1, unread)


def _readable(connection: Connection, seqs: Sequence[int], parts: Parts) -> list[Record]:
    """The runs of these keys; where one of them makes no value, those that do."""
    try:
        return read(connection, seqs, parts)
    except UNREADABLE:
        return [] if len(seqs) == 1 else [each for seq in seqs for each in _readable(connection, [seq], parts)]


def _sizes(connection: Connection, run_ids: Sequence[str]) -> Mapping[str, int]:
    """Bytes of the documents of each run, all versions together."""
    table = RUN_DOCUMENTS.c
    summed = select(table.run_id, cast(func.sum(table.size), Integer64)).where(table.run_id.in_(run_ids))
    return {row[0]: row[1] for row in connection.execute(summed.group_by(table.run_id))}


def _groups(weights: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Keys that can be read together, given with their weights."""
    group: list[int] = []
    held = 0
    for seq, weight in weights:
        if group and (len(group) >= GROUP or held + weight > GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(seq)
        held += weight
    if group:
        yield group


def read(connection: Connection, seqs: Sequence[int], parts: Parts) -> list[Record]:
    """The runs of these keys, in their order."""
    found = runs.whole(connection, seqs)
    ids = [run.id for run in found]
    steps = _rows(connection, ids, documents.Step) if parts.trace else {}
    usage = _rows(connection, ids, documents.Usage) if parts.trace else {}
    held = _documents(connection, ids) if parts.documents else {}
    return [
        Record(
            run, steps.get(run.id, ()), usage.get(run.id, ()), held.get(run.id, ()) if parts.documents else None
        )
        for run in found
    ]


T = TypeVar("T", documents.Step, documents.Usage)


def _rows(connection: Connection, run_ids: Sequence[str], kind: type[T]) -> Mapping[str, Sequence[T]]:
    table = documents.TABLES[kind]
    wanted = [table.c[each.name] for each in fields(kind)]
    chosen = select(table.c.run_id, *wanted).where(table.c.run_id.in_(run_ids)).order_by(table.c.id)
    return {
        run_id: [kind(*row[1:]) for row in rows]
        for run_id, rows in groupby(connection.execute(chosen), key=lambda row: str(row.run_id))
    }


def _documents(connection: Connection, run_ids: Sequence[str]) -> Mapping[str, Sequence[documents.Document]]:
    table = RUN_DOCUMENTS.c
    wanted = [table[each.name] for each in fields(documents.Document)]
    chosen = select(table.run_id, *wanted).where(table.run_id.in_(run_ids)).order_by(table.run_id, table.version)
    return {
        run_id: [documents.Document(*row[1:]) for row in rows]
        for run_id, rows in groupby(connection.execute(chosen), key=lambda row: str(row.run_id))
    }


def is_same(one: Record, other: Record) -> bool:
    """Whether two records tell the same of a run; documents count where both have them."""
    return _told(one) == _told(other) and (
        one.documents is None or other.documents is None or _known(one.documents) == _known(other.documents)
    )


def _told(record: Record) -> tuple[Any, ...]:
    run = {each.name: getattr(record.run, each.name) for each in fields(record.run) if each.name not in OWN}
    run |= {"tags": dict(record.run.tags), "object_ids": _listed(record.run.object_ids)}
    return run, *([replace(row, salt=b"") for row in rows] for rows in (record.steps, record.usage))


def _listed(value: Sequence[str] | None) -> list[str] | None:
    return None if value is None else list(value)


def _known(held: Sequence[documents.Document]) -> list[tuple[int, str, datetime, str | None]]:
    return [(each.version, each.body_sha256, each.fetched_at, each.parse_error) for each in held]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else str(value or "")
