"""The filter language: one grammar for the API and the command line. Pure.

    status:failed,cancelled cost:>0.50 created:>-7d tag.client:acme (tool:webfetch OR has:failure_reason)
    -model:anthropic/* "force majeure"

Terms side by side must all hold. `OR` separates alternatives, as commas do between the values of a name; `-`
negates. A word without a name is searched in the texts of a run; quoted words must follow each other. A `*` at the
end of a word or a value makes it a prefix.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NoReturn

from storage import errors, states
from storage.query import value_ranges
from storage.search import tokenizer

#: Limits of a query: its characters, its terms, and the depth of nesting.
MAX_LENGTH, MAX_TERMS, MAX_DEPTH = 4000, 100, 20
#: The names of sort orders; `-` in front of one reverses it.
SORT_NAMES = ("accepted", "created", "settled", "cost", "duration", "tokens")
#: Limits of a phrase: its words, and its characters in a script without spaces, which is searched in parts.
MAX_PHRASE_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class And:
    """Every part must hold; without parts every run matches."""

    parts: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the parts must hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part must not hold; a run whose value is unknown matches too."""

    part: Expression


@dataclass(frozen=True, slots=True)
class Value:
    """A requested text, or its beginning."""

    text: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Equals:
    """The value of `name` is one of these: of a column, a tag (`tag.<key>`), or `tool` for a used tool."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class InRange:
    """A measure or an instant lies in one of these ranges."""

    name: str
    ranges: tuple[value_ranges.Range, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The run has a value for `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text of the run contains the phrase."""

    phrase: tokenizer.Phrase


Expression = And | Or | Not | Equals | InRange | Exists | Phrase
#: The expression that every run matches.
EVERYTHING = And()

#: Names with a closed list of values.
CHOICES: dict[str, type[StrEnum]] = {
    "status": states.Status,
    "origin": states.Origin,
    "settled_by": states.Source,
    "review": states.Reviewed,
}
#: Names with free values; names of tags begin with TAG_PREFIX.
TEXT_NAMES = ("agent", "model", "submitted_by", "tool", "again_of")
TAG_PREFIX = "tag."
_READERS: dict[str, Callable[[str, str, datetime], value_ranges.Range]] = {
    "accepted": value_ranges.instants,
    "created": value_ranges.instants,
    "settled": value_ranges.instants,
    "cost": lambda name, text, _now: value_ranges.micros(name, text),
    "duration": lambda name, text, _now: value_ranges.milliseconds(name, text),
    "tokens": lambda name, text, _now: value_ranges.counts(name, text),
}
#: Names that `has:` takes, besides tags.
OPTIONAL_NAMES = (
    *("agent", "model", "guidance", "created", "settled", "cost", "duration", "tokens"),
    *("output", "summary", "failure_reason", "steps"),
)
HAS = "has"
NAMES = (*CHOICES, *TEXT_NAMES, TAG_PREFIX, *_READERS, HAS)


def all_of(*parts: Expression | None) -> Expression:
    """Return the conjunction of the parts that are given."""
    there = tuple(each for each in parts if each is not None and each != EVERYTHING)
    return there[0] if len(there) == 1 else And(there)


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """Return the parts that must all hold: those of a conjunction, or the expression itself."""
    return expression.parts if isinstance(expression, And) else (expression,)


def is_tag(name: str) -> bool:
    """Return whether a name is that of a tag: `tag.<key>`."""
    return name.startswith(TAG_PREFIX) and len(name) > len(TAG_PREFIX)


def value(text: str) -> Value:
    """Return the value of an unquoted text; a `*` alone matches any known value."""
    return Value(text.removesuffix("*"), text.endswith("*"))


def term(name: str, given: Sequence[Value], now: datetime) -> Expression:
    """Return the expression for one name and its values, any of which may match. Raise BadFilter."""
    if name in CHOICES:
        return Equals(name, tuple(_check_choice(name, each) for each in given))
    if name in TEXT_NAMES or is_tag(name):
        return Equals(name, tuple(given))
    if name in _READERS:
        return InRange(name, tuple(_READERS[name](name, _full_text(each), now) for each in given))
    if name == HAS:
        exists = tuple(Exists(_check_optional(_full_text(each))) for each in given)
        return exists[0] if len(exists) == 1 else Or(exists)
    suggestion = _nearest(name, NAMES)
    hint = f"; did you mean {suggestion}?" if suggestion else ""
    raise errors.BadFilter(name[:80], f"is not a filter name{hint}", suggestion)


def _check_choice(name: str, requested: Value) -> Value:
    known = [each.value for each in CHOICES[name]]
    text = _full_text(requested)
    if text in known:
        return requested
    raise unknown_value(name, text, known)


def _check_optional(text: str) -> str:
    if text in OPTIONAL_NAMES or is_tag(text):
        return text
    known = (*OPTIONAL_NAMES, f"{TAG_PREFIX}<key>")
    raise unknown_value(HAS, text, known)


def unknown_value(name: str, text: str, known: Sequence[str]) -> errors.BadFilter:
    """Return the error for a text that `name` does not take: it names the nearest value, or all."""
    suggestion = _nearest(text, known)
    hint = f"did you mean {suggestion}?" if suggestion else f"it is one of {', '.join(known)}"
    return errors.BadFilter(name, f"{text[:40]!r} is unknown; {hint}", suggestion)


def _full_text(requested: Value) -> str:
    return requested.text + ("*" if requested.is_prefix else "")


