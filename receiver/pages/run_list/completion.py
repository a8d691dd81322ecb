"""Completion of the filter while it is typed: names, and the values of the name before the cursor. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.query import grammar, query_text

#: The most suggestions.
MOST = 12
_TOKEN = re.compile(r'-?(?:([A-Za-z_][\w.\-]*):)?("[^"]*|[^\s()"]*)$')
#: What each name is about.
NAMES = {
    "status": "state of the run",
    "agent": "name or id of the agent",
    "model": "model, a * ends a beginning",
    "tool": "a tool that was used",
    "cost": "in dollars: >0.50, 0.10..0.25",
    "duration": "with a unit: >2m, 90s..1.5h",
    "tokens": "input and output: >=10k",
    "accepted": "when it was accepted here: >-7d, 2026-11-23",
    "created": "when the upstream created it",
    "settled": "when its end was stored here",
    "settled_by": "what first reported its end",
    "review": "the newest judgement of its reviews",
    "origin": "submitted or adopted",
    "submitted_by": "name of the key",
    "again_of": "id of the run that was run again",
    "has": "whether there is a value: has:failure_reason",
}
_EXAMPLES = {
    "cost": (">0.10", ">1", "0.10..0.50"),
    "duration": (">30s", ">2m", ">10m"),
    "tokens": (">10k", ">100k"),
    "accepted": ("-1h", "-24h", "-7d"),
    "created": ("-1h", "-24h", "-7d"),
    "settled": ("-1h", "-24h", "-7d"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """The word before the cursor: its ends, its name (empty while that is typed), and what is typed so far."""

    start: int
    end: int
    name: str
    typed: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text that may be meant, what it is, and the text of the box with it; `at` is the cursor behind it."""

    label: str
    note: str
    text: str
    at: int


def place(text: str, at: int) -> Place:
    """Return what is being typed at a cursor."""
    found = _TOKEN.search(text[:at])
    assert found is not None, "the pattern matches an empty text"
    name, value = found[1] or "", found[2]
    last = value.rpartition(",")[2]
    start = at - len(last)
    return Place(start, at, name, last.lstrip('"'))


def values(name: str) -> Sequence[str] | None:
    """Return the values of a name with a closed list, or examples; None where they are in the store."""
    if name in grammar.CHOICES:
        return [each.value for each in grammar.CHOICES[name]]
    if name == grammar.HAS:
        return grammar.OPTIONAL_NAMES
    return _EXAMPLES.get(name)


def suggestions(
    text: str, where: Place, known: Iterable[tuple[str, str]], *, is_name: bool = False
) -> list[Suggestion]:
    """Return the known texts, each with a note, that begin with what is typed or contain it."""
    typed = where.typed.lower()
    fitting = [each for each in known if typed in each[0].lower()]
    fitting.sort(key=lambda each: not each[0].lower().startswith(typed))
    made = []
    for label, note in fitting[:MOST]:
        written = label if is_name or where.name in _EXAMPLES else query_text.quoted(label)
        written += "" if is_name and label.endswith((":", ".")) else " "
        after = text[where.end :].lstrip()
        made.append(Suggestion(label, note, text[: where.start] + written + after, where.start + len(written)))
    return made


def agents(stored: Iterable[tuple[str, str]], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the agents by their names, then by their ids; one whose name several have by its id alone."""
    noted = list(stored)
    shared = Counter(names.values())
    named = [(names[each], note) for each, note in noted if each in names and shared[names[each]] == 1]
    return [*named, *((each, names.get(each, note)) for each, note in noted)]


def names(tag_keys: Iterable[str]) -> list[tuple[str, str]]:
    """Return all names with what they are about."""
    found = [(f"{name}:", note) for name, note in NAMES.items()]
    return [*found, *((f"{grammar.TAG_PREFIX}{key}:", "values of this tag") for key in tag_keys)]
