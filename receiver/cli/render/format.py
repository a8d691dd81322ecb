"""Numbers, times and texts for people. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

NONE = "–"

#: Characters that move a cursor, change colours, or turn the direction of a text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def dollars(micros: int | None) -> str:
    """Return micro-dollars as dollars, with four digits below a cent.

    >>> [dollars(micros) for micros in (430_000, 4_300, 0, 1_234_560_000, None)]
    ['$0.43', '$0.0043', '$0.00', '$1,234.56', '–']
    """
    if micros is None:
        return NONE
    return f"${micros / 1_000_000:,.{4 if 0 < abs(micros) < 10_000 else 2}f}"


def duration(milliseconds: int | None) -> str:
    """Return milliseconds in their two largest units.

    >>> [duration(ms) for ms in (850, 9_400, 130_000, 3_900_000, 180_000_000, None)]
    ['850ms', '9.4s', '2m 10s', '1h 05m', '2d 2h', '–']
    """
    if milliseconds is None:
        return NONE
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds = milliseconds // 1000
    if seconds < 60:
        return f"{milliseconds / 1000:.1f}s" if seconds < 10 else f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02}s"
    hours = seconds // 3600
    return f"{hours}h {seconds % 3600 // 60:02}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"


def age(at: datetime | None, now: datetime) -> str:
    """Return how long ago an instant was, or in how long it will be.

    >>> at = datetime(2026, 11, 23, tzinfo=UTC)
    >>> age(at, datetime(2026, 11, 23, 0, 2, 10, tzinfo=UTC)), age(at, at), age(None, at)
    ('2m 10s ago', 'now', '–')
    """
    return NONE if at is None else ago((now - at).total_seconds())


def ago(exactly: float) -> str:
    """Return how long ago so many seconds are."""
    seconds = round(exactly)
    if seconds == 0:
        return "now"
    spelled = duration(abs(seconds) * 1000).removesuffix(".0s")
    spelled = spelled if spelled[-1].isalpha() else spelled + "s"
    return f"{spelled} ago" if seconds > 0 else f"in {spelled}"


def instant(at: datetime | None) -> str:
    """Return an instant to the second, in UTC."""
    return NONE if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def moment(at: datetime | None) -> str:
    """Return an instant to the second without its year."""
    return instant(at)[5:] or NONE


def time(at: datetime) -> str:
    """Return the time of the day to the second, in UTC."""
    return instant(at)[11:-1]


def count(number: int | None) -> str:
    """Return a number with separators of thousands."""
    return NONE if number is None else f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun, in the singular for 1."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def tokens(*parts: int | None) -> str:
    """Return the sum of the numbers that are known."""
    known = [part for part in parts if part is not None]
    return count(sum(known)) if known else NONE


def size(octets: int) -> str:
    """Return bytes in their largest unit.

    >>> [size(octets) for octets in (0, 980, 12_160, 2_028_900, 3_400_000_000)]
    ['0 bytes', '980 bytes', '12 KB', '2.0 MB', '3.4 GB']
    """
    if octets < 1000:
        return f"{octets} bytes"
    if octets < 1_000_000:
        return f"{octets / 1000:.0f} KB"
    unit, name = (1_000_000, "MB") if octets < 1_000_000_000 else (1_000_000_000, "GB")
    return f"{octets / unit:.1f} {name}"


def bar(part: int, whole: int, width: int) -> str:
    """Return a share of `whole` as a bar of up to `width` cells, in eighths of a cell; at least one if not zero.

    >>> [bar(part, 8, 2) for part in (8, 4, 1, 0)], bar(1, 1000, 2), bar(0, 0, 2)
    (['██', '█', '▎', ''], '▏', '')
    """
    eighths = max(round(part * width * 8 / whole), 1) if part and whole else 0
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def safe(text: str | None) -> str:
    """Return a foreign text without characters that control a terminal."""
    return NONE if text is None else _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def line(text: str | None) -> str:
    """Return a foreign text in one line, without characters that control a terminal."""
    return NONE if text is None else safe(" ".join(text.split()))
