"""The overview: what a range of time had, what is open now, and the health of the deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from receiver.pages import requests
from receiver.pages.overview import panels, period, tiles
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
    """Show the numbers and charts of a range, and where nothing was recorded yet what to do first."""
    asked, expression, fault = _asked(given)
    found = await given.read(lambda store: _read(store, asked, expression, given))
    if found is None:
        return given.page("overview_empty.html", may_submit=given.may(Scope.SUBMIT))
    return given.page("overview.html", **_values(given, asked, found), fault=fault)


def _asked(given: requests.PageRequest) -> tuple[period.Asked, grammar.Expression, errors.StorageError | None]:
    """Return the range and the filter; of one that cannot be understood the error, and the usual range."""
    usual = period.ask("", "", "", given.now, given.zone)
    try:
        since, start, end = (given.parameter(name) for name in ("since", "from", "to"))
        asked = period.ask(since, start, end, given.now, given.zone)
        return asked, grammar.parse(given.parameter("q"), given.now), None
    except (errors.BadFilter, errors.BadQuery) as fault:
        return usual, grammar.EVERYTHING, fault


def _read(
    store: Snapshot, asked: period.Asked, expression: grammar.Expression, given: requests.PageRequest
) -> Found | None:
    divided = period.divide(asked, given.zone)
    question = _question(divided, expression)
    is_long = asked.length > timedelta(days=2) and not question.has_rollups and expression == grammar.EVERYTHING
    if is_long and not store.read(timelines.fits, question):
        divided = period.divide(asked, given.zone, rounded=True)
        question = _question(divided, expression)
    found = store.read(timelines.read, question)
    if not found.periods and not store.read(open_runs.has_runs):
        return None
    low, high = divided.before()
    return Found(
        divided,
        found,
        store.read(timelines.sums, replace(question, low=low, high=high)),
        store.read(open_runs.read, given.now, LISTED),
        store.read(deliveries.rejections, _hour(divided.low), divided.high),
    )


def _question(divided: period.Period, expression: grammar.Expression) -> timelines.Question:
    return timelines.Question(divided.low, divided.high, divided.slot, expression)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _values(given: requests.PageRequest, asked: period.Asked, found: Found) -> dict[str, Any]:
    divided, timeline = found.period, found.timeline
    link = _Links(given, divided)
    rejected = panels.by_cause(found.rejected, given.url("/deliveries", {"verdict": "rejected"}))
    return {
        "asked": asked,
        "period": divided,
        "presets": period.PRESETS,
        "q": given.parameter("q"),
        "preset": lambda since: given.url("/", {"q": given.parameter("q"), "since": since}),
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

    def __init__(self, given: requests.PageRequest, divided: period.Period) -> None:
        self._given = given
        self._whole = (divided.low, divided.high)

    def __call__(self, part: tuple[datetime, datetime] | bool | None, *terms: str) -> str:
        """Return an address; without a part of the range it is that of the whole, with False of any time."""
        spans = [] if part is False else [_created(*(self._whole if part is None or part is True else part))]
        text = self._given.parameter("q")
        grouped = f"({text})" if " OR " in text else text
        return self._given.url("/runs", {"q": " ".join(filter(None, (*terms, grouped, *spans)))})


def _created(low: datetime, high: datetime) -> str:
    """Return the term for runs created from `low` up to, but not including, `high`."""
    last = high - timedelta.resolution
    return f"created:{_spelled(low)}..{_spelled(last)}"


def _spelled(moment: datetime) -> str:
    text = moment.isoformat().replace("+00:00", "Z")
    return text.replace(":00Z", "Z") if moment.second == 0 and moment.microsecond == 0 else text
