"""The charts of the overview: from the sums of a range to what its template draws. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from receiver.pages import formats
from receiver.pages.drawing import charts
from receiver.pages.overview.period import Period
from storage import states
from storage.stats.histogram import Histogram
from storage.stats.shares import Share
from storage.stats.timelines import Timeline

#: The groups of states in a column from the bottom up: name, colour, icon, and the states.
GROUPS = (
    ("failed", "failed", "failed", ("failed",)),
    ("refused", "refused", "refused", ("refused",)),
    ("lost", "lost", "lost", ("lost",)),
    ("cancelled", "cancelled", "cancelled", ("cancelled",)),
    ("completed", "quiet", "completed", ("completed",)),
    ("open", "running", "running", tuple(sorted({*states.LIVE} - {states.LOST}))),
)
PERCENTS = (50, 90, 99)
#: Rows of a panel with horizontal bars.
ROWS = 6
#: Characters of a failure reason of which a phrase is made, to find runs by.
_WORDS = 8
_HEIGHT, _LOW_HEIGHT, _LINE_HEIGHT = 200, 84, 128

#: Returns the address of the runs that match terms, in a range that is a part of the whole.
Link = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Bar:
    """A column of a chart with its address, its sentence, and its numbers for the table."""

    name: str
    column: charts.Column
    address: str
    title: str
    numbers: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of columns: the axis at the left, the names below, and what the parts of columns mean."""

    bars: Sequence[Bar]
    ticks: Sequence[charts.Tick]
    labels: Sequence[tuple[float, str]]
    height: int
    keys: Sequence[tuple[str, str, str, int, str]] = ()

    @property
    def total(self) -> int:
        return sum(each.numbers[0] for each in self.bars)


def names(period: Period) -> list[str]:
    """Return the name of each part, as its sentence begins."""
    is_day = period.unit.endswith(("day", "days"))
    form = "%-d %b" if is_day else "%-d %b %H:%M"
    return [f"{start.astimezone(period.zone):{form}}" for start in period.starts]


def labels(period: Period) -> list[tuple[float, str]]:
    """Return the positions and texts below a chart; a new day is named, then its hours."""
    count = len(period.starts)
    shown, day = [], ""
    for place in charts.spaced(count, 6):
        local = period.starts[place].astimezone(period.zone)
        today = f"{local:%-d %b}"
        text = today if today != day else f"{local:%H:%M}"
        if period.unit in {"hour", "5 minutes"} and place == 0:
            text = f"{local:%H:%M}" if (local.hour or local.minute) else today
        day = today
        shown.append((round(100 * place / count, 3), text))
    return [each for each in shown if each[0] <= 90]  # the zone stands at the right end


def by_state(period: Period, found: Timeline, link: Link) -> Bars:
    """Return the chart of runs by state over time."""
    counts = _columns(
        period, ((at, status, runs) for at, sums in found.periods.items() for status, runs in sums.states.items())
    )
    values = [[sum(column.get(each, 0) for each in group) for *_, group in GROUPS] for column in counts]
    ticks = charts.ticks(max(map(sum, values), default=0), _HEIGHT)
    columns = charts.stacked(values, _HEIGHT, ticks[-1].value)
    bars = [
        Bar(name, column, link(period.part(place)), _said(period, name, numbers), [sum(numbers), *numbers])
        for place, (name, column, numbers) in enumerate(zip(names(period), columns, values, strict=True))
    ]
    keys = [
        (name, colour, icon, sum(column[at] for column in values), link(None, f"status:{','.join(group)}"))
        for at, (name, colour, icon, group) in enumerate(GROUPS)
    ]
    return Bars(bars, ticks, labels(period), _HEIGHT, keys)


def _columns(period: Period, rows: Iterable[tuple[datetime, str, int]]) -> list[dict[str, int]]:
    """Return the counts of each part of the range by their key."""
    columns: list[dict[str, int]] = [{} for _ in period.starts]
    for at, key, runs in rows:
        column = columns[period.place(at)]
        column[key] = column.get(key, 0) + runs
    return columns


