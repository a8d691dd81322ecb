"""The question of a list of runs, as its address has it: filter, time, order, columns, page."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

from receiver.pages import formats, requests
from receiver.pages.run_list import columns
from storage import states
from storage.query import agents, grammar, query_text, run_pages, value_ranges
from storage.stats import found_runs

#: The time ranges of the menu, with their names.
PRESETS = {
    "15m": "Last 15 minutes",
    "1h": "Last hour",
    "24h": "Last 24 hours",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "": "Any time",
}
SORTS = frozenset(sign + name for name in grammar.SORT_NAMES for sign in ("", "-"))
NEWEST = "-accepted"
#: Rows of a page.
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it was asked. `columns` is None where the address names none.

    `since` is an age that counts from now; `start` and `end` are instants of an own range.
    """

    text: str = ""
    since: str = ""
    start: str = ""
    end: str = ""
    sort: str = NEWEST
    columns: str | None = None
    cursor: str = ""

    def parameters(self, **changes: Any) -> dict[str, Any]:
        """Return the parameters of an address, with changes; empty ones are left out."""
        each = replace(self, **changes)
        return {
            "q": each.text,
            "since": each.since,
            "from": each.start,
            "to": each.end,
            "sort": "" if each.sort == NEWEST else each.sort,
            "columns": each.columns,
            "cursor": each.cursor,
        }


def read(pairs: Sequence[tuple[str, str]], zone: ZoneInfo) -> Question:
    """Return the question of an address. Several texts of a filter are one; an unknown order is the usual one."""
    first = dict(reversed(pairs))
    fields = [value for name, value in pairs if name == "q"]
    sort = first.get("sort", NEWEST)
    chosen = [value for name, value in pairs if name == "columns"]
    start, end = (_exact(first.get(name, ""), zone) for name in ("from", "to"))
    return Question(
        " ".join(filter(None, (each.strip() for each in fields))),
        "" if start or end else first.get("since", ""),
        start,
        end,
        sort if sort in SORTS or sort == run_pages.RELEVANCE else NEWEST,
        ",".join(chosen) if chosen else None,
        first.get("cursor", ""),
    )


def _exact(text: str, zone: ZoneInfo) -> str:
    """Return a time that a form gave without a zone as an instant in UTC, which means the same to everyone."""
    try:
        moment = formats.moment_of_form(text, zone)
        return f"{moment.replace(tzinfo=None, microsecond=0).isoformat()}Z"
    except ValueError:
        return text.strip()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was understood: its terms, the whole expression, and the time that it is about.

    Where a term has the name of an agent, its text is as it was typed, and its expression has the ids.
    """

    question: Question
    terms: Sequence[query_text.Term]
    expression: grammar.Expression
    since: datetime | None
    until: datetime | None
    agents: Mapping[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Return the terms as text, as the chips have them."""
        return " ".join(each.parts[0] + self.value_of(each) for each in self.terms)

    def value_of(self, term: query_text.Term) -> str:
        """Return the value of a term as people know it: an agent by its name."""
        if term.name != "agent" or any(each.is_prefix for each in term.values):
            return term.parts[1]
        return ", ".join(dict.fromkeys(self.agents.get(each.text, each.text) for each in term.values))

    @property
    def text(self) -> str:
        """Return the filter as terms side by side: alternatives are in parentheses, so that others can follow."""
        return query_text.joined(self.terms)

    @property
    def whole_text(self) -> str:
        """Return the whole question in the filter language, with its time as a term."""
        asked = self.question
        span = f"-{asked.since}" if asked.since else f"{asked.start}..{asked.end}"
        return query_text.joined([*self.terms, *([] if span == ".." else [f"accepted:{span}"])])

    def query(self) -> run_pages.Query:
        """Return the page of runs that is asked for."""
        asked = self.question
        return run_pages.Query(self.expression, asked.sort, PAGE_SIZE, asked.cursor or None)

    def times(self, now: datetime, zone: ZoneInfo) -> found_runs.Times:
        """Return the times that the chart of the runs found covers."""
        offset = now.astimezone(zone).utcoffset() or timedelta()
        return found_runs.Times(self.since, min(self.until or now, now), -offset)


def understand(question: Question, now: datetime, names: Mapping[str, str] | None = None) -> Asked:
    """Return what a question asks for. `names` are the names of agents by their ids.

    Raises BadQuery for its filter, BadFilter for its time.
    """
    terms = query_text.read(question.text, now)
    span = _range(question, now)
    accepted = None if span is None else grammar.InRange("accepted", (span,))
    expression = grammar.all_of(*(each.expression for each in terms), accepted)
    low, high = (None, None) if span is None else (span.low, span.high)
    named = names or {}
    meaning = agents.by_names(named)
    by_id = [replace(each, expression=agents.with_ids(each.expression, meaning)) for each in terms]
    return Asked(question, by_id, expression, low, high, named)


