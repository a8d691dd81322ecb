"""Statements about the texts of runs: what is in them by words, and where.

A run is indexed some time after it was stored; until then it stands in the queue. So
its words are forgotten in the transaction that changes its texts, while it is still known what they were.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import dropwhile, islice, pairwise, takewhile
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    select,
    update,
)

from storage import dialect, passages, states, words
from storage.columns import instant
from storage.tables import PASSAGES, RUN_STEPS, RUNS, SEARCH_QUEUE

#: A run's passages are keyed `seq * ROWS + number`, as its steps are.
ROWS = passages.ROWS
#: Passages of one run that are read at once; a run that has more is indexed in parts.
PART = 2000
#: What is done by one transaction at a time, under this name.
INDEXING = "search"
#: Runs whose keys are no further apart are looked at together.
NEAR = 4096
#: Characters around a hit, and those of a hit that are shown.
AROUND, SHOWN = 60, 400

_OWN = (
    states.Part.PROMPT,
    states.Part.GUIDANCE,
    states.Part.OUTPUT,
    states.Part.SUMMARY,
    states.Part.FAILURE_REASON,
)
#: JSON values, as the text that they are: `passages.parsed` lets nobody wait for a long one.
_OF_JSON = {
    states.Part.TOOL_INPUT: cast(RUN_STEPS.c.tool_input, Text).label("tool_input"),
    states.Part.TOOL_OUTPUT: cast(RUN_STEPS.c.tool_output, Text).label("tool_output"),
}
_OF_STEPS = {states.Part.STEP: RUN_STEPS.c.content, **_OF_JSON}


@dataclass(frozen=True, slots=True)
class Window:
    """Runs by their keys, from `low` up to below `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Lag:
    """How many runs are not to be found yet, and since when the first of them."""

    runs: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Snippet:
    """Where something was found: `marks` are characters of `text` from and to."""

    part: states.Part
    step: int | None
    text: str
    marks: tuple[tuple[int, int], ...]

    @property
    def html(self) -> str:
        """The text, safe in any page, with each hit in `<mark>`."""
        edges = [0, *(edge for mark in self.marks for edge in mark), len(self.text)]
        parts = [html.escape(self.text[low:high]) for low, high in pairwise(edges)]
        return "".join(f"<mark>{part}</mark>" if at % 2 else part for at, part in enumerate(parts))


def enqueue(connection: Connection, run_seq: int, now: datetime) -> bool:
    """Has a run indexed; whether it was waiting for that already."""
    version = connection.execute(_upsert(connection), {"run_seq": run_seq, "wished_at": now}).scalar_one()
    return bool(version > 1)


def touch(connection: Connection, run_seq: int, now: datetime) -> None:
    """The texts of a run are about to change: what was indexed is forgotten, and the run waits anew."""
    enqueue(connection, run_seq, now)
    forget(connection, run_seq)  # also where it waits: it may be indexed in part


def forget(connection: Connection, run_seq: int) -> None:
    """Takes the words of a run out of the index, by its texts as they still are."""
    known = _indexed(connection, run_seq)
    if not known:
        return
    if dialect.forgets_by_words(connection):
        told = passages.of(texts(connection, run_seq))
        numbered = ((id_, each.words) for id_, each in enumerate(islice(told, known), run_seq * ROWS))
        while batch := list(islice(numbered, PART)):
            dialect.forget_words(connection, batch)
    connection.execute(_DELETE, _span(run_seq))


def leave(connection: Connection, run_seq: int) -> None:
    """The run has no texts any more: neither is it indexed, nor does it wait for it."""
    connection.execute(delete(SEARCH_QUEUE).where(SEARCH_QUEUE.c.run_seq == run_seq))  # waits for who indexes it
    forget(connection, run_seq)


def newest(connection: Connection, passed: Collection[int]) -> Any:
    """`seq` and `id` of the newest run to be indexed but those in `passed`; None without one."""
    chosen = select(RUNS.c.seq, RUNS.c.id).join(SEARCH_QUEUE, SEARCH_QUEUE.c.run_seq == RUNS.c.seq)
    return connection.execute(chosen.where(RUNS.c.seq.not_in(passed)).order_by(RUNS.c.seq.desc()).limit(1)).first()


def waiting(
    connection: Connection, limit: int, part: int = PART, passed: Collection[int] = ()
) -> list[passages.Waiting]:
    """Runs to be indexed, newest first, until they have `limit` passages or more; of each up to `part`.

    Those in `passed` are left for later.
    """
    found: list[passages.Waiting] = []
    size = 0
    chosen = _WAITING.where(SEARCH_QUEUE.c.run_seq.not_in(passed)) if passed else _WAITING
    for row in connection.execute(chosen, {"limit": limit}).all():
        first = _indexed(connection, row.run_seq)
        told = _behind(connection, row.run_seq, first)
        taken = tuple(islice(told, part))
        is_last = next(told, None) is None
        found.append(passages.Waiting(row.run_seq, row.version, row.wished_at, taken, first, is_last))
        size += len(found[-1].passages)
        if size >= limit:
            break
    return found


def _behind(connection: Connection, run_seq: int, first: int) -> Iterator[passages.Passage]:
    """The passages from the number `first` on. Texts before the last one that is indexed are not read again."""
    last = connection.execute(_LAST, {"id": run_seq * ROWS + first - 1}).first() if first else None
    if last is None:
        return passages.of(texts(connection, run_seq))
    said = texts(connection, run_seq, last.step)
    rest = dropwhile(lambda each: (each[0].value, each[1]) != (last.part, last.step), said)
    return islice(passages.after(rest, last.start), ROWS - first)


def unindexed(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """Those of some runs of ours whose words are not to be found yet."""
    return list(connection.execute(_UNINDEXED, {"ids": list(run_ids)}).scalars()) if run_ids else []


def index(connection: Connection, batch: Sequence[passages.Waiting]) -> int:
    """Indexes runs whose texts have not changed since they were read; how many: none where another one indexes."""
    if not dialect.is_alone(connection, INDEXING):
        return 0
    done = [each for each in sorted(batch, key=lambda each: each.run_seq) if _takes(connection, each)]
    rows = [row for each in done for row in enumerate(each.passages, each.run_seq * ROWS + each.first)]
    if rows:
        connection.execute(PASSAGES.insert(), [_row(id_, told) for id_, told in rows])
        dialect.keep_words(connection, [(id_, told.words) for id_, told in rows])
    return len(done)


def _takes(connection: Connection, each: passages.Waiting) -> bool:
    taken = {"read_seq": each.run_seq, "read_version": each.version, "read_at": each.wished_at}
    if not connection.execute(_HOLD, taken).rowcount or _indexed(connection, each.run_seq) != each.first:
        return False  # its texts have changed, or somebody else indexed a part of them
    if each.are_last:
        connection.execute(_TAKE, taken)
    return True


def _indexed(connection: Connection, run_seq: int) -> int:
    """How many passages of a run are indexed: the first ones."""
    return connection.execute(_PASSAGES, _span(run_seq)).scalar_one()


def _row(id_: int, told: passages.Passage) -> dict[str, Any]:
    return {"id": id_, "part": told.part.value, "step": told.step, "start": told.start, "stop": told.stop}


def lag(connection: Connection) -> Lag:
    """How far the index is behind."""
    row = connection.execute(_LAG).one()
    return Lag(row.runs, row.since)


def waits_longest(connection: Connection, before: datetime) -> tuple[int, str | None]:
    """Return how many runs have waited to be indexed since `before`, and the id of the first of them."""
    late = SEARCH_QUEUE.c.wished_at < before
    count = connection.execute(select(func.count()).select_from(SEARCH_QUEUE).where(late)).scalar_one()
    first = select(RUNS.c.id).join(SEARCH_QUEUE, SEARCH_QUEUE.c.run_seq == RUNS.c.seq).where(late)
    return count, connection.execute(
        first.order_by(SEARCH_QUEUE.c.wished_at, RUNS.c.seq).limit(1)
    ).scalar() if count else None


def rebuild(connection: Connection, now: datetime) -> int:
    """Forgets the whole index, and has all that was ever in it wait to be indexed anew; how many runs that are."""
    dialect.one_by_one(connection, [INDEXING])
    dialect.forget_all_words(connection)
    connection.execute(delete(PASSAGES))
    wished = select(RUNS.c.seq, literal(1), instant(now)).where(RUNS.c.pruned_at.is_(None))
    columns = ["run_seq", "version", "wished_at"]
    missing = dialect.insert(connection, SEARCH_QUEUE).from_select(columns, wished).on_conflict_do_nothing()
    connection.execute(missing)
    return lag(connection).runs


def saying(connection: Connection, phrase: words.Phrase, window: Window | None) -> Select[Any]:
    """The keys of the runs that say so."""
    low, high = (0, (1 << 63) - 1) if window is None else (window.low * ROWS, window.high * ROWS)
    held = dialect.holders_of(connection, phrase.words, phrase.open_ended, low, high).subquery()
    return dialect.gathered(connection, select(held.c[0] // ROWS))


def hits(connection: Connection, seqs: Sequence[int], phrases: Iterable[words.Phrase]) -> dict[int, int]:
    """In how many passages of some runs a phrase stands, by the seq of the run; each phrase counts by itself."""
    if not seqs:
        return {}
    found: Counter[int] = Counter()
    low, high = min(seqs) * ROWS, (max(seqs) + 1) * ROWS
    for phrase in phrases:
        held = dialect.holders_of(connection, phrase.words, phrase.open_ended, low, high).subquery()
        run_seq = (held.c[0] // ROWS).label("run_seq")
        for row in connection.execute(select(run_seq, func.count()).group_by(run_seq)):
            found[row[0]] += row[1]
    return dict(found)


def snippets(
    connection: Connection, run_seqs: Sequence[int], phrases: Iterable[words.Phrase]
) -> dict[int, list[Snippet]]:
    """Where runs say each of them first, by the seq of the run."""
    found: dict[int, list[Snippet]] = {}
    for phrase in phrases if run_seqs else ():
        for row in connection.execute(_SHOWN, {"ids": _firsts(connection, run_seqs, phrase)}).all():
            if told := _cut(row, _around(connection, row), phrase):
                found.setdefault(row.id // ROWS, []).append(told)
    return found


def _firsts(connection: Connection, run_seqs: Sequence[int], phrase: words.Phrase) -> list[int]:
    """The first passage of each of the runs that says so."""
    first, last = min(run_seqs), max(run_seqs)
    is_one_look = dialect.is_dear(connection) and (phrase.open_ended or last - first < NEAR)
    low, high = (first, last + 1) if is_one_look else (RUNS.c.seq, RUNS.c.seq + 1)
    held = dialect.holders_of(connection, phrase.words, phrase.open_ended, low * ROWS, high * ROWS)
    id_ = held.selected_columns[0]
    if is_one_look:
        chosen = held.with_only_columns(func.min(id_)).where((id_ // ROWS).in_(run_seqs)).group_by(id_ // ROWS)
    else:
        of_each = held.with_only_columns(func.min(id_)).scalar_subquery()
        chosen = select(of_each).where(RUNS.c.seq.in_(run_seqs))
    return [id_ for id_ in connection.execute(chosen).scalars() if id_ is not None]


def _around(connection: Connection, row: Any) -> str:
    """What stands in a passage and around it. JSON values are read one by one, since they may be large."""
    column = _OF_JSON.get(states.read(states.Part, row.part))
    if column is None:
        return row.around or ""
    chosen = select(column).where(RUN_STEPS.c.id == row.id // ROWS * ROWS + row.step)
    text = _flat(connection.execute(chosen).scalar()) or ""
    return text[row.begin : row.stop + AROUND + 1]


def _cut(row: Any, text: str, phrase: words.Phrase) -> Snippet | None:
    """The first hit in a passage with what stands around it, in one line. `text` begins at `row.begin`."""
    start, stop = row.start - row.begin, row.stop - row.begin
    hits = ((low + start, high + start) for low, high in phrase.spans(text[start:stop]))
    first = next(hits, None)
    if first is None:
        return None  # the text has changed since
    first = (first[0], min(first[1], first[0] + SHOWN))  # words may be long, and much may stand between two
    low, high = max(0, first[0] - AROUND), min(len(text), first[1] + AROUND)
    before, after = "…" * (low + row.begin > 0), "…" * (high < len(text))
    line = before + "".join(" " if each.isspace() else each for each in text[low:high]) + after
    shift = len(before) - low
    marks = [first, *takewhile(lambda mark: mark[1] <= high, hits)]
    return Snippet(
        states.read(states.Part, row.part), row.step, line, _apart([(at + shift, to + shift) for at, to in marks])
    )


def _apart(marks: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Without those that overlap one before them."""
    kept: list[tuple[int, int]] = []
    for mark in marks:
        if not kept or mark[0] >= kept[-1][1]:
            kept.append(mark)
    return tuple(kept)


def texts(connection: Connection, run_seq: int, step: int | None = None) -> Iterator[passages.Said]:
    """All that is said in a run, in a fixed order; of its steps, those from `step` on."""
    if step is None:
        row = connection.execute(_TEXTS, {"seq": run_seq}).one()
        yield from ((part, None, text) for part, text in zip(_OWN, row, strict=True) if text)
    span = {"low": run_seq * ROWS + (step or 0), "high": run_seq * ROWS + ROWS - 1}
    with connection.execute(_STEPS, span) as steps:
        for row in steps:
            for part, column in _OF_STEPS.items():
                said = row._mapping[column.name]
                if text := _flat(said) if part in _OF_JSON else said:
                    yield part, row.position, text


def _flat(said: str | None) -> str | None:
    """All that stands in a JSON value, which is given as a text."""
    return None if said is None else passages.flat(passages.parsed(said))


def _span(run_seq: int) -> Mapping[str, int]:
    return {"low": run_seq * ROWS, "high": run_seq * ROWS + ROWS - 1}


def _upsert(connection: Connection) -> Any:
    new = dialect.insert(connection, SEARCH_QUEUE).values(
        run_seq=bindparam("run_seq"), version=1, wished_at=bindparam("wished_at")
    )
    again = {"version": SEARCH_QUEUE.c.version + 1}
    return new.on_conflict_do_update(index_elements=["run_seq"], set_=again).returning(SEARCH_QUEUE.c.version)


def _between(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return column.between(bindparam("low"), bindparam("high"))


_LAST = select(PASSAGES.c.part, PASSAGES.c.step, PASSAGES.c.start).where(PASSAGES.c.id == bindparam("id"))
_PASSAGES = select(func.count()).select_from(PASSAGES).where(_between(PASSAGES.c.id))
_BEGIN = case((PASSAGES.c.start > AROUND, PASSAGES.c.start - AROUND), else_=0).label("begin")
_SAID = case(
    {part.value: RUNS.c[part.value] for part in _OWN} | {states.Part.STEP.value: RUN_STEPS.c.content},
    value=PASSAGES.c.part,
)
#: Passages and, but for those of JSON values, what stands in them and around them.
_SHOWN = (
    select(
        PASSAGES,
        _BEGIN,
        func.substr(_SAID, cast(_BEGIN + 1, Integer), cast(PASSAGES.c.stop - _BEGIN + AROUND + 1, Integer)).label(
            "around"
        ),
    )
    .join(RUNS, RUNS.c.seq == PASSAGES.c.id // ROWS)
    .outerjoin(RUN_STEPS, RUN_STEPS.c.id == RUNS.c.seq * ROWS + PASSAGES.c.step)
    .where(PASSAGES.c.id.in_(bindparam("ids", expanding=True)))
)
_DELETE = delete(PASSAGES).where(_between(PASSAGES.c.id))
_TEXTS = select(*(RUNS.c[part.value] for part in _OWN)).where(RUNS.c.seq == bindparam("seq"))
#: Read a few rows at a time, since they may be large.
_STEPS = (
    select(RUN_STEPS.c.position, *_OF_STEPS.values())
    .where(_between(RUN_STEPS.c.id))
    .order_by(RUN_STEPS.c.id)
    .execution_options(stream_results=True, max_row_buffer=20)
)
_WAITING = (
    select(SEARCH_QUEUE.c.run_seq, SEARCH_QUEUE.c.version, SEARCH_QUEUE.c.wished_at)
    .order_by(SEARCH_QUEUE.c.run_seq.desc())
    .limit(bindparam("limit"))
)
_UNINDEXED = (
    select(RUNS.c.id)
    .join(SEARCH_QUEUE, SEARCH_QUEUE.c.run_seq == RUNS.c.seq)
    .where(RUNS.c.id.in_(bindparam("ids", expanding=True)))
)
_AS_READ = (
    SEARCH_QUEUE.c.run_seq == bindparam("read_seq"),
    SEARCH_QUEUE.c.version == bindparam("read_version"),
    SEARCH_QUEUE.c.wished_at == bindparam("read_at"),
)
_TAKE = delete(SEARCH_QUEUE).where(*_AS_READ)
#: Has who would change its texts meanwhile wait.
_HOLD = update(SEARCH_QUEUE).values(run_seq=SEARCH_QUEUE.c.run_seq).where(*_AS_READ)
_LAG = select(
    func.count().label("runs"),
    func.min(SEARCH_QUEUE.c.wished_at, type_=SEARCH_QUEUE.c.wished_at.type).label("since"),
)
