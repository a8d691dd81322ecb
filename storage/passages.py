"""Texts cut into passages, short enough for either database to hold each word's place in them. Pure.

They overlap by less than a phrase can span, so that one of them has all of a phrase. Texts may have tens of
megabytes, so a passage is made when it is asked for, and none is kept.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from json import scanner
from typing import Any

from storage import filters, states, tables, words

#: Passages of a run: what would come behind is left out.
ROWS = tables.ROWS
#: Words of a passage, and after how many the next one begins: a phrase stands in one of them as a whole.
SPAN = 255
STRIDE = SPAN - filters.PHRASE + 1
#: Passages that are indexed in one transaction: nobody else writes meanwhile.
SLICE = 250
#: Characters of a text that is read at once; of a longer one a passage is made at a time.
SHORT = 4096
#: Names of an object that are sorted at once: other threads wait for that.
SORTED = 20_000
#: Characters of a JSON value that are parsed in one call: other threads wait for that, too.
PARSED = 2 << 20

#: Texts of a run: which one it is, and what it says.
Said = tuple[states.Part, int | None, str]


@dataclass(frozen=True, slots=True)
class Passage:
    """Words of one text in a row. `step` is the position of the step, `start` and `stop` count characters."""

    part: states.Part
    step: int | None
    start: int
    stop: int
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run in the queue as it was read; `version` grows with each change of its texts, from 1 for each wish.

    The passages are numbered from `first`: those before are indexed. Unless they are the last ones, more follow.
    """

    run_seq: int
    version: int
    wished_at: datetime
    passages: Sequence[Passage]
    first: int = 0
    are_last: bool = True


def of(said: Iterable[Said]) -> Iterator[Passage]:
    """The passages of texts, numbered by their place, each made when it is asked for."""
    return islice((each for part, step, text in said for each in _passages(part, step, text)), ROWS)


def after(said: Iterator[Said], start: int) -> Iterator[Passage]:
    """Yield the passages behind the one that begins at `start` of the first text, as `of` makes them."""
    for part, step, text in islice(said, 1):
        yield from islice(_passages(part, step, text, start), 1, None)
    yield from of(said)


def _passages(part: states.Part, step: int | None, text: str, start: int = 0) -> Iterator[Passage]:
    told = words.words(text) if len(text) <= SHORT else []
    if len(text) <= SHORT and len(told) <= SPAN:
        if told:
            yield Passage(part, step, 0, len(text), told)
        return
    beside: list[tuple[str, int, int]] = []
    for place in words.located(text, start):
        if len(beside) == SPAN:
            yield _passage(part, step, beside)
            beside = beside[_stride(beside) :]
        beside.append(place)
    if beside:
        yield _passage(part, step, beside)


def _stride(beside: Sequence[tuple[str, int, int]]) -> int:
    """After how many words the next passage begins: with the first one of a character that makes several."""
    at = STRIDE
    while beside[at - 1][1] == beside[at][1]:
        at -= 1
    return at


def _passage(part: states.Part, step: int | None, beside: Sequence[tuple[str, int, int]]) -> Passage:
    return Passage(part, step, beside[0][1], beside[-1][2], [word for word, _, _ in beside])


def slices(batch: Sequence[Waiting], size: int = SLICE) -> Iterator[list[Waiting]]:
    """Yield what is to be indexed in one transaction each, in this order: `size` passages of one run, or more
    runs that have no more together."""
    gathered: list[Waiting] = []
    count = 0
    for each in (part for run in batch for part in _parts(run, size)):
        if gathered and count + len(each.passages) > size:
            yield gathered
            gathered, count = [], 0
        gathered.append(each)
        count += len(each.passages)
    if gathered:
        yield gathered


def _parts(each: Waiting, size: int) -> Iterator[Waiting]:
    for at in range(0, max(1, len(each.passages)), size):
        cut = each.passages[at : at + size]
        is_last = at + size >= len(each.passages)
        yield replace(each, passages=cut, first=each.first + at, are_last=each.are_last and is_last)


def parsed(text: str) -> Any:
    """Return a JSON value; a long one is parsed by Python itself, which lets other threads go on meanwhile.

    What is none, since somebody else wrote it, is a text.
    """
    try:
        return (json.loads if len(text) <= PARSED else _PARSER.decode)(text)
    except RecursionError:
        return text if len(text) <= PARSED else _parsed_at_once(text)
    except ValueError:
        return text


def _parsed_at_once(text: str) -> Any:
    """What nests deeper than Python goes is parsed in one call, which goes deeper."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class _Parser(json.JSONDecoder):
    def __init__(self) -> None:
        super().__init__()
        self.scan_once = scanner.py_make_scanner(self)  # type: ignore[attr-defined]


_PARSER = _Parser()


def flat(value: Any) -> str | None:
    """A text, or all that stands in a JSON value, a line each."""
    return value if isinstance(value, str) or value is None else "\n".join(_lines(value))


def _lines(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name in _sorted(list(value)):  # databases keep keys in orders of their own
                yield name
                yield from _lines(value[name])
        case list():
            for each in value:
                yield from _lines(each)
        case None:
            return
        case _:
            yield str(value)


def _sorted(names: list[str]) -> Iterable[str]:
    return heapq.merge(*(sorted(names[at : at + SORTED]) for at in range(0, len(names), SORTED)))