def _range(question: Question, now: datetime) -> value_ranges.Range | None:
    if question.start or question.end:
        return value_ranges.instants("accepted", f"{question.start}..{question.end}", now)
    if not question.since:
        return None
    return value_ranges.Range(low=value_ranges.moment("since", question.since, now))


def local(given: requests.PageRequest, asked: Asked) -> tuple[str, str]:
    """Return the ends of the time range as fields of a form have them, in the zone of the browser."""
    ends = (asked.since, asked.until)
    low, high = ("" if each is None else f"{formats.local(each, given.zone):%FT%T}" for each in ends)
    return low, high


class Links:
    """The addresses of variations of a question, for templates. Only the text of the filter is encoded anew."""

    def __init__(self, given: requests.PageRequest, asked: Asked, path: str = "/runs") -> None:
        self.asked = asked
        self._given = given
        self._path = path
        question = replace(asked.question, text="", cursor="")
        self._rest = [(name, value) for name, value in question.parameters().items() if name != "q"]
        bare, self._unfiltered = given.url(path), given.url(path, self._rest)
        self._start, self._end = f"{bare}?q=", self._unfiltered.removeprefix(bare).replace("?", "&", 1)
        self._kept = functools.cache(lambda name: query_text.joined(query_text.without(asked.terms, name)))

    def text(self, text: str) -> str:
        """Return the address of another filter, with time, order and columns as they are."""
        return f"{self._start}{quote_plus(text)}{self._end}" if text else self._unfiltered

    def only(self, name: str, value: str) -> str:
        """Return the address of the runs with this value, in place of all terms about the name."""
        kept = self._kept(name)
        term = query_text.equals(name, value)
        return self.text(f"{kept} {term}" if kept else term)

    def toggle(self, name: str, value: str) -> str:
        """Return the address with a value added to those demanded of a name, or removed where it is one."""
        return self.text(query_text.toggled(self.asked.terms, name, value))

    def exclude(self, name: str, value: str) -> str:
        """Return the address with the exclusion of a value added, or removed where it is there."""
        return self.text(query_text.excluding(self.asked.terms, name, value))

    def also(self, term: str) -> str:
        """Return the address with a further term."""
        return self.text(query_text.joined([*self.asked.terms, term]))

    def without(self, at: int) -> str:
        """Return the address without the term at this place."""
        return self.text(query_text.joined(each for number, each in enumerate(self.asked.terms) if number != at))

    def draft(self, at: int) -> str:
        """Return the address that shows the term at this place in the box, to be changed."""
        kept = query_text.joined(each for number, each in enumerate(self.asked.terms) if number != at)
        return self._given.url(self._path, [("q", kept), *self._rest, ("draft", self.asked.terms[at].text)])

    def change(self, **changes: Any) -> str:
        """Return the address of the question with changes, on its first page unless a cursor is given."""
        parameters = self.asked.question.parameters(**{"cursor": "", **changes})
        return self._given.url(self._path, parameters)

    def sort(self, name: str) -> str:
        """Return the address of the other order by a name; the first one is descending."""
        return self.change(sort=name if self.asked.question.sort == f"-{name}" else f"-{name}")

    def unended(self) -> str:
        """Return the address of the runs that have not ended, the oldest first: overdue ones are the first."""
        kept = query_text.joined(query_text.without(self.asked.terms, "status"))
        term = query_text.equals("status", *sorted(states.LIVE, key=list(states.Status).index))
        return self.change(text=f"{kept} {term}".strip(), sort="accepted")

    def run(self, run_id: str) -> str:
        """Return the address of a run, by which its page knows the list that it was opened from."""
        start, end = self._around_run
        return f"{start}{run_id}{end}"

    @functools.cached_property
    def _around_run(self) -> tuple[str, str]:
        sort = self.asked.question.sort
        bare = self._given.url("/runs/")
        listed = {"list": self.asked.whole_text, "sort": "" if sort == NEWEST else sort}
        return bare, self._given.url("/runs/", listed).removeprefix(bare)

    def at(self, path: str, **more: Any) -> str:
        """Return the address of another page about the same question."""
        return self._given.url(path, {**self.asked.question.parameters(cursor=""), **more})


def fields(question: Question) -> Mapping[str, str]:
    """Return the hidden fields of the form with the filter, which is about the first page."""
    kept = question.parameters(cursor="", text="")
    return {name: str(value) for name, value in kept.items() if value}


def is_canonical(given: requests.PageRequest, question: Question) -> bool:
    """Return whether the address spells the question as links do, so that it can be shared."""
    names = [name for name, _ in given.parameters]
    start, end = given.parameter("from"), given.parameter("to")
    repeated = names.count("q") > 1 or names.count("columns") > 1 or "keep" in names
    return not repeated and (start, end) == (question.start, question.end)


def column_names(given: requests.PageRequest, question: Question) -> tuple[str, ...]:
    """Return the columns that the address names, or else those that this browser keeps, or the usual ones."""
    chosen = given.request.cookies.get(columns.COOKIE, "") if question.columns is None else question.columns
    return columns.named(chosen) or columns.DEFAULT
