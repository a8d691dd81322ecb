"""The filter language: one grammar for the API, the command line and whatever asks later. Pure.

    status:failed,cancelled cost:>0.50 created:>-7d tag.client:acme (tool:webfetch OR has:failure_reason)
    -model:anthropic/* "force majeure"

What stands side by side must all hold, `OR` joins alternatives as commas do within a name, `-` is not. A word
without a name is looked for in the texts of a run, words in quotes beside each other; `*` at the end of a word or
value stands for whatever follows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NoReturn

from storage import errors, spans, states, words

#: Characters of a question; parts of one, and how deep they may stand within each other.
LENGTH, PARTS, DEPTH = 4000, 100, 20
#: Words of a phrase, and characters of one in a script without spaces, which is looked for part by part.
PHRASE, GLUED = 16, 128


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; without parts that is so for every run."""

    parts: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Either:
    """One of the parts holds, or more."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold, or what it asks for is not known."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Value:
    """A text that is asked for, or the beginning of it."""

    text: str
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class Is:
    """What is called `name` is one of these: a column's word, a tag (`tag.<key>`), a tool that was used."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """A measure or an instant lies within one of these."""

    name: str
    ranges: tuple[spans.Range, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """What is called `name` is there at all."""

    name: str


@dataclass(frozen=True, slots=True)
class Says:
    """A text of the run says so."""

    phrase: words.Phrase


Expression = All | Either | Not | Is | Within | Has | Says
#: What every run answers to.
EVERYTHING = All()

#: Names of which the values are known.
CHOICES: dict[str, type[StrEnum]] = {
    "status": states.Status,
    "origin": states.Origin,
    "settled_by": states.Road,
}
#: Names with any value; those of tags begin with TAG.
WORDS = ("agent", "model", "submitted_by", "tool")
TAG = "tag."
_READERS: dict[str, Callable[[str, str, datetime], spans.Range]] = {
    "accepted": spans.instants,
    "created": spans.instants,
    "settled": spans.instants,
    "cost": lambda name, text, _now: spans.micros(name, text),
    "duration": lambda name, text, _now: spans.milliseconds(name, text),
    "tokens": lambda name, text, _now: spans.counts(name, text),
}
#: What may be there or not, beside tags.
PRESENT = (
    "agent",
    "model",
    "guidance",
    "created",
    "settled",
    "cost",
    "duration",
    "tokens",
    "output",
    "summary",
    "failure_reason",
    "steps",
)
HAS = "has"
NAMES = (*CHOICES, *WORDS, TAG, *_READERS, HAS)


def every(*parts: Expression | None) -> Expression:
    """All of the parts that there are."""
    there = tuple(each for each in parts if each is not None and each != EVERYTHING)
    return there[0] if len(there) == 1 else All(there)


def value(text: str) -> Value:
    """What a bare text asks for; a `*` alone is anything that is known."""
    return Value(text.removesuffix("*"), text.endswith("*"))


def term(name: str, given: Sequence[Value], now: datetime) -> Expression:
    """What one name asks for by its values, any of which will do. Raises BadFilter."""
    if name in CHOICES:
        return Is(name, tuple(_choice(name, each) for each in given))
    if name in WORDS or (name.startswith(TAG) and len(name) > len(TAG)):
        return Is(name, tuple(given))
    if name in _READERS:
        return Within(name, tuple(_READERS[name](name, _whole(each), now) for each in given))
    if name == HAS:
        looked = tuple(Has(_present(_whole(each))) for each in given)
        return looked[0] if len(looked) == 1 else Either(looked)
    meant = _nearest(name, NAMES)
    hint = f"; did you mean {meant}?" if meant else ""
    raise errors.BadFilter(name[:80], f"is no name that runs can be asked by{hint}", meant)


def _choice(name: str, asked: Value) -> Value:
    known = [each.value for each in CHOICES[name]]
    text = _whole(asked)
    if text in known:
        return asked
    raise unknown(name, text, known)


def _present(text: str) -> str:
    if text in PRESENT or (text.startswith(TAG) and len(text) > len(TAG)):
        return text
    known = (*PRESENT, f"{TAG}<key>")
    raise unknown(HAS, text, known)


def unknown(name: str, text: str, known: Sequence[str]) -> errors.BadFilter:
    """What to raise of a text that is none of those that `name` takes: it tells of the nearest, or of all."""
    meant = _nearest(text, known)
    hint = f"did you mean {meant}?" if meant else f"it is one of {', '.join(known)}"
    return errors.BadFilter(name, f"{text[:40]!r} is unknown; {hint}", meant)


def _whole(asked: Value) -> str:
    return asked.text + ("*" if asked.open_ended else "")


def _nearest(text: str, known: Sequence[str]) -> str | None:
    close = difflib.get_close_matches(text[:80].lower(), known, n=1, cutoff=0.6)
    return next(iter(close), None)


def parse(text: str, now: datetime) -> Expression:
    """What a question asks for; ages count from `now`. Raises BadQuestion, which knows the character."""
    if len(text) > LENGTH:
        raise errors.BadQuestion(text, LENGTH, f"it is longer than {LENGTH} characters")
    return _Parser(text, now).whole()


_NAME = re.compile(r"([A-Za-z_]+(?:\.[A-Za-z0-9_.-]*)?):")
_BARE = re.compile(r"[^\s()\",]+")
_BARE_WORD = re.compile(r"[^\s()\"]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_SPACE = re.compile(r"\s*")


class _Parser:
    """Reads one question from its beginning to its end."""

    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now
        self._at = 0
        self._parts = 0

    def whole(self) -> Expression:
        found = self._alternatives(0)
        if self._at < len(self._text):
            self._refuse("there is no ( that it would close")
        return found

    def _alternatives(self, depth: int) -> Expression:
        """Up to the closing parenthesis, or the end."""
        if depth > DEPTH:
            self._refuse(f"parentheses stand more than {DEPTH} deep")
        found = [self._sequence(depth)]
        while self._takes_or():
            found.append(self._sequence(depth))
        if len(found) > 1 and EVERYTHING in found:
            self._refuse("OR stands between two things that are asked for")
        return found[0] if len(found) == 1 else Either(tuple(found))

    def _sequence(self, depth: int) -> Expression:
        found: list[Expression] = []
        while not self._is_over() and not self._sees_or():
            found.append(self._part(depth))
        return every(*found)

    def _part(self, depth: int) -> Expression:
        self._count()
        match self._text[self._at]:
            case "-":
                self._at += 1
                if self._at == len(self._text) or self._text[self._at].isspace() or self._text[self._at] == ")":
                    self._at -= 1
                    self._refuse("- stands right before what is not to be")
                if depth >= DEPTH:
                    self._refuse(f"- and parentheses stand more than {DEPTH} deep")
                return Not(self._part(depth + 1))
            case "(":
                return self._group(depth)
        named = _NAME.match(self._text, self._at)
        return self._named(named) if named else self._said()

    def _count(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            self._refuse(f"more than {PARTS} things are asked for")

    def _group(self, depth: int) -> Expression:
        opened = self._at
        self._at += 1
        found = self._alternatives(depth + 1)
        if not self._text.startswith(")", self._at):
            self._at = opened
            self._refuse("this ( is never closed")
        if found == EVERYTHING:
            self._at = opened
            self._refuse("nothing stands in these parentheses")
        self._at += 1
        return found

    def _named(self, named: re.Match[str]) -> Expression:
        begun, name = self._at, named[1]
        self._at = named.end()
        value_at = self._at
        given = [self._value()]
        while self._text.startswith(",", self._at):
            self._at += 1
            self._count()
            given.append(self._value())
        try:
            return term(name, given, self._now)
        except errors.BadFilter as error:
            is_known = name in NAMES or name.startswith(TAG)
            hint = "" if is_known else '; put it in "quotes" to look for it in the texts'
            at = value_at if is_known else begun
            raise errors.BadQuestion(self._text, at, f"{error}{hint}", error.meant) from None

    def _value(self) -> Value:
        if self._text.startswith('"', self._at):
            return Value(self._quoted())
        found = _BARE.match(self._text, self._at)
        if found is None:
            self._refuse("a value is missing here")
        self._at = found.end()
        return value(found[0])

    def _said(self) -> Expression:
        begun = self._at
        if self._text.startswith('"', self._at):
            given = self._quoted()
            open_ended = self._text.startswith("*", self._at)
            self._at += open_ended
        else:
            found = _BARE_WORD.match(self._text, self._at)
            assert found is not None, "neither a space nor a parenthesis nor a quote stands here"
            self._at = found.end()
            given, open_ended = found[0], found[0].endswith("*")
        asked = words.phrase(given, open_ended)
        if not asked.words:
            self._refuse_at(begun, "no word stands here")
        if words.count(asked.words) > PHRASE or len(asked.words) > GLUED:
            limit = f"{GLUED} characters of a script without spaces"
            self._refuse_at(begun, f"a phrase has {PHRASE} words at most, or {limit}")
        return every(*(Says(each) for each in asked.parts(PHRASE)))

    def _refuse_at(self, at: int, detail: str) -> NoReturn:
        self._at = at
        self._refuse(detail)

    def _quoted(self) -> str:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            self._refuse("this quote is never closed")
        self._at = found.end()
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = self._at if found is None else found.end()

    def _is_over(self) -> bool:
        self._skip()
        return self._at == len(self._text) or self._text[self._at] == ")"

    def _sees_or(self) -> bool:
        rest = self._text[self._at : self._at + 3]
        return rest[:2] == "OR" and (len(rest) == 2 or rest[2].isspace() or rest[2] in "()")

    def _takes_or(self) -> bool:
        self._skip()
        if not self._sees_or():
            return False
        self._at += 2
        return True

    def _refuse(self, detail: str) -> NoReturn:
        raise errors.BadQuestion(self._text, self._at, detail)
