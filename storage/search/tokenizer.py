"""The tokenizer: splits texts and search phrases into words, and finds phrases in texts. Pure.

A word is a sequence of letters and digits, without case and without diacritics. Scripts without spaces between
words (Chinese, Japanese, Thai and others; also Korean, which attaches particles to nouns) are split by character:
each character forms a word with the next one of its sequence, and the last one is a word alone, so that any
substring is a phrase. The databases get these words and do not tokenize themselves, so that all of them
find the same.

For any text, the work is linear in its length and done in pieces of bounded size: one character is decomposed at a
time, and at most LENGTH characters are composed at a time.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

#: The characters of a word that count: words that differ only behind them are the same.
LENGTH = 64
#: The marks on one letter that count, as in the stream-safe form of UAX #15.
MARKS = 30
#: The words of a phrase at most.
PHRASE = 16
#: The characters of a piece, and how far before its end we look for a place between two words to cut it.
PIECE, BACK = 65_536, 4096

#: The different characters beyond ASCII that are replaced one by one.
FEW = 16

_ASCII = re.compile(r"[0-9A-Za-z]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
#: Behind the characters of an ASCII word that count, and between two words.
_REST, _BETWEEN = "[0-9a-z]*+", "[^0-9a-z]++"
_RUN = re.compile(r"[0-9A-Za-z\x80-\U0010ffff]+")
_SPACED_WORD = re.compile(r"[^ ]+")

#: Invisible characters that are part of no word: soft hyphens, joiners, zero-width spaces, direction marks,
#: glyph selectors.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
#: Apostrophes that Unicode calls letters; they separate words, as ' and ’ do.
_APOSTROPHES = frozenset("\u02bb\u02bc\u02bd")
#: Letters whose stroke or missing dot readers see as a diacritic; Unicode has no decomposition for them.
_PLAIN = {"ø": "o", "đ": "d", "ħ": "h", "ı": "i", "ł": "l", "ŧ": "t"}
#: Combining classes of marks that change a word: voicing of kana, viramas, vowels and tones of Asian scripts.
_SIGNIFICANT = frozenset((0, 6, 8, 9, 84, 91, 103, 107, 118, 122, 129, 130, 132))
#: Scripts without spaces, and Hangul; then the characters of Hangul that continue the syllable before them.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u2fff\u3005-\u3007"
    "\u3021-\u3029\u3031-\u303c\u3041-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\ua9e0-\ua9ff\uaa60-\uaadf"
    "\uac00-\ud7ff\uf900-\ufaff\U00017000-\U00018dff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
_CONTINUING = "\u1160-\u11ff\ud7b0-\ud7ff"


class _Patterns(NamedTuple):
    """The patterns for texts beyond ASCII.

    `unspaced` matches a character of a script without spaces, `all_unspaced` several of them, `unit` one with its
    marks or a sequence of other characters.
    """

    unspaced: re.Pattern[str]
    all_unspaced: re.Pattern[str]
    unit: re.Pattern[str]


@functools.cache
def _patterns() -> _Patterns:
    """Return the patterns, compiled when the first text needs them: that takes longer than most imports."""
    one = rf"(?P<one>(?=\w)[{_UNSPACED}](?:\W|[{_CONTINUING}])*+)"
    return _Patterns(
        re.compile(f"[{_UNSPACED}]"),
        re.compile(f"(?:(?![{_CONTINUING}])[{_UNSPACED}])+"),
        re.compile(rf"{one}|(?=\w)[^{_UNSPACED}](?:\W|[^{_UNSPACED}])*+"),
    )


class _FoldCache(dict[int, str]):
    """A cache of replacements for characters: the letters and marks that count, or a space where a word ends."""

    #: The size of the cache; normal texts have fewer different characters.
    MOST = 20_000

    def __missing__(self, code: int) -> str:
        folded = _fold(chr(code))
        if len(self) < self.MOST:
            self[code] = folded
        return folded


def _fold(char: str) -> str:
    if _IGNORED.match(char):
        return ""
    if char in _APOSTROPHES or not (char.isalnum() or unicodedata.category(char)[0] == "M"):
        return " "
    apart = unicodedata.normalize("NFKD", char)
    return unicodedata.normalize("NFC", "".join(_plain(each) for each in apart))


def _plain(char: str) -> str:
    """Return a decomposed character without case; nothing for a mark, unless it changes the word."""
    kind = unicodedata.category(char)
    if kind[0] == "M":
        return char if kind == "Mc" or (kind == "Mn" and unicodedata.combining(char) in _SIGNIFICANT) else ""
    if char in _APOSTROPHES or not char.isalnum():
        return " "
    folded = char.casefold()
    return str(unicodedata.decimal(char)) if char.isdecimal() else _PLAIN.get(folded, folded)


_FOLDS = _FoldCache()
_ASCII_FOLDS = "".join(chr(code).lower() if chr(code).isalnum() else " " for code in range(128))


def words(text: str) -> list[str]:
    """Return the words of a text, in order."""
    if len(text) <= PIECE:
        return _words(text)
    return [word for _, piece in _pieces(text) for word in _words(piece)]


def _words(piece: str) -> list[str]:
    if piece.isascii():  # the same, and faster
        return shorten(piece.translate(_ASCII_FOLDS).split())
    found: list[str] = []
    for word in piece.translate(_FOLDS).split():
        if _is_single_word(word):
            found.append(word[:LENGTH])
        else:
            found += [each for each, _, _ in _split(word)]
    return found


def shorten(found: list[str]) -> list[str]:
    """Return the words, each cut to LENGTH characters."""
    return [word[:LENGTH] for word in found] if any(len(word) > LENGTH for word in found) else found


def fold(text: str) -> str | None:
    """Return a text with each letter and digit as it is in words, and a space for any other character.

    Return None where a character does not become exactly one: then the words have to be located one by one.
    """
    if text.isascii():
        return text.translate(_ASCII_FOLDS)
    folds = {char: _FOLDS[ord(char)] for char in set(_NOT_ASCII.findall(text))}
    if any(len(each) != 1 for each in folds.values()):
        return None
    if len(folds) <= FEW and all(map(str.isascii, folds.values())):  # the same, and faster
        for char, each in folds.items():
            text = text.replace(char, each)
        return text.translate(_ASCII_FOLDS)
    folded = text.translate(_FOLDS)
    is_plain = folded.replace(" ", "").isalnum() and not _patterns().unspaced.search(folded)
    return folded if is_plain else None


def _is_single_word(folded: str) -> bool:
    """Return whether the sequence is one word: no script without spaces occurs in it, and no mark that counts."""
    return folded.isascii() or (folded.isalnum() and not _patterns().unspaced.search(folded))


def located_words(text: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a text from the character `start` on, each with its first and end character.

    The words are the same for each value of `start`.
    """
    for at, piece in _pieces(text):
        if at + len(piece) > start:
            yield from (each for each in _of_piece(at, piece) if each[1] >= start)


