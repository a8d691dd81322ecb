"""The search index: which runs contain a phrase.

A run is indexed some time after it was stored, and waits in a queue until then. Where indexed texts change, their
words are removed in the same transaction, since that needs the old texts; further texts are only added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import dropwhile, islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Text, bindparam, cast, delete, func, literal, select

from storage.engine import bulk_insert, dialect, prepared
from storage.engine.column_types import instant
from storage.engine.membership import is_among
from storage.search import fulltext, passages, tokenizer
from storage.states import Part
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUN_STEPS, RUNS
from storage.tables.search import PASSAGES, SEARCH_QUEUE

#: The key of a run's passage is `seq * ROWS_PER_RUN + number`, as that of its steps.
#: The passages of one run that are read at once; a run that has more is indexed in parts.
PART = 2000
#: The name of the lock that lets one transaction at a time index runs.
LOCK_NAME = "search"

RUN_TEXTS = (Part.PROMPT, Part.GUIDANCE, Part.OUTPUT, Part.SUMMARY, Part.FAILURE_REASON)
#: JSON values, read as text: `passages.parse_json` parses a long one without blocking other threads.
JSON_TEXTS = {
    Part.TOOL_INPUT: cast(RUN_STEPS.c.tool_input, Text).label("tool_input"),
    Part.TOOL_OUTPUT: cast(RUN_STEPS.c.tool_output, Text).label("tool_output"),
}
_STEP_TEXTS = {Part.STEP: RUN_STEPS.c.content, **JSON_TEXTS}


@dataclass(frozen=True, slots=True)
class Window:
    """The runs with a `seq` from `low` up to, but not including, `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How many runs wait to be indexed, and since when the first of them."""

    runs: int
    since: datetime | None


def enqueue(connection: Connection, runs: Mapping[int, datetime]) -> None:
    """Enqueue runs to be indexed; `runs` has the time of the request by the seq of each.

    Call this for new runs, and for runs whose indexed texts stay: further texts are indexed after them.
    """
    rows = [{"run_seq": seq, "version": 1, "enqueued_at": at} for seq, at in runs.items()]
    bulk_insert.insert(connection, SEARCH_QUEUE, rows, _RAISE)


def requeue(connection: Connection, run_seq: int, now: datetime) -> None:
    """Remove a run from the index and enqueue it again. Call this before its texts change."""
    enqueue(connection, {run_seq: now})
    _remove_words(connection, run_seq)  # also when it was enqueued already: it may be indexed in part


def _remove_words(connection: Connection, run_seq: int) -> None:
    """Remove the words of a run from the index. Its texts must still be the indexed ones."""
    known = _indexed(connection, run_seq)
    if not known:
        return
    if fulltext.removal_needs_words(connection):
        indexed = islice(passages.of(texts(connection, run_seq)), known)
        numbered = ((id_, each.words) for id_, each in enumerate(indexed, run_seq * ROWS_PER_RUN))
        while batch := list(islice(numbered, PART)):
            fulltext.remove_words(connection, batch)
    connection.execute(_DELETE, _key_range(run_seq))


def remove(connection: Connection, run_seq: int) -> None:
    """Remove a run from the queue, which waits for a transaction that indexes it, and from the index."""
    connection.execute(delete(SEARCH_QUEUE).where(SEARCH_QUEUE.c.run_seq == run_seq))
    _remove_words(connection, run_seq)


def newest_queued(connection: Connection, skipped: Collection[int]) -> Row[Any, Any] | None:
    """Return the `seq` and `id` of the newest queued run that is not in `skipped`, or None."""
    waiting = select(RUNS.c.seq, RUNS.c.id).join(SEARCH_QUEUE, SEARCH_QUEUE.c.run_seq == RUNS.c.seq)
    newest = waiting.where(RUNS.c.seq.not_in(skipped)).order_by(RUNS.c.seq.desc()).limit(1)
    return connection.execute(newest).first()


def queued(
    connection: Connection, limit: int, part: int = PART, skipped: Collection[int] = ()
) -> list[passages.QueuedRun]:
    """Return queued runs, newest first, until they have `limit` passages or more; of each run up to `part`.

    Runs in `skipped` are left out.
    """
    found: list[passages.QueuedRun] = []
    size = 0
    chosen = _WAITING.where(SEARCH_QUEUE.c.run_seq.not_in(skipped)) if skipped else _WAITING
    for row in connection.execute(chosen, {"limit": limit}).all():
        rest = _from_number(connection, row.run_seq, row.indexed)
        taken = tuple(islice(rest, part))
        is_last = next(rest, None) is None
        found.append(passages.QueuedRun(row.run_seq, row.version, row.enqueued_at, taken, row.indexed, is_last))
        size += len(found[-1].passages)
        if size >= limit:
            break
    return found


def _from_number(connection: Connection, run_seq: int, first: int) -> Iterator[passages.Passage]:
    """Yield the passages from the number `first` on, without reading texts again that are indexed completely."""
    last = _LAST.first(connection, {"id": run_seq * ROWS_PER_RUN + first - 1}) if first else None
    if last is None:
        return passages.of(texts(connection, run_seq))
    unread = texts(connection, run_seq, last.step)
    rest = dropwhile(lambda each: (each[0].value, each[1]) != (last.part, last.step), unread)
    return islice(passages.after(rest, last.start), ROWS_PER_RUN - first)


def unindexed(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Return the ids of those runs that are not indexed completely."""
    return list(connection.execute(_UNINDEXED, {"ids": list(run_ids)}).scalars()) if run_ids else []


def add(connection: Connection, batch: Sequence[passages.QueuedRun]) -> int:
    """Index the runs whose texts are as they were read; return their number, 0 while another process indexes.

    A run is left out where its texts have changed, or another process has indexed a part of them. A run whose last
    passages are in the batch is removed from the queue.
    """
    if not dialect.try_acquire_lock(connection, LOCK_NAME):
        return 0
    seqs = {"seqs": [each.run_seq for each in batch]}
    held = {row.run_seq: tuple(row[1:]) for row in _LOCK.all(connection, seqs)}
    done = [each for each in batch if held.get(each.run_seq) == (each.version, each.enqueued_at, each.first)]
    if complete := [each.run_seq for each in done if each.are_last]:
        _REMOVE.run(connection, {"seqs": complete})
    rows = [row for each in done for row in enumerate(each.passages, each.run_seq * ROWS_PER_RUN + each.first)]
    bulk_insert.insert(connection, PASSAGES, [_row(id_, passage) for id_, passage in rows])
    fulltext.add_words(connection, [(id_, passage.words) for id_, passage in rows])
    return len(done)


def _indexed(connection: Connection, run_seq: int) -> int:
    """Return how many passages of a run are indexed; these are the first ones."""
    return connection.execute(_COUNT_INDEXED, _key_range(run_seq)).scalar_one()


def _row(id_: int, each: passages.Passage) -> dict[str, Any]:
    return {"id": id_, "part": each.part.value, "step": each.step, "start": each.start, "stop": each.stop}


def count_queued(connection: Connection) -> int:
    """Return the number of runs whose words cannot be found yet."""
    count: int = _COUNT_QUEUED.all(connection, {})[0].runs
    return count


def lag(connection: Connection) -> Lag:
    """Return how far the index lags behind the stored runs."""
    return Lag(*connection.execute(_LAG).one())


def waits_longest(connection: Connection, before: datetime) -> tuple[int, str | None]:
    """Return how many runs were enqueued before that instant, and the id of the first of them."""
    late = SEARCH_QUEUE.c.enqueued_at < before
    count = connection.execute(select(func.count()).select_from(SEARCH_QUEUE).where(late)).scalar_one()
    first = select(RUNS.c.id).join(SEARCH_QUEUE, SEARCH_QUEUE.c.run_seq == RUNS.c.seq).where(late)
    first = first.order_by(SEARCH_QUEUE.c.enqueued_at, RUNS.c.seq).limit(1)
    return count, connection.execute(first).scalar() if count else None


def rebuild(connection: Connection, now: datetime) -> int:
    """Clear the index, enqueue all runs that have texts, and return their number."""
    dialect.acquire_locks(connection, [LOCK_NAME])
    fulltext.remove_all_words(connection)
    connection.execute(delete(PASSAGES))
    unpruned = select(RUNS.c.seq, literal(1), instant(now)).where(RUNS.c.pruned_at.is_(None))
    columns = ["run_seq", "version", "enqueued_at"]
    missing = dialect.insert(connection, SEARCH_QUEUE).from_select(columns, unpruned).on_conflict_do_nothing()
    connection.execute(missing)
    return lag(connection).runs


def runs_with(connection: Connection, phrase: tokenizer.Phrase, window: Window | None) -> Select[Any]:
    """Return a query for the `seq` of the runs that contain the phrase."""
    low, high = (0, (1 << 63) - 1) if window is None else (window.low * ROWS_PER_RUN, window.high * ROWS_PER_RUN)
    query = literal(fulltext.query_text(connection, phrase))
    matching = fulltext.passages_with(connection, query, low, high).subquery()
    return fulltext.materialized(connection, select(matching.c[0] // ROWS_PER_RUN))


def texts(connection: Connection, run_seq: int, step: int | None = None) -> Iterator[passages.RunText]:
    """Yield the texts of a run in a fixed order; with `step`, only those of its steps from there on."""
    if step is None:
        (row,) = _TEXTS.all(connection, {"seq": run_seq})
        yield from ((part, None, text) for part, text in zip(RUN_TEXTS, row, strict=True) if text)
    for position, *values in _STEPS.stream(connection, _key_range(run_seq, step or 0)):
        for part, value in zip(_STEP_TEXTS, values, strict=True):
            if text := flatten(value) if part in JSON_TEXTS else value:
                yield part, position, text


def flatten(value: str | None) -> str | None:
    """Return all names and values of a JSON text, one a line."""
    return None if value is None else passages.flatten(passages.parse_json(value))


def _key_range(run_seq: int, first: int = 0) -> Mapping[str, int]:
    return {"low": run_seq * ROWS_PER_RUN + first, "high": run_seq * ROWS_PER_RUN + ROWS_PER_RUN - 1}


def _between(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return column.between(bindparam("low"), bindparam("high"))


#: The end of an INSERT into the queue: a run that is enqueued already gets a higher version.
_RAISE = " ON CONFLICT (run_seq) DO UPDATE SET version = search_queue.version + 1"
_LAST = prepared.Prepared(
    lambda _: select(PASSAGES.c.part, PASSAGES.c.step, PASSAGES.c.start).where(PASSAGES.c.id == bindparam("id"))
)
_COUNT_INDEXED = select(func.count()).select_from(PASSAGES).where(_between(PASSAGES.c.id))
_DELETE = delete(PASSAGES).where(_between(PASSAGES.c.id))
_TEXTS = prepared.Prepared(
    lambda _: select(*(RUNS.c[part.value] for part in RUN_TEXTS)).where(RUNS.c.seq == bindparam("seq"))
)
#: These rows are read a few at a time, since they may be large.
_STEPS = prepared.Prepared(
    lambda _: (
        select(RUN_STEPS.c.position, *_STEP_TEXTS.values())
        .where(_between(RUN_STEPS.c.id))
        .order_by(RUN_STEPS.c.id)
    )
)
_FIRST_ID = SEARCH_QUEUE.c.run_seq * ROWS_PER_RUN
_INDEXED = (
    select(func.count())
    .select_from(PASSAGES)
    .where(PASSAGES.c.id.between(_FIRST_ID, _FIRST_ID + ROWS_PER_RUN - 1))
    .scalar_subquery()
    .label("indexed")
)
#: A queued run, and how many of its passages are indexed.
_QUEUED = select(SEARCH_QUEUE.c.run_seq, SEARCH_QUEUE.c.version, SEARCH_QUEUE.c.enqueued_at, _INDEXED)
_WAITING = _QUEUED.order_by(SEARCH_QUEUE.c.run_seq.desc()).limit(bindparam("limit"))
_UNINDEXED = (
    select(RUNS.c.id).join(SEARCH_QUEUE, SEARCH_QUEUE.c.run_seq == RUNS.c.seq).where(is_among(RUNS.c.id, "ids"))
)
_AMONG = is_among(SEARCH_QUEUE.c.run_seq, "seqs")
#: Locks the rows, so that a change of the texts waits.
_LOCK = prepared.Prepared(
    lambda _: _QUEUED.where(_AMONG).order_by(SEARCH_QUEUE.c.run_seq).with_for_update(of=SEARCH_QUEUE)
)
_REMOVE = prepared.Change(lambda _: delete(SEARCH_QUEUE).where(_AMONG))
_COUNT_QUEUED = prepared.Prepared(lambda _: select(func.count().label("runs")).select_from(SEARCH_QUEUE))
_LAG = select(
    func.count().label("runs"),
    func.min(SEARCH_QUEUE.c.enqueued_at, type_=SEARCH_QUEUE.c.enqueued_at.type).label("since"),
)