def _said(period: Period, name: str, numbers: Sequence[int]) -> str:
    parts = [f"{number:,} {each}" for number, (each, *_) in zip(numbers, GROUPS, strict=True) if number]
    return f"{name} {_zone(period)}: {formats.plural(sum(numbers), 'run')}{': ' * bool(parts)}{', '.join(parts)}"


def _zone(period: Period) -> str:
    return f"{period.low.astimezone(period.zone):%Z}"


def recovered(period: Period, found: Timeline, link: Link) -> Bars:
    """Return the chart of runs that the sweep settled, since no callback or event came."""
    rows = ((at, source, runs) for (at, source), runs in found.settled.items() if source == states.Source.SWEEP)
    values = [[column.get("sweep", 0)] for column in _columns(period, rows)]
    ticks = charts.ticks(max(map(sum, values), default=0), _LOW_HEIGHT, 2)
    columns = charts.stacked(values, _LOW_HEIGHT, ticks[-1].value)
    bars = [
        Bar(
            name,
            column,
            link(period.part(place), "settled_by:sweep"),
            f"{name} {_zone(period)}: {number:,} recovered",
            [number],
        )
        for place, (name, column, (number,)) in enumerate(zip(names(period), columns, values, strict=True))
    ]
    return Bars(bars, ticks, labels(period), _LOW_HEIGHT)


@dataclass(frozen=True, slots=True)
class Lines:
    """The chart of percentiles over time: a path for each, on a logarithmic scale."""

    paths: Sequence[tuple[int, str]]
    ends: Sequence[tuple[int, float, str]]
    ticks: Sequence[charts.Tick]
    bars: Sequence[Bar]
    labels: Sequence[tuple[float, str]]
    height: int


def durations(period: Period, found: Timeline, link: Link) -> Lines | None:
    """Return the chart of how long runs took; None where no run has a duration."""
    histograms = [Histogram() for _ in period.starts]
    for at, sums in found.periods.items():
        histograms[period.place(at)].merge(sums.durations)
    none: list[int | None] = [None] * len(PERCENTS)
    values: list[Sequence[int | None]] = [each.percentiles(PERCENTS) or none for each in histograms]
    known = [value for row in values for value in row if value is not None]
    if not known:
        return None
    scale = charts.log_scale(known)
    paths = [
        (percent, charts.path([row[at] for row in values], scale, 1000, _LINE_HEIGHT))
        for at, percent in enumerate(PERCENTS)
    ]
    ticks = [charts.Tick(value, round(_LINE_HEIGHT * (1 - scale.part(value)), 1)) for value in scale.times()]
    columns = charts.stacked([[0]] * len(values), _LINE_HEIGHT, 1)
    bars = [
        Bar(name, column, link(period.part(place)), _took(period, name, row), row)
        for place, (name, column, row) in enumerate(zip(names(period), columns, values, strict=True))
    ]
    whole = found.sums.durations.percentiles(PERCENTS) or [0] * len(PERCENTS)
    return Lines(paths, _ends(whole, scale), ticks, bars, labels(period), _LINE_HEIGHT)


def _ends(values: Sequence[int], scale: charts.LogScale) -> list[tuple[int, float, str]]:
    """Return the labels of the lines with the percentiles of the whole range, never closer than a line of text."""
    placed, lowest = [], float(_LINE_HEIGHT) + 14
    for percent, value in zip(PERCENTS, values, strict=True):
        at = min(_LINE_HEIGHT * (1 - scale.part(value)) + 4, lowest - 14)
        placed.append((percent, round(at, 1), formats.duration(value)))
        lowest = at
    return placed


def _took(period: Period, name: str, row: Sequence[int | None]) -> str:
    if row[0] is None:
        return f"{name} {_zone(period)}: no run ended"
    parts = (f"p{percent} {formats.duration(value)}" for percent, value in zip(PERCENTS, row, strict=True))
    return f"{name} {_zone(period)}: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Delay:
    """The time from the end of runs until its record here, of one source; positions are in per cent."""

    source: str
    address: str
    runs: int
    times: Sequence[int]
    places: Sequence[float]


