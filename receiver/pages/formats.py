"""Values as people read them: numbers, money, durations, sizes, instants. A missing value is a dash."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

#: The text in place of a missing value.
NONE = "–"
_UTC = ZoneInfo("UTC")
#: The months by their numbers. A list formats a hundred instants, and strftime takes ten times as long.
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIZES = ("B", "kB", "MB", "GB", "TB")


def count(value: int | None) -> str:
    """Return a number with separators.

    >>> count(412806), count(None)
    ('412,806', '–')
    """
    return NONE if value is None else f"{value:,}"


def short_count(value: int | None) -> str:
    """Return a large number with a unit, of three digits at least.

    >>> short_count(950), short_count(81_240_000), short_count(412_806), short_count(999_950)
    ('950', '81.2 M', '413 k', '1.0 M')
    """
    if value is None:
        return NONE
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= size * 0.9995:  # what rounds to 1,000 is one of the next unit
            short = value / size
            return f"{short:.1f} {unit}" if abs(short) < 99.95 else f"{short:.0f} {unit}"
    return str(value)


def money(micros: int | None) -> str:
    """Return micro-dollars as dollars, with two digits, or more for less than a cent.

    >>> money(1_680_000), money(386_400_000), money(1_250), money(0)
    ('$1.68', '$386.40', '$0.0013', '$0.00')
    """
    if micros is None:
        return NONE
    return f"${micros / 1e6:,.2f}" if micros == 0 or abs(micros) >= 10_000 else f"${micros / 1e6:.4f}"


def duration(ms: int | float | None) -> str:
    """Return milliseconds in the two largest units.

    >>> duration(34_000), duration(222_400), duration(850), duration(1_300), duration(53_460_000)
    ('34s', '3m 42s', '850ms', '1.3s', '14h 51m')
    """
    if ms is None:
        return NONE
    if abs(ms) < 1000:
        return f"{ms:.0f}ms"
    seconds = round(ms / 1000)
    if seconds < 10 and ms % 1000:
        return f"{ms / 1000:.1f}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes == 0:
        return f"{seconds}s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes}m {seconds:02}s"
    days, hours = divmod(hours, 24)
    return f"{hours}h {minutes:02}m" if days == 0 else f"{days}d {hours:02}h"


def short_duration(ms: int | float) -> str:
    """Return a round time as an axis names it.

    >>> short_duration(300_000), short_duration(7_200_000), short_duration(172_800_000), short_duration(90_000)
    ('5m', '2h', '2d', '1m 30s')
    """
    return duration(ms).removesuffix(" 00s").removesuffix(" 00m").removesuffix(" 00h")


def size(value: int | None) -> str:
    """Return bytes with a unit.

    >>> size(512), size(3_400_000), size(12_345)
    ('512 B', '3.4 MB', '12 kB')
    """
    if value is None:
        return NONE
    scaled, unit = float(value), _SIZES[0]
    for unit in _SIZES:
        if scaled < 1000 or unit == _SIZES[-1]:
            break
        scaled /= 1000
    return f"{scaled:.1f} {unit}" if unit != "B" and scaled < 10 else f"{scaled:.0f} {unit}"


def percent(part: float, whole: float) -> str:
    """Return a part of a whole in per cent, as an attribute of SVG takes it."""
    return f"{100 * part / whole:.3f}".rstrip("0").rstrip(".") + "%" if whole else "0%"


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> plural(1, "run"), plural(1412, "run"), plural(0, "delivery", "deliveries")
    ('1 run', '1,412 runs', '0 deliveries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def shortened(text: str, most: int) -> str:
    """Return a text, or its beginning with an ellipsis.

    >>> shortened("lease", 5), shortened("leases", 5)
    ('lease', 'leas…')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def instant(value: datetime | str | None) -> datetime | None:
    """Return an instant that a row holds as such or as RFC 3339 text."""
    if isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC) if value else None
    return value


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return an instant in a zone; one at the ends of the calendar stays in UTC, since it has no time there."""
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


def moment_of_form(text: str, zone: ZoneInfo) -> datetime:
    """Return a time in ISO 8601 as an instant in UTC; without a zone it is one of the reader's. Raises ValueError.

    >>> moment_of_form("2026-11-29T10:00", ZoneInfo("Europe/Berlin"))
    datetime.datetime(2026, 11, 29, 9, 0, tzinfo=datetime.timezone.utc)
    """
    given = datetime.fromisoformat(text.strip())
    try:
        return (given if given.tzinfo else given.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text} is beyond what can be said in UTC") from None


def clock_time(value: datetime | str | None, zone: ZoneInfo, now: datetime) -> str:
    """Return the time of day, with the day before it where that is not today's."""
    moment = instant(value)
    if moment is None:
        return NONE
    shown, today = local(moment, zone), now.astimezone(zone)
    if shown.date() == today.date():
        return _time_of_day(shown)
    year = "" if shown.year == today.year else f" {shown.year}"
    return f"{shown.day} {_MONTHS[shown.month]}{year} {shown.hour:02}:{shown.minute:02}"


