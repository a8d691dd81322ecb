"""The text of a query as terms side by side, and the texts with one term more or less. Pure.

Pages and commands change a filter this way, so that what a person typed stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from storage.query import grammar

_BARE = re.compile(r'[^\s()",\\]+')


@dataclass(frozen=True, slots=True)
class Term:
    """A term that must hold: its text, and what it means."""

    text: str
    expression: grammar.Expression

    @property
    def is_negated(self) -> bool:
        """Return whether the term excludes runs."""
        return isinstance(self.expression, grammar.Not)

    @property
    def name(self) -> str:
        """Return the name whose values or ranges the term demands or excludes; empty for any other term."""
        return self._inner.name if isinstance(self._inner, grammar.Equals | grammar.InRange) else ""

    @property
    def values(self) -> tuple[grammar.Value, ...]:
        """Return the values that the term demands or excludes."""
        return self._inner.values if isinstance(self._inner, grammar.Equals) else ()

    @property
    def parts(self) -> tuple[str, str]:
        """Return the text up to the value, and the value."""
        name, colon, value = self.text.partition(":")
        is_named = colon and '"' not in name and "(" not in name
        return (f"{name}:", value) if is_named else ("", self.text)

    @property
    def _inner(self) -> grammar.Expression:
        return self.expression.part if isinstance(self.expression, grammar.Not) else self.expression


def read(text: str, now: datetime) -> tuple[Term, ...]:
    """Return the terms of a query. Raise BadQuery."""
    return tuple(Term(*each) for each in grammar.parse_terms(text, now))


def joined(terms: Iterable[Term | str]) -> str:
    """Return the text of a query that demands all of these terms."""
    return " ".join(each if isinstance(each, str) else each.text for each in terms)


def quoted(value: str) -> str:
    """Return a value as a query spells it: in quotes where it would be read as something else.

    >>> quoted("failed"), quoted("Research memo"), quoted('5" pipe*')
    ('failed', '"Research memo"', '"5\\\\" pipe*"')
    """
    if _BARE.fullmatch(value) and not value.endswith("*"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def equals(name: str, *values: str) -> str:
    """Return the text of a term that demands one of these values."""
    return f"{name}:{','.join(map(quoted, values))}"


def without(terms: Iterable[Term], name: str) -> list[Term]:
    """Return the terms except those about the values of a name."""
    return [each for each in terms if each.name != name]


def chosen(terms: Iterable[Term], name: str) -> list[str]:
    """Return the whole values that the terms demand of a name."""
    demanded = (each for each in terms if each.name == name and not each.is_negated)
    return [value.text for each in demanded for value in each.values if not value.is_prefix]


def excluded(terms: Iterable[Term], name: str) -> list[str]:
    """Return the whole values that the terms exclude of a name."""
    denied = (each for each in terms if each.name == name and each.is_negated)
    return [value.text for each in denied for value in each.values if not value.is_prefix]


def toggled(terms: Iterable[Term], name: str, value: str) -> str:
    """Return the text with a value added to those demanded of a name, or removed where it is one."""
    given = list(terms)
    before = chosen(given, name)
    after = [each for each in before if each != value] if value in before else [*before, value]
    kept = [each for each in given if each.name != name or (each.is_negated and value not in _texts(each))]
    return joined([*kept, *([equals(name, *after)] if after else [])])


def excluding(terms: Iterable[Term], name: str, value: str) -> str:
    """Return the text with the exclusion of a value added, or removed where it is there."""
    given = list(terms)
    is_excluded = any(each.is_negated and each.name == name and value in _texts(each) for each in given)
    kept = [each for each in given if each.name != name or value not in _texts(each)]
    return joined(kept if is_excluded else [*kept, f"-{equals(name, value)}"])


def _texts(term: Term) -> list[str]:
    return [each.text for each in term.values]
