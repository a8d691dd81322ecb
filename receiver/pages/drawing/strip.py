"""The strip above a list: bars of runs over the whole time of a question, as positions for SVG. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from receiver.pages import formats
from receiver.pages.drawing import charts
from storage.stats import found_runs

#: Pixels of the highest bar.
HEIGHT = 38
#: The most labels of the axis.
MAX_TICKS = 8
#: Pixels of a character of a label, and of the plot on a phone and on the narrowest screen beside it.
_CHARACTER, _PHONE, _NARROW = 6.5, 330, 700
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Mark:
    """One bar and its description. Its column has the runs that failed, at its foot, and the others."""

    column: charts.Column
    title: str
    when: str
    bar: found_runs.Bar
    address: str


@dataclass(frozen=True, slots=True)
class Label:
    """A label of the axis and its place in per cent; one that is optional has no room on a phone."""

    x: str
    text: str
    is_optional: bool


@dataclass(frozen=True, slots=True)
class Strip:
    """The marks, the labels, the zone of the labels, and the time of each mark."""

    marks: Sequence[Mark]
    labels: Sequence[Label]
    zone: str
    each: str


def draw(bars: Sequence[found_runs.Bar], zone: ZoneInfo, address: Callable[[datetime, datetime], str]) -> Strip:
    """Return the strip of bars; `address` is that of the runs between two instants."""
    most = max((each.runs for each in bars), default=0) or 1
    width = bars[0].end - bars[0].start
    columns = charts.stacked([(bar.failed, bar.runs - bar.failed) for bar in bars], HEIGHT, most)
    marks = [_mark(bar, column, zone, address) for bar, column in zip(bars, columns, strict=True)]
    shown = bars[0].start.astimezone(zone).tzname() or zone.key
    return Strip(marks, _labels(bars, zone, shown), shown, _name(width))


def _mark(
    bar: found_runs.Bar, column: charts.Column, zone: ZoneInfo, address: Callable[[datetime, datetime], str]
) -> Mark:
    when = _when(bar, zone)
    title = f"{when}: {formats.plural(bar.runs, 'run')}, {formats.count(bar.failed)} failed"
    return Mark(column, title, when, bar, address(bar.start, bar.end))


def _labels(bars: Sequence[found_runs.Bar], zone: ZoneInfo, zone_name: str) -> list[Label]:
    """Return the labels that end before the name of the zone, which stands at the right end."""
    width, before, made = bars[0].end - bars[0].start, None, []
    for number, at in enumerate(charts.spaced(len(bars), MAX_TICKS)):
        text = _label(bars[at].start, before, width, zone)
        before = bars[at].start
        needed = _CHARACTER * (len(text) + len(zone_name) + 1)
        if at / len(bars) * _NARROW + needed <= _NARROW:
            is_optional = number % 2 == 1 or at / len(bars) * _PHONE + needed > _PHONE
            made.append(Label(formats.percent(at, len(bars)), text, is_optional))
    return made


def _when(bar: found_runs.Bar, zone: ZoneInfo) -> str:
    start, width = bar.start.astimezone(zone), bar.end - bar.start
    if width < _DAY:
        return f"{start:%-d %b %H:%M} to {bar.end.astimezone(zone):%H:%M %Z}"
    last = bar.end.astimezone(zone) - timedelta(seconds=1)
    return f"{start:%-d %b %Y}" if width == _DAY else f"{start:%-d %b} to {last:%-d %b %Y}"


def _label(start: datetime, before: datetime | None, width: timedelta, zone: ZoneInfo) -> str:
    local = start.astimezone(zone)
    if width >= _DAY:
        return f"{local:%-d %b}" if width < 20 * _DAY else f"{local:%b %Y}"
    is_new_day = before is None or before.astimezone(zone).date() != local.date()
    return f"{local:%-d %b %H:%M}" if is_new_day else f"{local:%H:%M}"


def _name(width: timedelta) -> str:
    if width < timedelta(hours=1):
        return formats.plural(int(width.total_seconds() // 60), "minute")
    return formats.plural(width.days, "day") if width.days else formats.plural(width.seconds // 3600, "hour")
