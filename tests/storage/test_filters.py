"""What a list of runs can be asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from storage import errors, filters, states
from storage.filters import Filter, Range
from storage.tables import RUN_TAGS, RUNS
from tests import life
from tests.storage import scratch

DAY = datetime(2026, 11, 20, tzinfo=UTC)
END_OF_DAY = datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.50", Range(500_000, 500_000)),
        ("$1", Range(1_000_000, 1_000_000)),
        (">0.5", Range(low=500_000, above=True)),
        (">=0.5", Range(low=500_000)),
        ("<0.5", Range(high=500_000, below=True)),
        ("<= 0.5", Range(high=500_000)),
        ("0.1..0.2", Range(100_000, 200_000)),
        ("$0.1..$0.2", Range(100_000, 200_000)),
        ("0.1..", Range(low=100_000)),
        ("..0.2", Range(high=200_000)),
        ("0.000001", Range(1, 1)),
    ],
)
def test_costs_are_dollars(text: str, wanted: Range) -> None:
    assert filters.micros("cost", text) == wanted


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("90", 90_000), ("90s", 90_000), ("2m", 120_000), ("1.5h", 5_400_000), ("250ms", 250), ("1d", 86_400_000)],
)
def test_durations_carry_a_unit_and_are_seconds_without(text: str, milliseconds: int) -> None:
    assert filters.milliseconds("duration", text) == Range(milliseconds, milliseconds)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-20", Range(DAY, END_OF_DAY)),
        (">2026-11-20", Range(low=END_OF_DAY, above=True)),
        (">=2026-11-20", Range(low=DAY)),
        ("<2026-11-20", Range(high=DAY, below=True)),
        ("<=2026-11-20", Range(high=END_OF_DAY)),
        ("2026-11-20..2026-11-20", Range(DAY, END_OF_DAY)),
        ("2026-11-20T12:00:00Z", Range(NOON, NOON)),
        ("2026-11-20T14:00:00+02:00", Range(NOON, NOON)),
        ("2026-11-20T14:00:00 02:00", Range(NOON, NOON)),
        ("2026-11-20T12:00", Range(NOON, NOON)),
        (">-7d", Range(low=life.NOW - timedelta(days=7), above=True)),
        ("-12h..", Range(low=life.NOW - timedelta(hours=12))),
        ("..9999-12-31", Range(high=datetime.max.replace(tzinfo=UTC))),
    ],
)
def test_instants_are_moments_days_and_ages(text: str, wanted: Range) -> None:
    assert filters.instants("created", text, life.NOW) == wanted


READERS: dict[str, Callable[[str], Range]] = {
    "instants": lambda text: filters.instants("field", text, life.NOW),
    "micros": lambda text: filters.micros("field", text),
    "milliseconds": lambda text: filters.milliseconds("field", text),
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
    ("reader", "text"), [("instants", "2026-13-45"), ("micros", "much"), ("milliseconds", "-5s")]
)
def test_a_refusal_shows_how_to_write_it(reader: str, text: str) -> None:
    with pytest.raises(errors.BadFilter, match="write"):
        READERS[reader](text)


ROWS: list[dict[str, Any]] = [
    {
        "id": f"id{number}",
        "origin": "adopted" if number % 5 == 0 else "submitted",
        "status": list(states.Status)[number % 8].value,
        "agent_id": f"agent_{number % 3}",
        "model": None if number % 4 == 0 else f"m-{number % 2}",
        "submitted_by": "backend",
        "settled_by": None if number % 3 else list(states.Road)[number % 4].value,
        "accepted_at": life.NOW,
        "created_at": None if number % 7 == 0 else life.at(number),
        "settled_at": None if number % 3 else life.at(number * 10),
        "cost_micros": None if number % 6 == 0 else number * 1000,
        "duration_ms": None if number % 6 == 1 else number * 500,
    }
    for number in range(40)
]
TAGS = {number: {"matter": str(number % 2)} | ({"rare": "yes"} if number == 7 else {}) for number in range(40)}
SPANS = st.none() | st.builds(
    Range, st.none() | st.integers(0, 40), st.none() | st.integers(0, 40), st.booleans(), st.booleans()
)


def _choice(values: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(list(values)), max_size=2, unique=True).map(tuple)


FILTERS = st.builds(
    Filter,
    statuses=_choice(states.Status),
    agents=_choice(["agent_0", "agent_1", "agent_9"]),
    models=_choice(["m-0", "m-1"]),
    origins=_choice(states.Origin),
    settled_by=_choice(states.Road),
    tags=st.sampled_from([{}, {"matter": "1"}, {"matter": "1", "rare": "yes"}, {"rare": "no"}]),
    created=SPANS.map(lambda span: _scaled(span, life.at)),
    settled=SPANS.map(lambda span: _scaled(span, lambda value: life.at(value * 10))),
    cost=SPANS.map(lambda span: _scaled(span, lambda value: value * 1000)),
    duration=SPANS.map(lambda span: _scaled(span, lambda value: value * 500)),
)


def _scaled(span: Range | None, scale: Callable[[int], Any]) -> Range | None:
    if span is None:
        return None
    low, high = (None if bound is None else scale(bound) for bound in (span.low, span.high))
    return Range(low, high, span.above, span.below)


@given(FILTERS)
def test_the_conditions_choose_what_plain_python_chooses(scratch_url: str, wanted: Filter) -> None:
    with scratch.connected(scratch_url) as connection:
        _insert(connection)
        found = connection.execute(select(RUNS.c.seq).where(*filters.conditions(wanted))).scalars()
        assert set(found) == {number + 1 for number, row in enumerate(ROWS) if _chosen(wanted, number, row)}


def _insert(connection: Connection) -> None:
    connection.execute(RUNS.insert(), [row | {"seq": number + 1} for number, row in enumerate(ROWS)])
    tags = [
        {"run_seq": number + 1, "run_id": f"id{number}", "key": key, "value": value}
        for number, each in TAGS.items()
        for key, value in each.items()
    ]
    connection.execute(RUN_TAGS.insert(), tags)


def _chosen(wanted: Filter, number: int, row: dict[str, Any]) -> bool:
    lists = ("statuses", "agents", "models", "origins", "settled_by")
    names = ("status", "agent_id", "model", "origin", "settled_by")
    listed = [
        not getattr(wanted, many) or row[one] in getattr(wanted, many)
        for many, one in zip(lists, names, strict=True)
    ]
    spans = (wanted.created, wanted.settled, wanted.cost, wanted.duration)
    measured = ("created_at", "settled_at", "cost_micros", "duration_ms")
    bounded = [_within(span, row[name]) for span, name in zip(spans, measured, strict=True)]
    return all(listed) and all(bounded) and wanted.tags.items() <= TAGS[number].items()


def _within(span: Range | None, value: Any) -> bool:
    if span is None or (span.low is None and span.high is None):
        return True
    if value is None:
        return False
    over = span.low is None or (value > span.low if span.above else value >= span.low)
    return bool(over and (span.high is None or (value < span.high if span.below else value <= span.high)))


def test_a_bare_age_means_all_since_then() -> None:
    span = filters.instants("created", "-7d", datetime(2026, 11, 23, tzinfo=UTC))
    assert span == filters.Range(low=datetime(2026, 11, 16, tzinfo=UTC))
