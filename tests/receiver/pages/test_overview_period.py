"""The parts of a time range: they cover it, in order, and there are not too many of them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.pages.overview import period
from receiver.pages.overview.period import Asked
from storage import errors
from storage.stats.timelines import Slot

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
ZONES = [
    ZoneInfo(each) for each in ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia")
]
INSTANTS = st.integers(1_100_000_000, 1_900_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(
    INSTANTS, st.integers(1, 4_000 * 86_400), st.sampled_from(ZONES), st.booleans(), st.sampled_from(["", "9d"])
)
def test_the_parts_cover_the_range_without_gaps(
    low: datetime, seconds: int, zone: ZoneInfo, rounded: bool, since: str
) -> None:
    asked = Asked(low, low + timedelta(seconds=seconds), since)
    divided = period.divide(asked, zone, rounded=rounded)
    parts = [divided.part(place) for place in range(len(divided.starts))]
    assert len(parts) <= 2 * period.MOST_DAYS
    assert parts[0][0] == divided.low
    assert parts[-1][1] == divided.high
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(parts))
    assert all(begin < end for begin, end in parts)
    assert [divided.place(begin) for begin, _ in parts] == list(range(len(parts)))


def test_parts_of_a_week_begin_at_midnight_of_the_zone_also_when_clocks_change() -> None:
    zone = ZoneInfo("America/New_York")
    asked = Asked(datetime(2026, 10, 30, 4, tzinfo=UTC), datetime(2026, 11, 4, 5, tzinfo=UTC), "")
    local = [start.astimezone(zone) for start in period.divide(asked, zone).starts]
    assert {each.hour for each in local} == {0, 6, 12, 18}
    assert (local[0].day, local[0].hour) == (30, 0)


def test_where_a_zone_is_no_whole_hours_from_utc_parts_of_hours_are_those_of_utc() -> None:
    asked = period.ask("7d", "", "", NOW, ZONES[2])
    assert period.divide(asked, ZONES[2]).zone.key == "UTC"
    assert period.divide(period.ask("24h", "", "", NOW, ZONES[2]), ZONES[2]).zone == ZONES[2]


@pytest.mark.parametrize(
    ("since", "slot", "count"), [("1h", Slot.MINUTE, 13), ("24h", Slot.HOUR, 25), ("30d", Slot.DAY, 30)]
)
def test_an_age_is_relative_and_one_of_many_days_ends_today(since: str, slot: Slot, count: int) -> None:
    divided = period.divide(period.ask(since, "", "", NOW, ZONES[1]), ZONES[1])
    assert (divided.slot, len(divided.starts)) == (slot, count)
    assert divided.low <= NOW <= divided.high


@pytest.mark.parametrize(
    ("since", "start", "end"),
    [("7x", "", ""), ("0h", "", ""), ("", "x", ""), ("", "2026-11-30", ""), ("", "9999-01-01", "")],
)
def test_a_range_that_means_nothing_is_refused(since: str, start: str, end: str) -> None:
    with pytest.raises(errors.BadFilter):
        period.ask(since, start, end, NOW, ZONES[0])
