"""Texts as words, alike for every database: what is indexed, what is asked for, and where it stands. Pure.

A word is a run of letters and digits, without case and without diacritics. Databases are given words that are made
here, so that none of them has a say in where one ends.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Letters and digits of any script; what stands above or below a letter belongs to it.
_WORD = re.compile(r"[^\W_]+")
_MARKED = re.compile(
    r"[^\W_](?:[^\W_]|[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u064b-\u065f\u1ab0-\u1aff\u20d0-\u20ff])*"
)
#: Characters of a word that count; whatever follows is taken for the same word.
LENGTH = 64


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    if text.isascii():  # the same, and faster
        return [word[:LENGTH] for word in _WORD.findall(text.lower())]
    return [word for word, _, _ in located(text)]


def located(text: str) -> Iterator[tuple[str, int, int]]:
    """The words of a text with the characters at which each begins and ends."""
    if text.isascii():
        for found in _WORD.finditer(text):
            yield found[0].lower()[:LENGTH], found.start(), found.end()
        return
    for found in _MARKED.finditer(text):
        for word in _WORD.findall(_plain(found[0])):
            yield word[:LENGTH], found.start(), found.end()


def _plain(text: str) -> str:
    """Without case and diacritics: NFKD, marks left out, case folded."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(each for each in apart if not unicodedata.combining(each)).casefold()


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand beside each other; with `open_ended` the last one may go on."""

    words: tuple[str, ...]
    open_ended: bool = False

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it stands in a text: characters from and to."""
        found = list(located(text))
        for at in range(len(found) - len(self.words) + 1):
            if self._stands(found[at : at + len(self.words)]):
                yield found[at][1], found[at + len(self.words) - 1][2]

    def _stands(self, found: Sequence[tuple[str, int, int]]) -> bool:
        *before, last = self.words
        if any(word != each[0] for word, each in zip(before, found, strict=False)):
            return False
        return found[-1][0].startswith(last) if self.open_ended else found[-1][0] == last
