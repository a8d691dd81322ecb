"""Parsing of filter values: amounts, instants, and ranges of them. Pure.

Values: `v`, `>v`, `>=v`, `<v`, `<=v`, `a..b`. Costs are dollars, durations carry a unit (`90s`, `2m`, `1.5h`,
`250ms`; a bare number is seconds), instants are RFC 3339, a date, or an age (`-7d`, `-12h`), counts take `k` and
`M`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from storage import errors

_RANGE = re.compile(r"(>=|<=|>|<)?\s*(.+)", re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DAY = timedelta(days=1) - timedelta.resolution
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_THOUSANDS = {"": 1, "k": 1000, "m": 1_000_000}
_COUNT = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kKmM]?)", re.ASCII)
_AMOUNT = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a value; None is open. `low` is inclusive unless `above`, `high` inclusive unless `below`."""

    low: Any = None
    high: Any = None
    excludes_low: bool = False
    excludes_high: bool = False


def instants(name: str, text: str, now: datetime) -> Range:
    """Return a range of instants; a bare date is that whole day, a bare age all time since. Raise BadFilter."""
    if text.strip().startswith("-") and ".." not in text:
        return Range(low=_instant(name, text.strip(), now))

    def read(value: str) -> Range:
        first, is_day = _instant(name, value.strip(), now), _DATE.fullmatch(value.strip())
        return Range(first, first + _DAY if is_day else first)

    return _range(name, text, read)


def moment(name: str, text: str, now: datetime) -> datetime:
    """Return one instant; a date is its first moment, an age (`30d`) lies that far back. Raise BadFilter."""
    given = text.strip()
    age = _AMOUNT.fullmatch(given)
    return _instant(name, f"-{given}" if age is not None and age[2] else given, now)


def micros(name: str, text: str) -> Range:
    """Return a range of costs: dollars in, micro-dollars out. Raise BadFilter."""
    return _range(name, text.replace("$", ""), lambda value: _point(_dollars(name, value)))


def milliseconds(name: str, text: str) -> Range:
    """Return a range of durations in milliseconds. Raise BadFilter."""
    return _range(name, text, lambda value: _point(int(_seconds(name, value) * 1000)))


def counts(name: str, text: str) -> Range:
    """Return a range of whole numbers; `10k` is 10,000. Raise BadFilter."""
    return _range(name, text, lambda value: _point(_count(name, value)))


def _range(name: str, text: str, read: Callable[[str], Range]) -> Range:
    """Return the range of `text`, where `read` returns the range of each value in it: a day has two ends."""
    if ".." in text:
        low, _, high = text.partition("..")
        if not (low.strip() or high.strip()):
            raise errors.BadFilter(name, "has neither end; write a..b, a.. or ..b")
        return Range(read(low).low if low.strip() else None, read(high).high if high.strip() else None)
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        raise errors.BadFilter(name, "is empty; write v, >v, >=v, <v, <=v or a..b")
    value = read(found[2])
    of_sign = {
        ">": Range(low=value.high, excludes_low=True),
        ">=": Range(low=value.low),
        "<": Range(high=value.low, excludes_high=True),
        "<=": Range(high=value.high),
    }
    return of_sign.get(found[1], value)


def _point(value: int) -> Range:
    return Range(value, value)


def _instant(name: str, text: str, now: datetime) -> datetime:
    if text.startswith("-"):
        seconds = float(_seconds(name, text[1:]))
        try:
            return now - timedelta(seconds=seconds)
        except OverflowError:
            raise errors.BadFilter(name, "is out of the calendar's range") from None
    try:
        # A plus sign that was not escaped in a query string arrives as a space.
        read = datetime.fromisoformat(text.strip().replace(" ", "+"))
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        expected = "write 2026-11-23, 2026-11-23T12:00:00Z or -7d"
        raise errors.BadFilter(name, f"{text[:40]!r} is not an instant; {expected}") from None


def _seconds(name: str, text: str) -> Decimal:
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or Decimal(found[1]) > 10**9:
        raise errors.BadFilter(name, f"{text[:40]!r} is not a duration; write 90s, 2m, 1.5h or 250ms")
    return Decimal(found[1]) * _SECONDS[found[2] or "s"]


def _count(name: str, text: str) -> int:
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        raise errors.BadFilter(name, f"{text[:40]!r} is not a number; write 10000 or 10k")
    return int(Decimal(found[1]) * _THOUSANDS[found[2].lower()])


def _dollars(name: str, text: str) -> int:
    try:
        amount = Decimal(text.strip())
        if amount.is_finite() and abs(amount) < 10**9:
            return int(amount * 1_000_000)
    except ArithmeticError:  # not a number, or one beyond the range of a decimal
        pass
    raise errors.BadFilter(name, f"{text[:40]!r} is not an amount of dollars; write 0.50")
