"""The differences of two texts by words, and of two lists of steps. Pure; the work is bounded."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

T = TypeVar("T")
#: The pairs of words that are compared at most, in all paragraphs together.
MOST_PAIRS = 1_500_000
#: The characters of a text, the paragraphs, and the steps that are compared.
#: The time grows with the cube of each number.
MOST_CHARACTERS, MOST_PARAGRAPHS, MOST_STEPS = 40_000, 400, 500
_WORDS = re.compile(r"\s+|[\w’']+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of two texts: in both (`same`), in the first alone (`removed`), or in the second alone (`added`)."""

    kind: str
    text: str


def of_texts(first: str, second: str) -> list[Piece]:
    """Return the pieces of two texts: paragraph by paragraph, and word by word where a paragraph changed.

    >>> [(each.kind, each.text) for each in of_texts("a short lease", "a long lease")]
    [('same', 'a '), ('removed', 'short'), ('added', 'long'), ('same', ' lease')]
    """
    before, after = _paragraphs(first), _paragraphs(second)
    pieces = list(_pieces(before, after))
    return list(_joined(pieces))


def _paragraphs(text: str) -> list[str]:
    """Return the lines of a text with their ends; what exceeds the bound is left out."""
    return text[:MOST_CHARACTERS].splitlines(keepends=True)[:MOST_PARAGRAPHS]


def _pieces(before: Sequence[str], after: Sequence[str]) -> Iterator[Piece]:
    budget = MOST_PAIRS
    for kind, left, right in _blocks(before, after):
        if kind == "equal":
            yield Piece("same", "".join(left))
        elif kind == "replace":
            for old, new in zip_longest(left, right, fillvalue=""):
                words = _WORDS.findall(old), _WORDS.findall(new)
                budget -= len(words[0]) * len(words[1])
                yield from _by_words(*words) if budget >= 0 else _changed(old, new)
        else:
            yield from _changed("".join(left), "".join(right))


def _by_words(before: Sequence[str], after: Sequence[str]) -> Iterator[Piece]:
    for kind, left, right in _blocks(before, after):
        if kind == "equal":
            yield Piece("same", "".join(left))
        else:
            yield from _changed("".join(left), "".join(right))


def _changed(old: str, new: str) -> Iterator[Piece]:
    if old:
        yield Piece("removed", old)
    if new:
        yield Piece("added", new)


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the pieces, neighbours of one kind as one."""
    held: Piece | None = None
    for piece in pieces:
        if held is not None and held.kind == piece.kind:
            held = Piece(held.kind, held.text + piece.text)
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held


def of_steps(before: Sequence[T], after: Sequence[T]) -> list[tuple[int | None, int | None]]:
    """Return pairs of positions of two lists of names: equal names beside each other, None where one is missing.

    >>> of_steps(["search", "read", "write"], ["search", "write", "verify"])
    [(0, 0), (1, None), (2, 1), (None, 2)]
    """
    pairs: list[tuple[int | None, int | None]] = []
    matcher = difflib.SequenceMatcher(None, before[:MOST_STEPS], after[:MOST_STEPS], autojunk=False)
    for kind, a_low, a_high, b_low, b_high in matcher.get_opcodes():
        if kind == "equal":
            pairs += zip(range(a_low, a_high), range(b_low, b_high), strict=True)
        else:
            pairs += [(each, None) for each in range(a_low, a_high)]
            pairs += [(None, each) for each in range(b_low, b_high)]
    return pairs


def _blocks(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, a_low, a_high, b_low, b_high in matcher.get_opcodes():
        yield kind, before[a_low:a_high], after[b_low:b_high]
