"""Snippets: the extracts of texts that show where a phrase occurs in a run."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Integer, Select, bindparam, case, cast, func, select

from storage import states
from storage.engine import dialect, prepared
from storage.engine.membership import is_among
from storage.search import index, lookups, tokenizer
from storage.states import Part
from storage.tables.declare import ROWS_PER_RUN
from storage.tables.runs import RUN_STEPS, RUNS
from storage.tables.search import PASSAGES

#: The characters of a snippet around a hit, and of the hit itself.
AROUND, SHOWN = 60, 400
#: The bytes of a JSON value, as a server stores it, that is read together with others.
SMALL = 4096

#: White space that is not shown as it is.
_OTHER_SPACE = re.compile(r"[^\S ]")


class Snippet(msgspec.Struct, frozen=True, gc=False):
    """An extract of a text with hits: `marks` are their ranges of characters in `text`.

    `html` is the text as escaped HTML, with each hit in `<mark>`.
    """

    part: Part
    step: int | None
    text: str
    marks: list[tuple[int, int]]
    html: str


def of_runs(
    connection: Connection,
    run_seqs: Sequence[int],
    phrases: Iterable[tokenizer.Phrase],
    firsts: Mapping[int, int] | None = None,
) -> dict[int, list[Snippet]]:
    """Return the first snippet of each phrase in each run, by the `seq` of the run.

    `firsts` has the first passage of each run with the phrase, where that is known of the only phrase.
    """
    found: dict[int, list[Snippet]] = {}
    for phrase in phrases if run_seqs else ():
        known = firsts or lookups.first_passages(connection, run_seqs, phrase)
        rows = _HITS.all(connection, {"ids": [known[seq] for seq in run_seqs if seq in known]})
        values = _small_values(connection, rows)
        for row in rows:
            if snippet := _snippet(row, _text_around(connection, row, values), phrase):
                found.setdefault(row.id // ROWS_PER_RUN, []).append(snippet)
    return found


def _small_values(connection: Connection, rows: Sequence[prepared.Row]) -> dict[tuple[str, int], str]:
    """Return the small JSON values of passages, by part and step: a server sends all of them at once."""
    values: dict[tuple[str, int], str] = {}
    if dialect.is_embedded(connection):
        return values
    for part, chosen in _SMALL_VALUES.items():
        if ids := [_step_id(row) for row in rows if row.part == part]:
            values |= {(part, id_): text for id_, text in chosen.all(connection, {"ids": ids})}
    return values


def _text_around(connection: Connection, row: prepared.Row, values: Mapping[tuple[str, int], str]) -> str:
    """Return the text of a passage and around it. JSON values that may be large are read one by one."""
    chosen = _JSON_VALUES.get(row.part)
    if chosen is None:
        return row.around or ""
    value = values.get((row.part, _step_id(row)))
    if value is None:
        value = next(iter(chosen.first(connection, {"id": _step_id(row)}) or ()), None)
    return (index.flatten(value) or "")[row.begin : row.stop + AROUND + 1]


def _step_id(row: prepared.Row) -> int:
    return int(row.id // ROWS_PER_RUN * ROWS_PER_RUN + row.step)


def _snippet(row: prepared.Row, text: str, phrase: tokenizer.Phrase) -> Snippet | None:
    """Return the first hit in a passage with the text around it, in one line. `text` begins at `row.begin`."""
    start, stop = row.start - row.begin, row.stop - row.begin
    ranges = phrase.spans(text[start:stop])
    first = next(ranges, None)
    if first is None:
        return None  # the text has changed since
    first = (first[0], min(first[1], first[0] + SHOWN))  # words may be long, and far from each other
    low, high = max(0, first[0] + start - AROUND), min(len(text), first[1] + start + AROUND)
    before, after = "…" * (low + row.begin > 0), "…" * (high < len(text))
    line = before + _OTHER_SPACE.sub(" ", text[low:high]) + after
    shift = len(before) - low + start
    marks = [(first[0] + shift, first[1] + shift)]
    for mark in takewhile(lambda mark: mark[1] + start <= high, ranges):
        if mark[0] + shift >= marks[-1][1]:  # phrases may overlap
            marks.append((mark[0] + shift, mark[1] + shift))
    return Snippet(states.read(Part, row.part), row.step, line, marks, _marked(line, marks))


def _marked(text: str, marks: Sequence[tuple[int, int]]) -> str:
    is_plain = len(html.escape(text)) == len(text)
    edges = [0, *(edge for mark in marks for edge in mark), len(text)]
    parts = [text[low:high] if is_plain else html.escape(text[low:high]) for low, high in pairwise(edges)]
    return "".join([f"<mark>{part}</mark>" if at % 2 else part for at, part in enumerate(parts)])


def _value_of(column: ColumnElement[Any]) -> Callable[[Connection], Select[Any]]:
    return lambda _: select(column).where(RUN_STEPS.c.id == bindparam("id"))


def _small(part: Part, column: ColumnElement[Any]) -> Callable[[Connection], Select[Any]]:
    is_small = func.pg_column_size(RUN_STEPS.c[part.value]) <= SMALL
    return lambda _: select(RUN_STEPS.c.id, column).where(is_among(RUN_STEPS.c.id, "ids"), is_small)


_BEGIN = case((PASSAGES.c.start > AROUND, PASSAGES.c.start - AROUND), else_=0).label("begin")
_TEXT = case(
    {part.value: RUNS.c[part.value] for part in index.RUN_TEXTS} | {Part.STEP.value: RUN_STEPS.c.content},
    value=PASSAGES.c.part,
)
_AROUND = func.substr(_TEXT, cast(_BEGIN + 1, Integer), cast(PASSAGES.c.stop - _BEGIN + AROUND + 1, Integer))
#: Passages with the text in and around them, except for JSON values.
_HITS = prepared.Prepared(
    lambda _: (
        select(PASSAGES, _BEGIN, _AROUND.label("around"))
        .join(RUNS, RUNS.c.seq == PASSAGES.c.id // ROWS_PER_RUN)
        .outerjoin(RUN_STEPS, RUN_STEPS.c.id == RUNS.c.seq * ROWS_PER_RUN + PASSAGES.c.step)
        .where(is_among(PASSAGES.c.id, "ids"))
    )
)
_JSON_VALUES = {part.value: prepared.Prepared(_value_of(column)) for part, column in index.JSON_TEXTS.items()}
_SMALL_VALUES = {part.value: prepared.Prepared(_small(part, column)) for part, column in index.JSON_TEXTS.items()}
