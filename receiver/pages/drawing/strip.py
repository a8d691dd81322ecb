"""The strip above a list: bars of runs over the whole time of a question, as positions for SVG. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from receiver.pages import formats
from storage.stats import found_runs

#: Pixels of the highest bar, and of the lowest one that is not empty.
HEIGHT, LEAST = 38.0, 2.5
#: The most labels of the axis.
MAX_TICKS = 8
#: Where the last label may stand: the zone follows it.
LAST_TICK = 0.9
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Mark:
    """One bar: its place in per cent, its pixels from above, and what it says. Failures are at its foot."""

    x: str
    width: str
    inner_x: str
    inner_width: str
    top: float
    height: float
    failed: float
    title: str
    when: str
    bar: found_runs.Bar
    address: str


@dataclass(frozen=True, slots=True)
class Strip:
    """The marks, the labels with their places in per cent, and the zone of the labels."""

    marks: Sequence[Mark]
    ticks: Sequence[tuple[str, str]]
    zone: str
    each: str


def draw(bars: Sequence[found_runs.Bar], zone: ZoneInfo, address: Callable[[datetime, datetime], str]) -> Strip:
    """Return the strip of bars; `address` is that of the runs between two instants."""
    most = max((each.runs for each in bars), default=0) or 1
    width = bars[0].end - bars[0].start
    marks = [_mark(bar, at, len(bars), most, zone, address) for at, bar in enumerate(bars)]
    step = -(-len(bars) // MAX_TICKS)
    ticks = [
        (
            formats.percent(at, len(bars)),
            _label(bars[at].start, bars[at - step].start if at else None, width, zone),
        )
        for at in range(0, len(bars), step)
        if at <= LAST_TICK * len(bars)
    ]
    return Strip(marks, ticks, bars[0].start.astimezone(zone).tzname() or zone.key, _name(width))


def _mark(
    bar: found_runs.Bar,
    at: int,
    number: int,
    most: int,
    zone: ZoneInfo,
    address: Callable[[datetime, datetime], str],
) -> Mark:
    height = max(HEIGHT * bar.runs / most, LEAST) if bar.runs else 0.0
    failed = min(max(height * bar.failed / bar.runs, LEAST), height) if bar.failed else 0.0
    when = _when(bar, zone)
    title = f"{when}: {formats.plural(bar.runs, 'run')}, {formats.count(bar.failed)} failed"
    inner = (formats.percent(at + 0.1, number), formats.percent(0.8, number))
    outer = (formats.percent(at, number), formats.percent(1, number))
    sizes = (round(HEIGHT - height, 1), round(height - failed, 1), round(failed, 1))
    return Mark(*outer, *inner, *sizes, title, when, bar, address(bar.start, bar.end))


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