def _nearest(text: str, known: Sequence[str]) -> str | None:
    close = difflib.get_close_matches(text[:80].lower(), known, n=1, cutoff=0.6)
    return next(iter(close), None)


def parse(text: str, now: datetime) -> Expression:
    """Parse a query; ages count from `now`. Raise BadQuery with the position of the error."""
    if len(text) > MAX_LENGTH:
        raise errors.BadQuery(text, MAX_LENGTH, f"the query is longer than {MAX_LENGTH} characters")
    return _Parser(text, now).whole()


def parse_terms(text: str, now: datetime) -> list[tuple[str, Expression]]:
    """Return the terms of a query that must all hold, each with its text. Raise BadQuery.

    Alternatives that `OR` separates are one term, with its text in parentheses.
    """
    expression, found = parse(text, now), _Parser(text, now).terms()
    if found is not None:
        return found
    return [(f"({text.strip()})", expression)]


_NAME = re.compile(r"([A-Za-z_]+(?:\.[A-Za-z0-9_.-]*)?):")
_BARE = re.compile(r"[^\s()\",]+")
_BARE_WORD = re.compile(r"[^\s()\"]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


class _Parser:
    """Parses one query from its beginning to its end."""

    def __init__(self, text: str, now: datetime) -> None:
        self._text = text
        self._now = now
        self._at = 0
        self._parts = 0

    def whole(self) -> Expression:
        found = self._alternatives(0)
        if self._at < len(self._text):
            self._refuse("there is no matching (")
        return found

    def terms(self) -> list[tuple[str, Expression]] | None:
        """Return the terms side by side; None where they are alternatives."""
        found: list[tuple[str, Expression]] = []
        while not self._is_over():
            if self._sees_or():
                return None
            start, part = self._at, self._part(0)
            found.append((self._text[start : self._at], part))
        return found

    def _alternatives(self, depth: int) -> Expression:
        """Parse up to the closing parenthesis or the end."""
        if depth > MAX_DEPTH:
            self._refuse(f"parentheses are nested more than {MAX_DEPTH} deep")
        found = [self._sequence(depth)]
        while self._takes_or():
            found.append(self._sequence(depth))
        if len(found) > 1 and EVERYTHING in found:
            self._refuse("OR needs a term on both sides")
        return found[0] if len(found) == 1 else Or(tuple(found))

    def _sequence(self, depth: int) -> Expression:
        found: list[Expression] = []
        while not self._is_over() and not self._sees_or():
            found.append(self._part(depth))
        return all_of(*found)

    def _part(self, depth: int) -> Expression:
        self._count()
        match self._text[self._at]:
            case "-":
                self._at += 1
                if self._at == len(self._text) or self._text[self._at].isspace() or self._text[self._at] == ")":
                    self._refuse("- must stand directly before the term that it negates", self._at - 1)
                if depth >= MAX_DEPTH:
                    self._refuse(f"- and parentheses are nested more than {MAX_DEPTH} deep")
                return Not(self._part(depth + 1))
            case "(":
                return self._group(depth)
        named = _NAME.match(self._text, self._at)
        return self._named(named) if named else self._phrase()

    def _count(self) -> None:
        self._parts += 1
        if self._parts > MAX_TERMS:
            self._refuse(f"the query has more than {MAX_TERMS} terms")

    def _group(self, depth: int) -> Expression:
        start = self._at
        self._at += 1
        found = self._alternatives(depth + 1)
        if not self._text.startswith(")", self._at):
            self._refuse("this ( is never closed", start)
        if found == EVERYTHING:
            self._refuse("these parentheses are empty", start)
        self._at += 1
        return found

    def _named(self, named: re.Match[str]) -> Expression:
        start, name = self._at, named[1]
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
            is_known = name in NAMES or name.startswith(TAG_PREFIX)
            hint = "" if is_known else '; put it in "quotes" to search the texts for it'
            at = value_at if is_known else start
            raise errors.BadQuery(self._text, at, f"{error}{hint}", error.suggestion) from None

    def _value(self) -> Value:
        if self._text.startswith('"', self._at):
            return Value(self._quoted())
        found = _BARE.match(self._text, self._at)
        if found is None:
            self._refuse("a value is missing here")
        self._at = found.end()
        return value(found[0])

    def _phrase(self) -> Expression:
        start = self._at
        if self._text.startswith('"', self._at):
            given = self._quoted()
            open_ended = self._text.startswith("*", self._at)
            self._at += open_ended
        else:
            found = _BARE_WORD.match(self._text, self._at)
            assert found is not None, "the next character is no space, parenthesis or quote"
            self._at = found.end()
            given, open_ended = found[0], found[0].endswith("*")
        phrase = tokenizer.phrase(given, open_ended)
        if not phrase.words:
            self._refuse("there is no word here", start)
        if tokenizer.count(phrase.words) > tokenizer.PHRASE or len(phrase.words) > MAX_PHRASE_CHARACTERS:
            limit = f"{MAX_PHRASE_CHARACTERS} characters of a script without spaces"
            self._refuse(f"a phrase has {tokenizer.PHRASE} words at most, or {limit}", start)
        return all_of(*(Phrase(each) for each in phrase.parts(tokenizer.PHRASE)))

    def _quoted(self) -> str:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            self._refuse("this quote is never closed")
        self._at = found.end()
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)

    def _skip(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

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

    def _refuse(self, detail: str, at: int | None = None) -> NoReturn:
        raise errors.BadQuery(self._text, self._at if at is None else at, detail)
