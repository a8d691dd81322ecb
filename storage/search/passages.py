"""Passages: pieces of texts, short enough for both databases to store the position of each word. Pure.

Passages overlap by one word less than the longest phrase, so that one of them has the whole phrase. A text may
have tens of megabytes, so each passage is made on demand, and none is kept in memory.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from json import scanner

from pydantic import JsonValue

from storage import states
from storage.search import tokenizer
from storage.tables.declare import ROWS_PER_RUN

#: The words of a passage, and the distance to the next one: each phrase lies in one passage as a whole.
SPAN = 255
STRIDE = SPAN - tokenizer.PHRASE + 1
#: The passages that are indexed in one transaction, during which no other call can write.
SLICE = 50
#: The most characters of a text that is split at once; the passages of a longer one are made on demand.
SHORT = 4096
#: The names of an object that are sorted in one call, during which other threads wait.
SORTED = 20_000
#: The characters of a JSON value that are parsed in one call, during which other threads wait.
PARSED = 2 << 20

#: A text of a run: its part, the position of its step, and the text.
RunText = tuple[states.Part, int | None, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive words of one text. `step` is the position of the step; `start` and `stop` count characters."""

    part: states.Part
    step: int | None
    start: int
    stop: int
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A queued run as it was read. `version` starts at 1 when it is enqueued and grows with each change of texts.

    The passages are numbered from `first`; those before it are indexed. More follow unless `are_last` is true.
    """

    run_seq: int
    version: int
    enqueued_at: datetime
    passages: Sequence[Passage]
    first: int = 0
    are_last: bool = True


def of(texts: Iterable[RunText]) -> Iterator[Passage]:
    """Yield the passages of texts in order, each made on demand; a passage's number is its position."""
    return islice((each for part, step, text in texts for each in _passages(part, step, text)), ROWS_PER_RUN)


def after(texts: Iterator[RunText], start: int) -> Iterator[Passage]:
    """Yield the passages that follow the one at `start` of the first text, as `of` yields them."""
    for part, step, text in islice(texts, 1):
        yield from islice(_passages(part, step, text, start), 1, None)
    yield from of(texts)


def _passages(part: states.Part, step: int | None, text: str, start: int = 0) -> Iterator[Passage]:
    tokens = tokenizer.words(text) if len(text) <= SHORT else []
    if len(text) <= SHORT and len(tokens) <= SPAN:
        if tokens:
            yield Passage(part, step, 0, len(text), tokens)
        return
    folded = tokenizer.fold(text) if len(text) <= tokenizer.PIECE else None
    if folded is not None:  # the same passages, and faster
        yield from _folded_passages(part, step, folded, start)
        return
    located: list[tuple[str, int, int]] = []
    for word in tokenizer.located_words(text, start):
        if len(located) == SPAN:
            yield _passage(part, step, located)
            located = located[_stride(located) :]
        located.append(word)
    if located:
        yield _passage(part, step, located)


def _folded_passages(part: states.Part, step: int | None, folded: str, start: int) -> Iterator[Passage]:
    """Yield the passages of a folded text from `start` on.

    `str.split` finds the words up to the next passage, and then those that this passage shares with it.
    """
    rest = folded[start:]
    if start and folded[start - 1] != " ":  # within a word
        rest = rest.partition(" ")[2]
    rest = rest.lstrip()
    while rest:
        found = rest.split(None, STRIDE)
        next_rest = found.pop() if len(found) > STRIDE else ""
        overlap = next_rest.split(None, SPAN - STRIDE)
        behind = overlap.pop() if len(overlap) > SPAN - STRIDE else ""
        at = len(folded) - len(rest)
        stop = at + len(rest[: len(rest) - len(behind)].rstrip())
        yield Passage(part, step, at, stop, tokenizer.shorten(found + overlap))
        rest = next_rest if behind else ""


def _stride(located: Sequence[tuple[str, int, int]]) -> int:
    """Return the index of the next passage's first word: one character may make several, which stay together."""
    at = STRIDE
    while located[at - 1][1] == located[at][1]:
        at -= 1
    return at


def _passage(part: states.Part, step: int | None, located: Sequence[tuple[str, int, int]]) -> Passage:
    return Passage(part, step, located[0][1], located[-1][2], [word for word, _, _ in located])


def slices(batch: Sequence[QueuedRun], size: int = SLICE) -> Iterator[list[QueuedRun]]:
    """Yield the work of one transaction each, in order: up to `size` passages, of one run or of several."""
    gathered: list[QueuedRun] = []
    count = 0
    for each in (part for run in batch for part in _parts(run, size)):
        if gathered and count + len(each.passages) > size:
            yield gathered
            gathered, count = [], 0
        gathered.append(each)
        count += len(each.passages)
    if gathered:
        yield gathered


def _parts(each: QueuedRun, size: int) -> Iterator[QueuedRun]:
    for at in range(0, max(1, len(each.passages)), size):
        cut = each.passages[at : at + size]
        is_last = at + size >= len(each.passages)
        yield replace(each, passages=cut, first=each.first + at, are_last=each.are_last and is_last)


def parse_json(text: str) -> JsonValue:
    """Return the value of a JSON text; a text that is not JSON, since another program wrote it, is returned as is.

    A long one is parsed by the decoder written in Python, during which other threads can run.
    """
    # In one call where that is fast, and where the nesting is deeper than the decoder in Python allows.
    for decode in (json.loads,) if len(text) <= PARSED else (_PYTHON_DECODER.decode, json.loads):
        try:
            value: JsonValue = decode(text)
        except RecursionError:
            continue
        except ValueError:
            break
        return value
    return text


class _PythonDecoder(json.JSONDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.scan_once = scanner.py_make_scanner(self)  # type: ignore[attr-defined]


_PYTHON_DECODER = _PythonDecoder()


def flatten(value: JsonValue) -> str | None:
    """Return a text as it is, and of a JSON value all names and values, one a line."""
    return value if isinstance(value, str) or value is None else "\n".join(_lines(value))


def _lines(value: JsonValue) -> Iterator[str]:
    match value:
        case dict():
            for name in _sort_names(list(value)):  # each database stores keys in another order
                yield name
                yield from _lines(value[name])
        case list():
            for each in value:
                yield from _lines(each)
        case None:
            return
        case _:
            yield str(value)


def _sort_names(names: list[str]) -> Iterable[str]:
    return heapq.merge(*(sorted(names[at : at + SORTED]) for at in range(0, len(names), SORTED)))
