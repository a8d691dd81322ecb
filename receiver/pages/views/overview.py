"""The overview: the runs of a time range, the open ones, and the health of the deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from receiver.pages import requests
from receiver.pages.overview import panels, period, tiles
from receiver.pages.run_list import faults, question
from receiver.web.authentication import Scope
from storage import errors
from storage.engine.database import Snapshot
from storage.query import grammar, open_runs
from storage.repositories import deliveries
from storage.stats import timelines

router = requests.Router()
#: Overdue runs that are listed.
LISTED = 6
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Found:
    """What was read for a page."""

    period: period.Period
    timeline: timelines.Timeline
    before: timelines.Sums | None
    now_open: open_runs.OpenRuns
    rejected: Mapping[str, int]


@router.page("GET", "/", Scope.READ)
async def show(given: requests.PageRequest) -> Response:
    """Show the numbers and charts of a range, or the first steps where nothing is recorded yet."""
    asked, filtered, fault = _asked(given)
    links = question.Links(given, filtered, "/")
    if fault is None and len([name for name, _ in given.parameters if name == "q"]) > 1:
        return given.redirect(links.change())
    draft = fault.text if fault else given.parameter("draft")
    box = {"filtered": filtered, "links": links, "fault": fault, "q": filtered.text, "draft": draft}
    expression = grammar.all_of(*(each.expression for each in filtered.terms))
    try:
        found = await given.read(lambda store: _read(store, asked, expression, given))
    except errors.StatementTimeout:
        head = _head(given, asked, period.divide(asked, given.zone), filtered.text)
        return given.page("overview.html", **head, **box, is_slow=True)
    if found is None:
        return given.page("overview_empty.html", may_submit=given.may(Scope.SUBMIT))
    return given.page("overview.html", **_values(given, asked, found, filtered.text), **box, is_slow=False)


def _asked(given: requests.PageRequest) -> tuple[period.Asked, question.Asked, faults.Fault | None]:
    """Return the range, the filter, and the fault of either; the default range replaces an invalid one."""
    filtered, fault = faults.understood(given, path="/")
    try:
        since, start, end = (given.parameter(name) for name in ("since", "from", "to"))
        return period.ask(since, start, end, given.now, given.zone), filtered, fault
    except errors.BadFilter as wrong:
        usual = period.ask("", "", "", given.now, given.zone)
        return usual, filtered, fault or faults.of(given.url, filtered, wrong, "/")


def _read(
    store: Snapshot, asked: period.Asked, expression: grammar.Expression, given: requests.PageRequest
) -> Found | None:
    divided = period.divide(asked, given.zone)
    wanted = _question(divided, expression)
    is_long = asked.length > timedelta(days=2) and not wanted.has_rollups and expression == grammar.EVERYTHING
    if is_long and not store.read(timelines.fits, wanted):
        divided = period.divide(asked, given.zone, rounded=True)
        wanted = _question(divided, expression)
    found = store.read(timelines.read, wanted)
    if not found.periods and not store.read(open_runs.has_runs):
        return None
    low, high = divided.before()
    return Found(
        divided,
        found,
        store.read(timelines.sums, replace(wanted, low=low, high=high)),
        store.read(open_runs.read, given.now, LISTED),
        store.read(deliveries.rejections, _hour(divided.low), divided.high),
    )


def _question(divided: period.Period, expression: grammar.Expression) -> timelines.Question:
    return timelines.Question(divided.low, divided.high, divided.slot, expression)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _head(given: requests.PageRequest, asked: period.Asked, divided: period.Period, text: str) -> dict[str, Any]:
    """Return the values of the head of the page: the range and the filter."""
    return {
        "asked": asked,
        "period": divided,
        "presets": period.PRESETS,
        "preset": lambda since: given.url("/", {"q": text, "since": since}),
    }


def _values(given: requests.PageRequest, asked: period.Asked, found: Found, text: str) -> dict[str, Any]:
    divided, timeline = found.period, found.timeline
    link = _Links(given, divided, text)
    rejected = panels.by_cause(found.rejected, given.url("/deliveries", {"verdict": "rejected"}))
    return {
        **_head(given, asked, divided, text),
        "tiles": tiles.tiles(divided, timeline, found.before, found.now_open, link, given.now),
        "states": panels.by_state(divided, timeline, link),
        "durations": panels.durations(divided, timeline, link),
        "delays": panels.delays(timeline, link),
        "agents": panels.by_cost(timeline.agents, "agent", link, given.agents),
        "models": panels.by_cost(timeline.models, "model", link),
        "reasons": panels.by_reason(timeline.reasons, link),
        "recovered": panels.recovered(divided, timeline, link),
        "rejected": rejected,
        "rejected_total": sum(found.rejected.values()),
        "now_open": found.now_open,
        "window": timeline.window,
        "spent_window": timeline.spent_window,
        "length": panels.since_text(divided.high - divided.low),
        "percents": panels.PERCENTS,
        "groups": panels.GROUPS,
        "link": link,
    }


class _Links:
    """Addresses of the runs behind a number: the filter of the page, its range or a part, and further terms."""

    def __init__(self, given: requests.PageRequest, divided: period.Period, text: str) -> None:
        self._given = given
        self._text = text
        self._whole = (divided.low, divided.high)

    def __call__(self, part: tuple[datetime, datetime] | bool | None, *terms: str) -> str:
        """Return an address; without a part of the range it is that of the whole, with False of any time."""
        spans = [] if part is False else [_created(*(self._whole if part is None or part is True else part))]
        return self._given.url("/runs", {"q": " ".join(filter(None, (*terms, self._text, *spans)))})


def _created(low: datetime, high: datetime) -> str:
    """Return the term for runs created from `low` up to, but not including, `high`."""
    last = high - timedelta.resolution
    return f"created:{_spelled(low)}..{_spelled(last)}"


def _spelled(moment: datetime) -> str:
    text = moment.isoformat().replace("+00:00", "Z")
    return text.replace(":00Z", "Z") if moment.second == 0 and moment.microsecond == 0 else text
