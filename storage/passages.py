"""Texts cut into passages, short enough for either database to hold each word's place in them. Pure.

They overlap by less than a phrase can span, so that one of them has all of a phrase. Texts may have tens of
megabytes, so a passage is made when it is asked for, and none is kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from storage import filters, states, tables, words

#: Passages of a run: what would come behind is left out.
ROWS = tables.ROWS
#: Words of a passage, and after how many the next one begins: a phrase stands in one of them as a whole.
SPAN = 255
STRIDE = SPAN - filters.PHRASE + 1
#: Characters of a text that is read at once; of a longer one a passage is made at a time.
SHORT = 4096
#: Names of an object that are sorted at once: other threads wait for that.
SORTED = 20_000


@dataclass(frozen=True, slots=True)
class Passage:
    """Words of one text in a row. `step` is the position of the step, `start` and `stop` count characters."""

    part: states.Part
    step: int | None
    start: int
    stop: int
    words: Sequence[str]


def of(said: Iterable[tuple[states.Part, int | None, str]]) -> Iterator[Passage]:
    """The passages of texts, numbered by their place, each made when it is asked for."""
    return islice((each for part, step, text in said for each in _passages(part, step, text)), ROWS)


def _passages(part: states.Part, step: int | None, text: str) -> Iterator[Passage]:
    told = words.words(text) if len(text) <= SHORT else []
    if len(text) <= SHORT and len(told) <= SPAN:
        if told:
            yield Passage(part, step, 0, len(text), told)
        return
    beside: list[tuple[str, int, int]] = []
    for place in words.located(text):
        if len(beside) == SPAN:
            yield _passage(part, step, beside)
            beside = beside[STRIDE:]
        beside.append(place)
    if beside:
        yield _passage(part, step, beside)


def _passage(part: states.Part, step: int | None, beside: Sequence[tuple[str, int, int]]) -> Passage:
    return Passage(part, step, beside[0][1], beside[-1][2], [word for word, _, _ in beside])


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
