"""Texts as words, alike for every database: what is indexed, what is asked for, and where it stands. Pure.

A word is a run of letters and digits, without case and without diacritics. Scripts that set no spaces between
words (Chinese, Japanese, Thai and others; Korean too, whose particles are glued to nouns) are read character by
character: each one makes a word together with the next of its run, and the last one a word alone, so that any
substring is a phrase. Databases are given words that are made here, so that none of them has a say in this.

Whatever the text is, the work is linear in it and done in pieces of bounded size: one character is decomposed at a
time, and no more than LENGTH of them are composed at a time.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Characters of a word that count; whatever follows is taken for the same word.
LENGTH = 64
#: Marks on one letter that count, as in the stream-safe form of UAX #15.
MARKS = 30
#: Characters that are read at once, and how far back a piece is cut between two words.
PIECE, BACK = 65_536, 4096

_ASCII = re.compile(r"[0-9A-Za-z]+")
_RUN = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")
_FILLED = re.compile(r"[^ ]+")

#: Not seen, and no part of any word: soft hyphens, joiners, zero-width spaces, directions, selectors of a glyph.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
#: Spellings of the apostrophe that count as letters elsewhere; it separates words, as ' and ’ do.
_APOSTROPHES = frozenset("\u02bb\u02bc\u02bd")
#: Letters whose stroke or missing dot is a diacritic to readers, though Unicode has no decomposition for it.
_PLAIN = {"ø": "o", "đ": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t"}
#: Combining classes of marks that make another word: voicing of kana, viramas, vowels and tones of Asian scripts.
_SPOKEN = frozenset((0, 6, 8, 9, 84, 91, 103, 107, 118, 122, 129, 130, 132))
#: Scripts without spaces, and Hangul; and what of the latter goes on with the syllable before it.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u2fff\u3005-\u3007"
    "\u3021-\u3029\u3031-\u303c\u3041-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\ua9e0-\ua9ff\uaa60-\uaadf"
    "\uac00-\ud7ff\uf900-\ufaff\U00017000-\U00018dff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
_GOES_ON = "\u1160-\u11ff\ud7b0-\ud7ff"
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_ALL_UNSPACED = re.compile(f"(?:(?![{_GOES_ON}])[{_UNSPACED}])+")
#: A character of such a script with its marks, or a stretch of any other.
_UNIT = re.compile(
    rf"(?P<one>(?=\w)[{_UNSPACED}](?:\W|[{_GOES_ON}])*+)|(?=\w)[^{_UNSPACED}](?:\W|[^{_UNSPACED}])*+"
)


class _Folds(dict[int, str]):
    """What is read in place of a character: letters and marks that count, or a space where a word ends."""

    #: Characters that are remembered; texts of people have fewer.
    MOST = 20_000

    def __missing__(self, code: int) -> str:
        folded = _folded(chr(code))
        if len(self) < self.MOST:
            self[code] = folded
        return folded


def _folded(char: str) -> str:
    if _IGNORED.match(char):
        return ""
    if char in _APOSTROPHES or not (char.isalnum() or unicodedata.category(char)[0] == "M"):
        return " "
    apart = unicodedata.normalize("NFKD", char)
    return unicodedata.normalize("NFC", "".join(_plain(each) for each in apart))


def _plain(char: str) -> str:
    """A character that cannot be decomposed, without case; of a mark nothing, unless it makes another word."""
    kind = unicodedata.category(char)
    if kind[0] == "M":
        return char if kind == "Mc" or (kind == "Mn" and unicodedata.combining(char) in _SPOKEN) else ""
    if char in _APOSTROPHES or not char.isalnum():
        return " "
    folded = char.casefold()
    return str(unicodedata.decimal(char)) if char.isdecimal() else _PLAIN.get(folded, folded)


_FOLDS = _Folds()


def words(text: str) -> list[str]:
    """Return the words of a text, in order."""
    if len(text) <= PIECE:
        return _words(text)
    return [word for _, piece in _pieces(text) for word in _words(piece)]


def _words(piece: str) -> list[str]:
    if piece.isascii():  # the same, and faster
        return [word[:LENGTH] for word in _ASCII.findall(piece.lower())]
    found: list[str] = []
    for word in piece.translate(_FOLDS).split():
        if _is_one(word):
            found.append(word[:LENGTH])
        else:
            found += [each for each, _, _ in _apart(word)]
    return found


def _is_one(folded: str) -> bool:
    """Whether it is a word as it stands: neither a script without spaces is in it, nor a mark that counts."""
    return folded.isascii() or (folded.isalnum() and not _IS_UNSPACED.search(folded))


def located(text: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a text with the characters at which each begins and ends, those from `start` on.

    They are the same words wherever they are read from.
    """
    for at, piece in _pieces(text):
        if at + len(piece) > start:
            yield from (each for each in _of_piece(at, piece) if each[1] >= start)