@dataclass(frozen=True, slots=True)
class Delays:
    """The delays of all sources, on one logarithmic scale from `low` to `high` milliseconds."""

    rows: Sequence[Delay]
    low: float
    high: float


def delays(found: Timeline, link: Link) -> Delays | None:
    """Return the delay between the end of runs and its record, by source; None where nothing has settled."""
    times = {source: each.percentiles(PERCENTS) for source, each in found.delays.items()}
    known = {source: row for source, row in times.items() if row is not None}
    if not known:
        return None
    scale = charts.log_scale([value for row in known.values() for value in row])
    rows = [
        Delay(
            source.value,
            link(None, f"settled_by:{source.value}"),
            sum(found.delays[source].counts.values()),
            known[source],
            [100 * scale.part(value) for value in known[source]],
        )
        for source in states.Source
        if source in known
    ]
    return Delays(rows, scale.low, scale.high)


@dataclass(frozen=True, slots=True)
class Row:
    """A horizontal bar: its name, address, value as text, and its length in per cent of the longest.

    `title` explains the name.
    """

    name: str | None
    address: str
    value: str
    length: float
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The first rows of many, and how many more there are with what they sum to."""

    rows: Sequence[Row]
    more: int = 0
    rest: str = ""


def by_cost(shares: Sequence[Share], name: str, link: Link, names: Mapping[str, str] | None = None) -> Ranking:
    """Return the cost by agent or model, the most expensive first; `names` are those of agents by their ids."""
    most = max((each.cost_micros for each in shares), default=0) or 1
    rows = [
        Row(
            (names or {}).get(each.key or "", each.key),
            link(None, _term(name, each.key)),
            formats.money(each.cost_micros),
            _length(each.cost_micros, most),
            each.key,
        )
        for each in shares[:ROWS]
    ]
    rest = shares[ROWS:]
    return Ranking(rows, len(rest), formats.money(sum(each.cost_micros for each in rest)))


def _term(name: str, value: str | None) -> str:
    """Return the term of the filter language for one value, which may have any characters."""
    if value is None:
        return f"-has:{name}"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}:"{quoted}"'


def _length(value: float, most: float) -> float:
    return max(round(100 * value / most, 2), 0.6) if value > 0 else 0


def by_reason(shares: Sequence[Share], link: Link) -> Ranking:
    """Return why runs failed, the most frequent reason first. A link finds runs by words of the reason."""
    most = max((each.runs for each in shares), default=0) or 1
    rows = [
        Row(each.key, link(None, _with_reason(each.key)), formats.count(each.runs), _length(each.runs, most))
        for each in shares[:ROWS]
    ]
    rest = shares[ROWS:]
    return Ranking(rows, len(rest), formats.plural(sum(each.runs for each in rest), "run"))


def _with_reason(signature: str | None) -> str:
    """Return the terms for runs that failed with a reason: its longest stretch of words without a placeholder."""
    if signature is None:
        return "status:failed,refused -has:failure_reason"
    stretches = [each.split() for each in signature.replace('"', " ").replace("\\", " ").split("#")]
    words = max(stretches, key=len, default=[])[:_WORDS]
    has_words = any(any(character.isalnum() for character in word) for word in words)
    return f'has:failure_reason "{" ".join(words)}"' if has_words else "has:failure_reason"


def by_cause(counts: Mapping[str, int], address: str) -> Ranking:
    """Return the rejected requests by cause."""
    most = max(counts.values(), default=0) or 1
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    rows = [Row(cause, address, formats.count(count), _length(count, most)) for cause, count in ordered[:ROWS]]
    return Ranking(rows, len(ordered[ROWS:]), formats.count(sum(count for _, count in ordered[ROWS:])))


def since_text(length: timedelta) -> str:
    """Return a length in words.

    >>> since_text(timedelta(hours=24)), since_text(timedelta(days=7)), since_text(timedelta(minutes=90))
    ('24 hours', '7 days', '1h 30m')
    """
    hours = length / timedelta(hours=1)
    if hours == int(hours) and hours <= 48:
        return formats.plural(int(hours), "hour")
    if hours % 24 == 0:
        return formats.plural(int(hours // 24), "day")
    return formats.duration(length / timedelta(milliseconds=1))
