"""The same questions answered by reading every record. Nothing here imports the product."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from tests.storage.questions.corpus import Record

Predicate = Callable[[Record], bool]
#: Words of a passage and from one beginning to the next, as the manual explains relevance.
SPAN, STRIDE = 255, 240
#: Of how many runs relevance is looked at.
RANKED = 1000


#: Scripts that set no spaces, and Hangul, as their letters are called.
GLUED = (
    "CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "HANGUL", "BOPOMOFO", "THAI", "LAO", "MYANMAR", "KHMER",
    "IDEOGRAPHIC",
)  # fmt: skip
#: Marks that make another word: of kana, and of Asian scripts.
SPOKEN = {0, 6, 8, 9, 84, 91, 103, 107, 118, 122, 129, 130, 132}
UNSEEN = set("\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0f")
STROKES = str.maketrans("øđħıłŧ", "odhilt")


def words(text: str) -> list[str]:
    """Letters and digits, without case and diacritics, 64 at most of each; in pairs where no spaces are set."""
    return [word[:64] for run in "".join(map(_letter, text)).split() for word in _glued(run)]


@cache
def _letter(letter: str) -> str:
    if letter in UNSEEN:
        return ""
    if not (letter.isalnum() or _is_mark(letter)):
        return " "
    return "".join(map(_plain, unicodedata.normalize("NFKD", letter)))


def _plain(each: str) -> str:
    if _is_mark(each):
        is_heard = unicodedata.combining(each) in SPOKEN and unicodedata.category(each) != "Me"
        return each if is_heard else ""
    if each.isdecimal():
        return str(unicodedata.decimal(each))
    return each.casefold().translate(STROKES) if each.isalnum() else " "


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("M")


def _glued(run: str) -> Iterator[str]:
    """The run itself, or its characters where no spaces are set, each with the next one."""
    units: list[str] = []
    for letter in unicodedata.normalize("NFC", run):
        if _is_mark(letter) or (units and not (_is_glued(letter) or _is_glued(units[-1]))):
            units[-1] += letter
        else:
            units.append(letter)
    for unit, after in pairwise([*units, ""]):
        yield unit + after if _is_glued(unit) and _is_glued(after) else unit


@cache
def _is_glued(unit: str) -> bool:
    return unit != "" and unicodedata.name(unit[0], "").startswith(GLUED)


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name in sorted(value):
            yield name
            yield from _flat(value[name])
    elif isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif value is not None:
        yield str(value)


@cache
def texts(record: Record) -> list[list[str]]:
    """The words of each text of a run."""
    own = (record.prompt, record.guidance, record.output, record.summary, record.failure_reason)
    said = [each for each in own if each]
    for step in record.steps:
        said += [each for each in (step.content, *_tool_texts(step.given, step.returned)) if each]
    return [words(each) for each in said]


def _tool_texts(*values: Any) -> Iterator[str]:
    for value in values:
        yield "\n".join(_flat(value))


@cache
def _lines(record: Record) -> list[str]:
    return [f" {' '.join(each)} " for each in texts(record)]


@cache
def _passages(record: Record) -> list[str]:
    found = []
    for said in texts(record):
        starts = range(0, max(1, len(said) - SPAN + STRIDE), STRIDE)
        found += [f" {' '.join(said[at : at + SPAN])} " for at in starts if said]
    return found


@cache
def _needle(phrase: str) -> str:
    """The words one after the other; what is glued to others may go on, since it may be a part of more."""
    units = words(phrase)
    is_open = phrase.endswith("*") or _is_glued(units[-1])
    if len(units) > 1 and _is_glued(units[-1]) and _is_glued(units[-2]) and units[-2] != units[-1]:
        units = units[:-1] if units[-2].endswith(units[-1]) else units
    return f" {' '.join(units)}" + " " * (not is_open)


def says(record: Record, phrase: str) -> bool:
    """Whether one of its texts has those words beside each other; with * at the end the last one may go on."""
    needle = _needle(phrase)
    return any(needle in line for line in _lines(record))


def relevance(record: Record, phrases: Sequence[str]) -> int:
    """In how many passages the phrases stand, each by itself."""
    needles = [_needle(each) for each in phrases]
    return sum(needle in passage for needle in needles for passage in _passages(record))


def over(value: Any, bound: Any) -> bool:
    """Whether it is known and more."""
    return value is not None and bool(value > bound)


def under(value: Any, bound: Any) -> bool:
    """Whether it is known and less."""
    return value is not None and bool(value < bound)


def within(value: Any, low: Any, high: Any) -> bool:
    """Whether it is known and between, bounds included."""
    return value is not None and bool(low <= value <= high)


def begins(value: str | None, prefix: str) -> bool:
    """Whether it is known and begins so."""
    return value is not None and value[: len(prefix)] == prefix


_SORTED: dict[str, Callable[[Record], Any]] = {
    "accepted": lambda each: each.seq,
    "created": lambda each: each.begun,
    "settled": lambda each: each.settled,
    "cost": lambda each: each.cost,
    "duration": lambda each: each.duration,
    "tokens": lambda each: each.tokens,
}


def ordered(chosen: Sequence[Record], sort: str, phrases: Sequence[str] = ()) -> list[Record]:
    """In the order of `sort`: what has no value stands last descending, first ascending."""
    if sort == "-relevance":
        newest = sorted(chosen, key=lambda each: -each.seq)[:RANKED]
        return sorted(newest, key=lambda each: (-relevance(each, phrases), -each.seq))
    value = _SORTED[sort.lstrip("-")]
    known = sorted((each for each in chosen if value(each) is not None), key=lambda each: (value(each), each.seq))
    unknown = sorted((each for each in chosen if value(each) is None), key=lambda each: each.seq)
    return [*reversed(known), *reversed(unknown)] if sort.startswith("-") else [*unknown, *known]


@dataclass(frozen=True)
class Sum:
    """The sums of a group: runs, cost, tokens in and out, mean and longest duration, and by percent."""

    key: str | None
    count: int
    cost: int
    tokens_in: int
    tokens_out: int
    mean: int | None
    longest: int | None
    percentiles: dict[int, int]


_KEYS: dict[str, Callable[[Record], str | None]] = {
    "agent": lambda each: each.agent,
    "model": lambda each: each.model,
    "status": lambda each: each.status,
    "origin": lambda each: each.origin,
    "settled_by": lambda each: each.settled_by,
    "day": lambda each: f"{each.begun:%Y-%m-%d}",
    "month": lambda each: f"{each.begun:%Y-%m}",
    "hour": lambda each: f"{each.begun:%Y-%m-%dT%H:00Z}",
    "tag.client": lambda each: each.tags.get("client") or None,
}
GROUPINGS = list(_KEYS)


def sums(chosen: Sequence[Record], by: str) -> list[Sum]:
    """The thousand first: times newest first, others the most frequent first."""
    groups: dict[str | None, list[Record]] = {}
    for each in chosen:
        groups.setdefault(_KEYS[by](each), []).append(each)
    found = [_sum(key, group) for key, group in groups.items()]
    if by in ("day", "month", "hour"):
        return sorted(found, key=lambda each: each.key or "", reverse=True)[:1000]
    return sorted(found, key=lambda each: (-each.count, each.key is None, each.key or ""))[:1000]


def _sum(key: str | None, group: Sequence[Record]) -> Sum:
    took = sorted(each.duration for each in group if each.duration is not None)
    return Sum(
        key,
        len(group),
        sum(each.cost or 0 for each in group),
        sum(each.tokens_in or 0 for each in group),
        sum(each.tokens_out or 0 for each in group),
        round(sum(took) / len(took)) if took else None,
        max(took, default=None),
        {percent: took[math.ceil(len(took) * percent / 100) - 1] for percent in (50, 90, 95, 99) if took},
    )
