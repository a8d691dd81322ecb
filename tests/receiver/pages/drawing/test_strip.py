"""The strip above a list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from receiver.pages.drawing import strip
from storage.stats import found_runs

#: The least pixels of a character, and the width of the plot on a phone.
CHARACTER, PHONE = 6, 330


def drawn(width: timedelta, zone: str, count: int = 24) -> strip.Strip:
    """Return the strip of bars of this width."""
    first = datetime(2026, 11, 23, tzinfo=UTC)
    bars = [found_runs.Bar(first + width * at, first + width * (at + 1), at, at // 3) for at in range(count)]
    return strip.draw(bars, ZoneInfo(zone), lambda start, end: f"{start:%FT%T}")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "Europe/Vienna"])
@pytest.mark.parametrize(
    "width", [timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=30)]
)
def test_no_label_reaches_the_next_one_or_the_zone_on_a_phone(width: timedelta, zone: str) -> None:
    found = drawn(width, zone)
    shown = [each for each in found.labels if not each.is_optional]
    starts = [float(each.x.rstrip("%")) * PHONE / 100 for each in shown]
    ends = [start + CHARACTER * len(each.text) for start, each in zip(starts, shown, strict=True)]
    assert shown
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] < PHONE - CHARACTER * len(found.zone)


def test_failed_runs_are_at_the_foot_of_a_bar_and_the_highest_bar_fills_the_strip() -> None:
    last = drawn(timedelta(hours=1), "UTC").marks[-1]
    failed, others = last.column.parts
    assert failed.y + failed.height == pytest.approx(strip.HEIGHT)
    assert others.y == pytest.approx(0, abs=0.1)
    assert "7 failed" in last.title