def exact_time(value: datetime | str | None, zone: ZoneInfo, now: datetime) -> str:
    """Return the time of day with milliseconds, with the day before it where that is not today's."""
    moment = instant(value)
    if moment is None:
        return NONE
    shown = local(moment, zone)
    day = "" if shown.date() == now.astimezone(zone).date() else f"{shown.day} {shown:%b} "
    return f"{day}{shown:%H:%M:%S}.{shown.microsecond // 1000:03}"


def full_time(value: datetime | str | None, zone: ZoneInfo) -> str:
    """Return day, time and zone, as `29 Nov 2026 02:14:07 UTC`."""
    moment = instant(value)
    if moment is None:
        return NONE
    shown = local(moment, zone)
    return f"{shown.day} {_MONTHS[shown.month]} {shown.year} {_time_of_day(shown)} {shown.tzname()}"


def _time_of_day(moment: datetime) -> str:
    return f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}"


def ago(value: datetime | str | None, now: datetime) -> str:
    """Return how long ago an instant is, or how far ahead.

    >>> at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    >>> ago(at, at.replace(hour=14)), ago(at.replace(minute=5), at)
    ('2h 00m ago', 'in 5m 00s')
    """
    moment = instant(value)
    if moment is None:
        return NONE
    seconds = round((now - moment).total_seconds())
    if -1 <= seconds <= 1:
        return "just now"
    return f"{duration(seconds * 1000)} ago" if seconds > 0 else f"in {duration(-seconds * 1000)}"


def machine_time(value: datetime | str | None) -> str:
    """Return an instant as the `datetime` of a `time` element."""
    moment = instant(value)
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds")


def capitalize_first(text: str) -> str:
    """Return a text that begins with a capital letter, as a sentence does."""
    return f"{text[:1].upper()}{text[1:]}"


def without(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the parameters of an address without one of them."""
    return {key: value for key, value in parameters.items() if key != name}


def with_parameter(parameters: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return the parameters of an address with one more, or another value of it."""
    return {**parameters, name: value}


@functools.lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of this name, UTC for any other text."""
    try:
        return ZoneInfo(name) if name and len(name) <= 64 else _UTC
    except (ValueError, OSError, KeyError):  # an unknown name is a KeyError, a folder's name an OSError
        return _UTC


#: The filters of templates.
FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": count,
    "short_count": short_count,
    "money": money,
    "duration": duration,
    "short_duration": short_duration,
    "size": size,
    "percent": percent,
    "plural": plural,
    "clock_time": clock_time,
    "exact_time": exact_time,
    "full_time": full_time,
    "ago": ago,
    "machine_time": machine_time,
    "capitalize_first": capitalize_first,
    "without": without,
    "set": with_parameter,
}
