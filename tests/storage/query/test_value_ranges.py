"""Values of ranges."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import errors
from storage.query import value_ranges
from storage.query.value_ranges import Range
from tests import life

DAY = datetime(2026, 11, 20, tzinfo=UTC)
END_OF_DAY = datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.50", Range(500_000, 500_000)),
        ("$1", Range(1_000_000, 1_000_000)),
        (">0.5", Range(low=500_000, excludes_low=True)),
        (">=0.5", Range(low=500_000)),
        ("<0.5", Range(high=500_000, excludes_high=True)),
        ("<= 0.5", Range(high=500_000)),
        ("0.1..0.2", Range(100_000, 200_000)),
        ("$0.1..$0.2", Range(100_000, 200_000)),
        ("0.1..", Range(low=100_000)),
        ("..0.2", Range(high=200_000)),
        ("0.000001", Range(1, 1)),
    ],
)
def test_costs_are_dollars(text: str, expected: Range) -> None:
    assert value_ranges.micros("cost", text) == expected


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("90", 90_000), ("90s", 90_000), ("2m", 120_000), ("1.5h", 5_400_000), ("250ms", 250), ("1d", 86_400_000)],
)
def test_durations_carry_a_unit_and_are_seconds_without(text: str, milliseconds: int) -> None:
    assert value_ranges.milliseconds("duration", text) == Range(milliseconds, milliseconds)


@pytest.mark.parametrize(
    ("text", "count"), [("10000", 10_000), ("10k", 10_000), ("1.5M", 1_500_000), ("0", 0), ("2K", 2000)]
)
def test_counts_may_be_thousands_and_millions(text: str, count: int) -> None:
    assert value_ranges.counts("tokens", text) == Range(count, count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20", Range(DAY, END_OF_DAY)),
        (">2026-11-20", Range(low=END_OF_DAY, excludes_low=True)),
        (">=2026-11-20", Range(low=DAY)),
        ("<2026-11-20", Range(high=DAY, excludes_high=True)),
        ("<=2026-11-20", Range(high=END_OF_DAY)),
        ("2026-11-20..2026-11-20", Range(DAY, END_OF_DAY)),
        ("2026-11-20T12:00:00Z", Range(NOON, NOON)),
        ("2026-11-20T14:00:00+02:00", Range(NOON, NOON)),
        ("2026-11-20T14:00:00 02:00", Range(NOON, NOON)),
        ("2026-11-20T12:00", Range(NOON, NOON)),
        (">-7d", Range(low=life.NOW - timedelta(days=7), excludes_low=True)),
        ("-12h..", Range(low=life.NOW - timedelta(hours=12))),
        ("..9999-12-31", Range(high=datetime.max.replace(tzinfo=UTC))),
    ],
)
def test_instants_are_moments_days_and_ages(text: str, expected: Range) -> None:
    assert value_ranges.instants("created", text, life.NOW) == expected


READERS: dict[str, Callable[[str], Range]] = {
    "instants": lambda text: value_ranges.instants("field", text, life.NOW),
    "micros": lambda text: value_ranges.micros("field", text),
    "milliseconds": lambda text: value_ranges.milliseconds("field", text),
    "counts": lambda text: value_ranges.counts("field", text),
}
JUNK = (
    st.text() | st.text("0123456789.,<>=-+:eEdhmsTZ $_", max_size=24) | st.from_regex(r"[<>]?=?-?\d+(e\d+|[dhms])")
)
EXTREMES = [
    "",
    " ",
    ">",
    "..x",
    "1e999999999",
    "-1000000000d",
    "sNaN",
    "Infinity",
    "0001-01-01T00:00+14:00",
    "٣",
    "1" * 5000,
]


@pytest.mark.parametrize("reader", READERS)
@given(text=JUNK)
def test_junk_is_read_or_refused_by_name(reader: str, text: str) -> None:
    assert _reads_or_refuses(READERS[reader], text)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", EXTREMES, ids=range(len(EXTREMES)))
def test_extremes_are_read_or_refused_by_name(reader: str, text: str) -> None:
    assert _reads_or_refuses(READERS[reader], text)


def _reads_or_refuses(read: Callable[[str], Range], text: str) -> bool:
    try:
        return isinstance(read(text), Range)
    except errors.BadFilter as error:
        return error.name == "field"


@pytest.mark.parametrize(
    ("reader", "text"),
    [("instants", "2026-13-45"), ("micros", "much"), ("milliseconds", "-5s"), ("counts", "1e3")],
)
def test_a_refusal_shows_how_to_write_it(reader: str, text: str) -> None:
    with pytest.raises(errors.BadFilter, match="write"):
        READERS[reader](text)


def test_a_bare_age_means_all_since_then() -> None:
    span = value_ranges.instants("created", "-7d", datetime(2026, 11, 23, tzinfo=UTC))
    assert span == value_ranges.Range(low=datetime(2026, 11, 16, tzinfo=UTC))
