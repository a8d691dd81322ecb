"""The list of runs: its page, and the fragments that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from receiver.pages import formats, requests
from receiver.pages.drawing import strip
from receiver.pages.run_list import bulk, cells, columns, faults, question
from receiver.web.authentication import Scope
from storage import errors
from storage.actions import saved_views
from storage.engine.database import Snapshot
from storage.ledger import entries
from storage.query import grammar, query_text, run_pages
from storage.stats import found_runs

router = requests.Router()
_YEAR = 365 * 86400
#: The most terms for which the page shows how many runs match without them.
MAX_EXPLAINED = 6


@dataclass(frozen=True, slots=True)
class Listed:
    """What the list shows: a page of runs and, where the rollups have it, the summary of all runs found.

    `number` is that of the last change that it shows. Where nothing matches, `without` has how many runs match
    without each term, and `is_empty` says whether there are no runs at all.
    """

    page: run_pages.Page
    number: int
    summary: found_runs.Summary | None = None
    without: Sequence[tuple[int | None, run_pages.Count]] = ()
    is_empty: bool = False


@router.page("GET", "/runs", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """List the runs that a filter finds, a page of them, newest first."""
    asked, fault = faults.understood(given)
    if fault is None and not question.is_canonical(given, asked.question):
        return _canonical(given, asked)
    values: dict[str, Any] = _head(given, asked, fault) | {"listed": None, "is_slow": False}
    values |= await _views(given, asked)
    if fault is not None and not asked.question.text:
        return given.page("runs.html", **values)
    try:
        listed = await given.read(lambda store: _load(store, asked, given))
    except errors.StatementTimeout:
        return given.page("runs.html", **values | {"is_slow": True})
    except errors.BadCursor:
        first = question.Links(given, asked).change()
        return given.redirect(first, "That page does not exist any more. This is the first one.")
    except errors.BadFilter as unselective:
        return given.page("runs.html", **values | {"fault": faults.of(given.url, asked, unselective)})
    return given.page("runs.html", **values | _list_values(given, asked, listed))


def _load(store: Snapshot, asked: question.Asked, given: requests.PageRequest) -> Listed:
    number, page = store.read(entries.last_number), store.read(run_pages.find, asked.query())
    now, is_first = given.now, not asked.question.cursor
    summary = None
    if found_runs.is_rolled_up(asked.expression) or given.parameter("summary"):
        summary = store.read(found_runs.find, asked.expression, asked.times(now, given.zone), now)
    if page.runs or not is_first:
        return Listed(page, number, summary)
    if asked.expression == grammar.EVERYTHING:
        return Listed(page, number, summary, is_empty=True)
    return Listed(page, number, summary, _explained(store, asked, now))


def _explained(store: Snapshot, asked: question.Asked, now: datetime) -> list[tuple[int | None, run_pages.Count]]:
    """Return how many runs match without each term, and without the time (None), where that helps."""
    found: list[tuple[int | None, run_pages.Count]] = []
    span = asked.question.since or asked.question.start or asked.question.end
    everything = replace(asked.question, since="", start="", end="")
    if span:
        found.append((None, store.read(run_pages.count, question.understand(everything, now).expression)))
    for at in range(min(len(asked.terms), MAX_EXPLAINED)):
        kept = query_text.joined(each for number, each in enumerate(asked.terms) if number != at)
        expression = question.understand(replace(asked.question, text=kept), now).expression
        found.append((at, store.read(run_pages.count, expression)))
    return [each for each in found if each[1].count]


@router.page("GET", "/runs/summary", Scope.READ)
async def summarize(given: requests.PageRequest) -> Response:
    """Sum all runs that a filter finds, and chart them over time: a fragment of the list, or a page of its own."""
    asked, fault = faults.understood(given)
    links = question.Links(given, asked)
    if fault is not None:
        return given.redirect(links.change())
    try:
        found = await given.read(
            lambda store: store.read(
                found_runs.find, asked.expression, asked.times(given.now, given.zone), given.now
            )
        )
    except errors.StatementTimeout:
        if given.is_partial:
            return given.partial("runs_slow.html", "slow", links=links)
        return given.redirect(links.change(), "Counting took longer than two seconds. Give a shorter time.")
    values = {"summary": found, "strip": _strip(given, links, found), "links": links}
    if given.is_partial:
        return given.partial("runs_summary.html", "summary", **values)
    return given.page("runs_numbers.html", asked=asked, **values)


def _strip(given: requests.PageRequest, links: question.Links, found: found_runs.Summary) -> strip.Strip | None:
    if not found.totals.runs:
        return None

    is_accepted = found.time == "accepted"
    others = query_text.joined(query_text.without(links.asked.terms, "created"))
    near = links.change(since="", start="", end="") if is_accepted else links.text(others)
    near += "&" if "?" in near else "?"

    def address(start: datetime, end: datetime) -> str:
        if is_accepted:
            return f"{near}from={start:%FT%TZ}&to={end:%FT%TZ}"
        if start.time() != end.time() or start.time() != time():
            return f"{near}q=created:{start:%FT%TZ}..{end:%FT%TZ}"
        last = end - timedelta(days=1)
        return f"{near}q=created:{start:%F}" + (f"..{last:%F}" if last > start else "")

    return strip.draw(found.bars, given.zone, address)


def _canonical(given: requests.PageRequest, asked: question.Asked) -> Response:
    """Return a redirect to the canonical address of the question, and keep the columns that were chosen."""
    response = given.redirect(given.url("/runs", asked.question.parameters()))
    if given.parameter("keep"):
        given.set_cookie(response, columns.COOKIE, ",".join(columns.named(asked.question.columns or "")), _YEAR)
    return response


async def _views(given: requests.PageRequest, asked: question.Asked) -> dict[str, Any]:
    """Return the saved views, and the question that is shown as a view has it."""
    views = await given.read(lambda store: store.read(saved_views.visible_to, given.caller.name), quick=True)
    shown = asked.question.parameters(cursor="", columns=None)
    return {"saved_views": views, "view_question": urlencode({key: text for key, text in shown.items() if text})}


def _head(given: requests.PageRequest, asked: question.Asked, fault: faults.Fault | None) -> dict[str, Any]:
    """Return the values of the head of the page: the box, the chips, the menus."""
    names = question.column_names(given, asked.question)
    return {
        "asked": asked,
        "question": asked.question,
        "links": question.Links(given, asked),
        "fault": fault,
        "draft": fault.text if fault else given.parameter("draft"),
        "presets": question.PRESETS,
        "fields": question.fields(asked.question),
        "columns": columns.of(names),
        "all_columns": columns.COLUMNS,
        "chosen": names,
        "is_chosen": names != columns.DEFAULT,
        "local": question.local(given, asked),
    }


def _list_values(given: requests.PageRequest, asked: question.Asked, listed: Listed) -> dict[str, Any]:
    links, names = question.Links(given, asked), question.column_names(given, asked.question)
    summary = listed.summary
    return {
        "listed": listed,
        "place": _place(given, asked, listed),
        "summary": summary,
        "acts": bulk.permitted(given),
        "live": _live(given, asked, listed),
        "strip": None if summary is None else _strip(given, links, summary),
        "snippets": listed.page.snippets,
        "cells": cells.Cells(links, columns.of(names), given.zone, given.now),
    }


def _place(given: requests.PageRequest, asked: question.Asked, listed: Listed) -> tuple[int, int, str] | None:
    """Return the first and the last number of the runs of this page among those found, and how many these are.

    The address counts the runs of the pages before, so nothing is read for it; without that count it is unknown.
    """
    text, shown = given.parameter("before"), len(listed.page.runs)
    if asked.question.cursor and not (text.isascii() and text.isdecimal() and 0 < len(text) <= 9):
        return None
    before = int(text) if asked.question.cursor else 0
    found = listed.summary
    total = "" if found is None else f"{formats.count(found.totals.runs)}{'+' if found.window else ''}"
    whole = total if listed.page.cursor else formats.count(before + shown)
    return before + 1, before + shown, whole


def _live(given: requests.PageRequest, asked: question.Asked, listed: Listed) -> str:
    """Return the address of the stream of changes to the runs that the list shows."""
    keys = [each.seq for each in listed.page.runs]
    is_first = not asked.question.cursor
    shown = {"low": min(keys, default=0), "high": max(keys, default=0)} if keys else {}
    return question.Links(given, asked).at(
        "/runs/live", after=listed.number, **shown, first="1" if is_first else ""
    )
