"""The time range of the overview, as its address spells it, and the parts of it that charts show. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from receiver.pages import formats
from storage import errors
from storage.query import value_ranges
from storage.stats.timelines import Slot

#: The ranges that can be chosen by name.
PRESETS = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days"}
USUAL = "24h"
#: The most parts that a chart of days has.
MOST_DAYS = 92
#: The first year of a range: nothing was recorded before it, and days are counted from there.
FIRST_YEAR, LAST_YEAR = 2000, 2200
_MINUTES, _HOUR, _HOURS, _DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(hours=6), timedelta(days=1)
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Asked:
    """A range as it was asked for: an age, or two instants."""

    low: datetime
    high: datetime
    since: str

    @property
    def length(self) -> timedelta:
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Period:
    """A range and its parts. `starts` are the beginnings of the parts, `zone` that in which they begin.

    `unit` names a part.
    """

    low: datetime
    high: datetime
    slot: Slot
    starts: Sequence[datetime]
    zone: ZoneInfo
    unit: str

    def place(self, moment: datetime) -> int:
        """Return which part an instant is in."""
        return max(bisect_right(self.starts, moment) - 1, 0)

    def part(self, place: int) -> tuple[datetime, datetime]:
        """Return the beginning and the end of a part."""
        end = self.starts[place + 1] if place + 1 < len(self.starts) else self.high
        return max(self.starts[place], self.low), end

    def before(self) -> tuple[datetime, datetime]:
        """Return the range of the same length before this one."""
        return self.low - (self.high - self.low), self.low


def ask(since: str, start: str, end: str, now: datetime, zone: ZoneInfo) -> Asked:
    """Return the range that an address names. Raises BadFilter.

    A time without a zone is one of the reader's zone, as forms send it.
    """
    if start or end:
        high = _moment(end, zone, now) if end else now
        low = _moment(start, zone, now) if start else high - _DAY
        if not low < high:
            raise errors.BadFilter("to", "must be later than from")
        return Asked(low, high, "")
    low = value_ranges.moment("since", since or USUAL, now)
    if low.year < FIRST_YEAR or low >= now:
        raise errors.BadFilter("since", "is an age such as 12h or 7d, and lies in the past")
    return Asked(low, now, since or USUAL)


def _moment(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    try:
        found = formats.moment_of_form(text.strip().replace(" ", "+"), zone)
    except ValueError:
        found = value_ranges.moment("from and to", text, now)
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise errors.BadFilter("from and to", f"lie between {FIRST_YEAR} and {LAST_YEAR}")
    return found


def divide(asked: Asked, zone: ZoneInfo, *, rounded: bool = False) -> Period:
    """Return the range in parts: minutes, hours, or days in UTC.

    Rollups have whole days in UTC alone: an age of many days is one of whole days, and any range that is
    `rounded`. Parts of hours begin in the zone only where it is whole hours from UTC.
    """
    if rounded or (asked.length > 8 * _DAY and asked.since):
        return _whole_days(asked)
    if asked.length > 8 * _DAY:
        return _days(asked.low, asked.high)
    if asked.length <= 2 * _HOUR:
        return Period(asked.low, asked.high, Slot.MINUTE, _every(asked, _MINUTES, _UTC), zone, "5 minutes")
    if asked.length <= 2 * _DAY:
        return Period(asked.low, asked.high, Slot.HOUR, _every(asked, _HOUR, _UTC), zone, "hour")
    is_whole = not (asked.low.astimezone(zone).utcoffset() or timedelta()) % _HOUR
    shown = zone if is_whole else _UTC
    return Period(asked.low, asked.high, Slot.HOUR, _every(asked, _HOURS, shown), shown, "6 hours")


def _every(asked: Asked, step: timedelta, zone: ZoneInfo) -> list[datetime]:
    """Return the multiples of a step since midnight in a zone, from the one at or before the range on."""
    local = asked.low.astimezone(zone).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    at, starts = midnight + (local - midnight) // step * step, []
    while (start := at.replace(tzinfo=zone).astimezone(UTC)) < asked.high:
        starts.append(start)
        at += step
    return starts or [asked.low]


def _whole_days(asked: Asked) -> Period:
    last = _midnight(asked.high - timedelta.resolution)
    low = _midnight(asked.low) + _DAY * bool(asked.since)  # today is the last of so many days
    return _days(min(low, last), last + _DAY)


def _days(low: datetime, high: datetime) -> Period:
    first = _midnight(low)
    days = (_midnight(high - timedelta.resolution) - first).days + 1
    step = -(-days // MOST_DAYS)
    starts = [first + _DAY * n for n in range(0, days, step)]
    return Period(low, high, Slot.DAY, starts, _UTC, "day" if step == 1 else f"{step} days")


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
