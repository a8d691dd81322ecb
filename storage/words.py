"""Texts as words, alike for every database: what is indexed, what is asked for, and where it stands. Pure.

A word is a run of letters and digits, without case and without diacritics. Databases are given words that are made
here, so that none of them has a say in where one ends.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator
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
        """Where it stands in a text, in order: characters from and to."""
        beside = deque[tuple[str, int, int]](maxlen=len(self.words))
        for found in located(text):
            beside.append(found)
            if self._ends(found[0]) and [word for word, _, _ in beside][:-1] == list(self.words[:-1]):
                yield beside[0][1], found[2]

    def _ends(self, word: str) -> bool:
        return word.startswith(self.words[-1]) if self.open_ended else word == self.words[-1]
