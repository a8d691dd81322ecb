"""Fragments of the list of runs: the values of the runs found with their counts, and completion of the filter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from receiver.pages import formats, requests
from receiver.pages.run_list import completion, faults, question
from receiver.pages.run_parts import words
from receiver.web.authentication import Scope
from storage import errors
from storage.query import grammar, query_text
from storage.stats import facets

router = requests.Router()
#: The most values of a name that are shown: by default, and on request.
SHOWN, MOST = 6, 250
#: The newest runs whose values are suggested.
COMPLETED_OF = 2_000
TITLES = {"status": "State", "agent": "Agent", "settled_by": "Settled by", "model": "Model", "tool": "Tool"}


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its number of runs, its part of the commonest one in per cent, and whether it was chosen.

    `name` is what people read: the name of an agent, else the text itself. `note` explains the text.
    """

    text: str
    name: str
    note: str
    count: int
    share: str
    is_chosen: bool
    is_excluded: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The values of a name. `more` further ones are not shown; `newest` as in facets."""

    name: str
    title: str
    values: list[Value]
    more: int
    newest: int | None


@router.page("GET", "/runs/facets", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """Count the values of what a filter finds: a fragment of the list, or a page of its own."""
    asked, fault = faults.understood(given)
    links = question.Links(given, asked)
    whole = given.parameter("all")
    values: dict[str, Any] = {"links": links, "asked": asked, "fault": fault, "groups": []}
    try:
        names = facets.NAMES if whole == "tool" else facets.QUICK_NAMES
        relaxed = _relaxed(given, asked)
        found = await given.read(
            lambda store: store.read(facets.find, asked.expression, relaxed, facets.MAX_COUNTED, names)
        )
    except errors.StatementTimeout:
        return given.partial("runs_slow.html", "slow", **values) if given.is_partial else _too_slow(links, given)
    values["groups"] = [_group(each, asked, whole) for each in found]
    values["has_tools"] = any(each.name == "tool" for each in found)
    if given.is_partial:
        return given.partial("runs_facets.html", "facets", **values)
    return given.page("runs_facets.html", **values)


def _too_slow(links: question.Links, given: requests.PageRequest) -> Response:
    return given.redirect(links.change(), "Counting the values took longer than two seconds.")


def _relaxed(given: requests.PageRequest, asked: question.Asked) -> dict[str, Any]:
    """Return the question without each name that it restricts, by name."""
    names = {each.name for each in asked.terms if each.name}
    return {
        name: question.understand(
            replace(asked.question, text=query_text.joined(query_text.without(asked.terms, name))), given.now
        ).expression
        for name in sorted(names)
    }


def _group(facet: facets.Facet, asked: question.Asked, whole: str) -> Group:
    chosen = query_text.chosen(asked.terms, facet.name)
    excluded = query_text.excluded(asked.terms, facet.name)
    counts = dict(facet.values)
    # A value that the question names stays in sight, whatever its number.
    named = [each for each in dict.fromkeys([*chosen, *excluded]) if each not in list(counts)[:SHOWN]]
    size = MOST if facet.name in (whole, "status") else SHOWN
    texts = [*list(counts)[:size], *(each for each in named if each not in list(counts)[:size])]
    most = max(counts.values(), default=1)
    values = [
        Value(
            each,
            asked.agents.get(each, each) if facet.name == "agent" else each,
            f"{each}: {words.source(each)}" if facet.name == "settled_by" else each,
            counts.get(each, 0),
            f"{100 * counts.get(each, 0) / most:.1f}%",
            each in chosen,
            each in excluded,
        )
        for each in texts
    ]
    more = max(len(counts) - size, 0)
    return Group(facet.name, TITLES.get(facet.name, facet.name), values, more, facet.newest)


@router.page("GET", "/runs/complete", Scope.READ)
async def complete(given: requests.PageRequest) -> Response:
    """Suggest names, and values of the name before the cursor."""
    text = given.parameter("q")[: grammar.MAX_LENGTH]
    digits = given.parameter("at")
    at = min(int(digits), len(text)) if digits.isdecimal() and len(digits) < 6 else len(text)
    where = completion.place(text, at)
    closed = completion.values(where.name)
    if closed is not None:
        found = completion.suggestions(text, where, [(each, "") for each in closed])
    else:
        names = [where.name]
        counted = await given.read(
            lambda store: store.read(facets.find, grammar.EVERYTHING, {}, COMPLETED_OF, names)
        )
        known = {each.name: each.values for each in counted}
        if where.name:
            stored = [(value, formats.plural(number, "run")) for value, number in known.get(where.name, ())]
            if where.name == "agent":
                stored = completion.agents(stored, given.agents)
            found = completion.suggestions(text, where, stored)
        else:
            tags = [name.removeprefix(grammar.TAG_PREFIX) for name in known if grammar.is_tag(name)]
            found = (
                completion.suggestions(text, where, completion.names(tags), is_name=True) if where.typed else []
            )
    return given.partial("runs_complete.html", "complete", found=found)
