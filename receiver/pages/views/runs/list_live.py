"""The stream of changes that a list of runs follows."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from receiver.pages import requests, streamed
from receiver.pages.run_list import cells, columns, faults, live, question
from receiver.streams import subscribers
from receiver.web.authentication import Scope
from storage.ledger import entries
from storage.query import change_feed, run_lines

router = requests.Router()
#: The greatest key of a run.
MAX_KEY = 10**10 - 1


@router.page("GET", "/runs/live", Scope.READ)
async def follow(given: requests.PageRequest) -> Response:
    """Stream the rows that change, and the number of new runs."""
    asked, _ = faults.understood(given)
    api = given.context.api
    is_first = bool(given.parameter("first")) and asked.question.sort == question.NEWEST and not asked.until
    shown = live.Shown(_key(given, "low"), _key(given, "high"), is_first)
    selection = subscribers.Subscription("pages", lambda: change_feed.ChangeSelection(runs_only=True))
    number = _after(given)
    if number is None:
        number = await given.database.read(entries.last_number)
    subscriber = await api.feed.subscribe(given.database, number, selection, api.timing, api.stopping)
    source = live.Rows(
        subscriber,
        given.database,
        shown,
        lambda: question.understand(asked.question, api.clock()).expression,
        lambda lines, new: _markup(given, asked, lines, new),
    )
    return streamed.events(given, source)


def _key(given: requests.PageRequest, name: str) -> int:
    return requests.number(given.parameter(name, "0"), most=MAX_KEY)


def _after(given: requests.PageRequest) -> int | None:
    """Return the number of the last change that the browser has, or that the list showed."""
    text = given.headers.get("last-event-id") or given.parameter("after")
    return int(text) if text.isascii() and text.removeprefix("-").isdecimal() and len(text) <= 15 else None


def _markup(
    given: requests.PageRequest, asked: question.Asked, lines: Sequence[run_lines.Line], new: int | None
) -> str:
    now, links = given.context.api.clock(), question.Links(given, asked)
    names = question.column_names(given, asked.question)
    return given.block(
        "runs_changes.html",
        "changes",
        lines=lines,
        new=new,
        most=live.MAX_NEW,
        links=links,
        cells=cells.Cells(links, columns.of(names), given.zone, now),
    )