def _of_piece(at: int, piece: str) -> Iterator[tuple[str, int, int]]:
    for run in (_ASCII if piece.isascii() else _RUN).finditer(piece):
        said = run[0]
        if said.isascii():
            yield said.lower()[:LENGTH], at + run.start(), at + run.end()
        elif _is_one(folded := said.translate(_FOLDS)) and folded.isalnum():
            yield folded[:LENGTH], at + run.start(), at + run.end()
        else:
            start = at + run.start()
            yield from ((word, start + low, start + high) for word, low, high in _located(said))


def _located(run: str) -> Iterator[tuple[str, int, int]]:
    """The words of a run, by the characters of the run that each was read from."""
    folds = [_FOLDS[ord(char)] for char in run]
    is_even = set(map(len, folds)) == {1}
    origins = range(len(run)) if is_even else [place for place, fold in enumerate(folds) for _ in fold]
    for found in _FILLED.finditer("".join(folds)):
        for word, low, high in _apart(found[0]):
            stop = origins[found.start() + high - 1] + 1
            while stop < len(run) and not folds[stop]:
                stop += 1  # what stands above a letter or is not seen belongs to it
            yield word, origins[found.start() + low], stop


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Parts of a text and where each begins, cut between words; what has no end for so long is cut within."""
    at = 0
    while len(text) - at > PIECE:
        stop = at + PIECE
        ends = (place for place in range(stop, stop - BACK, -1) if _FOLDS[ord(text[place])] == " ")
        stop = next(ends, stop)
        yield at, text[at:stop]
        at = stop
    yield at, text[at:]


def _apart(folded: str) -> Iterator[tuple[str, int, int]]:
    """The words of a stretch without spaces, and the characters of it that each was read from."""
    if _is_one(folded):
        yield folded[:LENGTH], 0, len(folded)
    elif folded.isalnum() and _ALL_UNSPACED.fullmatch(folded):
        for at in range(len(folded)):
            yield folded[at : at + 2], at, min(at + 2, len(folded))
    else:
        yield from _paired(folded)


def _paired(folded: str) -> Iterator[tuple[str, int, int]]:
    before: tuple[str, int, int] | None = None
    for found in _UNIT.finditer(folded):
        is_unspaced = found["one"] is not None
        unit = _composed(found[0][: MARKS + 1 if is_unspaced else LENGTH])
        if before is not None:
            yield (before[0] + unit, before[1], found.end()) if is_unspaced else before
        before = (unit, found.start(), found.end())
        if not is_unspaced:
            yield before
            before = None
    if before is not None:
        yield before


def _composed(short: str) -> str:
    return short if short.isascii() or len(short) == 1 else unicodedata.normalize("NFC", short)


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

    def parts(self, most: int) -> Iterator[Phrase]:
        """Yield phrases of `most` words that are there where this one is; each begins with the last one before."""
        for at in range(0, max(1, len(self.words) - 1), most - 1):
            cut = self.words[at : at + most]
            yield Phrase(cut, self.open_ended and at + most >= len(self.words))

    def _ends(self, word: str) -> bool:
        return word.startswith(self.words[-1]) if self.open_ended else word == self.words[-1]


def phrase(text: str, open_ended: bool = False) -> Phrase:
    """Return what a text asks for, be it a part of a run of a script without spaces."""
    told = tuple(words(text))
    if not told or _IS_UNSPACED.match(told[-1]) is None:
        return Phrase(told, open_ended)
    if len(told) > 1 and _is_pair_before(told[-2], told[-1]):
        return Phrase(told[:-1], open_ended)  # the last character stands in the pair before it
    return Phrase(told, open_ended=True)


def _is_pair_before(word: str, after: str) -> bool:
    """Whether a word is a pair of characters of which the second begins the word after it."""
    if not (_IS_UNSPACED.match(word) and _IS_UNSPACED.match(after)):
        return False
    units = [_composed(found[0]) for found in _UNIT.finditer(word)]
    return len(units) == 2 and after.startswith(units[1])


def count(told: Sequence[str]) -> int:
    """Return how many words people see in them: pairs that overlap are one run of a script without spaces."""
    glued = sum(_is_pair_before(word, after) for word, after in pairwise(told))
    return len(told) - glued
