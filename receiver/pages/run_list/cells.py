"""The rows of the list of runs as markup. A page repeats few values, so the link of each value is made once.

No template makes them, since that takes three times as long for the fifty rows of a list.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from receiver.pages import formats
from receiver.pages.run_list import columns, question, rows
from storage.query import grammar, run_lines
from storage.search import snippets


class _Form:
    """Markup with places for texts, which are escaped: like Markup.format, in a fifth of the time."""

    def __init__(self, text: str) -> None:
        self._text = text

    def format(self, *values: str) -> Markup:
        return Markup(self._text.format(*map(escape, values)))


_ROW = (
    '<tr role="row" id="run-{id}"><td role="cell" class="c-check">'
    '<input type="checkbox" name="id" value="{id}" aria-label="Select run {end}"></td>'
    '<td role="cell" class="c-state">{state}</td><td role="cell" class="c-main"><div class="ask-line">'
    '<a class="go" href="{address}" dir="auto">{prompt}</a>{aside}{found}</div></td>{cells}</tr>'
)
_ASIDE = _Form('<span class="why is-{0}" title="{1}">{1}</span>')
_FOUND = _Form('<span class="why is-soft">{}</span>')
_HIT = _Form("<mark>{}</mark>")
_VALUE = _Form('<a class="val" href="{}" data-name="{}">{}</a>')
_AGENT = _Form('<a class="val" href="{}" data-name="agent" data-value="{}" title="{}">{}</a>')
_TAG = _Form('<a class="tag val" href="{}" data-name="{}" title="{}:{}"><b>{}:</b>{}</a>')
_TAGS = _Form('<div class="tag-line" title="{}">{}</div>')
_STATE = _Form(
    '<a class="val st st-{0}" href="{1}" data-name="status">'
    '<svg class="i" aria-hidden="true"><use href="#i-{0}"/></svg>{0}</a>'
)
_TIME = '<time datetime="{}" title="{}">{}</time>'
_NOTHING = Markup("")


class Cells:
    """Makes the rows of a list and their cells; instants are shown in `zone`, ages count up to `now`."""

    def __init__(
        self, links: question.Links, shown: Sequence[columns.Column], zone: ZoneInfo, now: datetime
    ) -> None:
        self._links = links
        self._zone, self._now = zone, now
        self._value = functools.cache(self._linked_value)
        self._agent = functools.cache(self._linked_agent)
        self._tag = functools.cache(self._linked_tag)
        self._state = functools.cache(self._linked_state)
        self._columns = [(_opening(each), self._maker(each)) for each in shown]

    def row(self, run: run_lines.Line, found: Sequence[snippets.Snippet] = ()) -> Markup:
        """Return the row of a run, with the first of the passages in which words were found."""
        made = _ROW.format(
            id=escape(run.id),
            end=escape(run.id[-8:]),
            state=self._state(run.status),
            address=escape(self._links.run(run.id)),
            prompt=escape(run.prompt or ("Its prompt was removed" if run.pruned_at else "Without a prompt")),
            aside=_aside(rows.aside(run, self._now)),
            found=_passage(found[0]) if found else "",
            cells="".join([f"{opening}{make(run)}</td>" for opening, make in self._columns]),
        )
        return Markup(made)

    def _maker(self, column: columns.Column) -> Callable[[run_lines.Line], str]:
        """Return the function that makes the cell of a run: its markup, or a text that is none."""
        name = column.name
        if column.tag_key:
            return lambda run: self._given(name, run.tags.get(column.tag_key))
        own: dict[str, Callable[[Any], str]] = {
            "agent": lambda run: self._agent(run.agent_id) if run.agent_id else _NOTHING,
            "tags": lambda run: self._tags(run.tags) if run.tags else _NOTHING,
            "duration": lambda run: _known(rows.elapsed(run, self._now), formats.duration),
            "tokens": lambda run: _known(_tokens(run), formats.count),
            "cost": lambda run: _known(run.cost_micros, formats.money),
            "steps": lambda run: formats.count(run.step_count),
            "tool_calls": lambda run: _known(run.tool_calls, formats.count),
            "accepted": lambda run: self._time(run.accepted_at),
            "created": lambda run: self._time(run.created_at),
            "settled": lambda run: self._time(run.settled_at),
            "upstream_id": lambda run: escape(run.upstream_id or ""),
        }
        return own.get(name) or (lambda run: self._given(name, getattr(run, name)))

    def _given(self, name: str, text: str | None) -> Markup:
        return self._value(name, text) if text else _NOTHING

    def _linked_value(self, name: str, text: str) -> Markup:
        return _VALUE.format(self._links.only(name, text), name, text)

    def _linked_agent(self, agent_id: str) -> Markup:
        name = self._links.asked.agents.get(agent_id, agent_id)
        return _AGENT.format(self._links.only("agent", agent_id), agent_id, agent_id, name)

    def _linked_tag(self, key: str, text: str) -> Markup:
        name = f"{grammar.TAG_PREFIX}{key}"
        return _TAG.format(self._links.only(name, text), name, key, text, key, text)

    def _tags(self, tags: Mapping[str, str]) -> Markup:
        whole = ", ".join(f"{key}:{text}" for key, text in tags.items())
        return _TAGS.format(whole, Markup("").join(self._tag(key, text) for key, text in tags.items()))

    def _linked_state(self, status: str) -> Markup:
        return _STATE.format(status, self._links.only("status", status))

    def _time(self, text: str | None) -> str:
        """Return the time of a row, whose text is that of the database."""
        moment = formats.instant(text)
        if moment is None:
            return ""
        local = formats.local(moment, self._zone)
        whole, shown = formats.full_time(local, self._zone), formats.clock_time(local, self._zone, self._now)
        return _TIME.format(escape(text or ""), escape(whole), shown)


def _aside(why: rows.Aside | None) -> str:
    return "" if why is None else _ASIDE.format(why.kind, why.text)


def _passage(found: snippets.Snippet) -> str:
    pieces = (_HIT.format(text) if is_hit else escape(text) for text, is_hit in rows.pieces(found))
    return _FOUND.format(Markup("".join(pieces)))


def _opening(column: columns.Column) -> str:
    number = " num" if column.is_number else ""
    return f'<td role="cell" class="{column.style}{number}">'


def _known(value: Any, form: Callable[[Any], str]) -> str:
    """Return a value as text, nothing for a missing one: a list has no dashes."""
    return "" if value is None else form(value)


def _tokens(run: run_lines.Line) -> int | None:
    if run.input_tokens is None or run.output_tokens is None:
        return None
    total: int = run.input_tokens + run.output_tokens
    return total