def _of_piece(at: int, piece: str) -> Iterator[tuple[str, int, int]]:
    for run in (_ASCII if piece.isascii() else _RUN).finditer(piece):
        raw = run[0]
        if raw.isascii():
            yield raw.lower()[:LENGTH], at + run.start(), at + run.end()
        elif _is_single_word(folded := raw.translate(_FOLDS)) and folded.isalnum():
            yield folded[:LENGTH], at + run.start(), at + run.end()
        else:
            start = at + run.start()
            yield from ((word, start + low, start + high) for word, low, high in _located_in(raw))


def _located_in(run: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a sequence, with the range of characters in it that each comes from."""
    folds = [_FOLDS[ord(char)] for char in run]
    is_even = set(map(len, folds)) == {1}
    origins = range(len(run)) if is_even else [place for place, fold in enumerate(folds) for _ in fold]
    for found in _SPACED_WORD.finditer("".join(folds)):
        for word, low, high in _split(found[0]):
            stop = origins[found.start() + high - 1] + 1
            while stop < len(run) and not folds[stop]:
                stop += 1  # a mark above a letter, or an invisible character, belongs to the letter
            yield word, origins[found.start() + low], stop


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield pieces of a text, each with its start, cut between words; only a very long word is cut within."""
    at = 0
    while len(text) - at > PIECE:
        stop = at + PIECE
        ends = (place for place in range(stop, stop - BACK, -1) if _FOLDS[ord(text[place])] == " ")
        stop = next(ends, stop)
        yield at, text[at:stop]
        at = stop
    yield at, text[at:]


def _split(folded: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a sequence without spaces, with the range of characters that each comes from."""
    if _is_single_word(folded):
        yield folded[:LENGTH], 0, len(folded)
    elif folded.isalnum() and _patterns().all_unspaced.fullmatch(folded):
        for at in range(len(folded)):
            yield folded[at : at + 2], at, min(at + 2, len(folded))
    else:
        yield from _pairs(folded)


def _pairs(folded: str) -> Iterator[tuple[str, int, int]]:
    before: tuple[str, int, int] | None = None
    for found in _patterns().unit.finditer(folded):
        is_unspaced = found["one"] is not None
        unit = _compose(found[0][: MARKS + 1 if is_unspaced else LENGTH])
        if before is not None:
            yield (before[0] + unit, before[1], found.end()) if is_unspaced else before
        before = (unit, found.start(), found.end())
        if not is_unspaced:
            yield before
            before = None
    if before is not None:
        yield before


def _compose(short: str) -> str:
    return short if short.isascii() or len(short) == 1 else unicodedata.normalize("NFC", short)


@dataclass(frozen=True, slots=True)
class Phrase:
    """Consecutive words; with `open_ended` the last one may be the beginning of a longer word."""

    words: tuple[str, ...]
    open_ended: bool = False

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the ranges of characters at which the phrase occurs in a text, in order."""
        folded = None
        if len(text) <= PIECE and all(map(str.isascii, self.words)):
            folded = text.lower() if text.isascii() else fold(text)
        if folded is not None and folded.isascii():  # the same, and faster
            yield from ((found.start(), found.end(1)) for found in _ascii_pattern(self).finditer(folded))
            return
        window = deque[tuple[str, int, int]](maxlen=len(self.words))
        for found in located_words(text):
            window.append(found)
            if self._ends(found[0]) and [word for word, _, _ in window][:-1] == list(self.words[:-1]):
                yield window[0][1], found[2]

    def parts(self, most: int) -> Iterator[Phrase]:
        """Yield the parts of `most` words; each begins with the last word of the part before."""
        for at in range(0, max(1, len(self.words) - 1), most - 1):
            cut = self.words[at : at + most]
            yield Phrase(cut, self.open_ended and at + most >= len(self.words))

    def _ends(self, word: str) -> bool:
        return word.startswith(self.words[-1]) if self.open_ended else word == self.words[-1]


@lru_cache(64)
def _ascii_pattern(phrase: Phrase) -> re.Pattern[str]:
    """Return the pattern of a phrase in an ASCII text without capital letters; matches may overlap.

    Its group holds what follows the first word; the pattern begins with this word, so that `re` seeks a literal.
    """
    begin = phrase.words[0]
    *before, last = (word + _REST * (len(word) == LENGTH) for word in phrase.words)
    behind = _BETWEEN.join((*before, last + _REST * phrase.open_ended)).removeprefix(begin)
    return re.compile(f"{begin}(?<![0-9a-z]{begin})(?=({behind})(?![0-9a-z]))")


def phrase(text: str, open_ended: bool = False) -> Phrase:
    """Return the phrase of a search text, which may be a part of a sequence of a script without spaces."""
    tokens = tuple(words(text))
    if not tokens or not _begins_unspaced(tokens[-1]):
        return Phrase(tokens, open_ended)
    if len(tokens) > 1 and _is_pair_before(tokens[-2], tokens[-1]):
        return Phrase(tokens[:-1], open_ended)  # the pair before has the last character already
    return Phrase(tokens, open_ended=True)


def _begins_unspaced(word: str) -> bool:
    return not word.isascii() and _patterns().unspaced.match(word) is not None


def _is_pair_before(word: str, after: str) -> bool:
    """Return whether a word is a pair of characters, and the second one begins the word after it."""
    if not (_begins_unspaced(word) and _begins_unspaced(after)):
        return False
    units = [_compose(found[0]) for found in _patterns().unit.finditer(word)]
    return len(units) == 2 and after.startswith(units[1])


def count(tokens: Sequence[str]) -> int:
    """Return the number of words as a reader counts them: overlapping pairs are one word."""
    overlaps = sum(_is_pair_before(word, after) for word, after in pairwise(tokens))
    return len(tokens) - overlaps
