"""Instants and JSON keep their meaning in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, MetaData, Table, select, text

from storage.engine import column_types
from tests.storage import scratch

MOMENTS = Table("moments", MetaData(), Column("at", column_types.Instant()), Column("json", column_types.Json))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
#: A day away from the ends of the calendar, where UTC may not have the moment any more.
INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001


def _stored(connection: Connection, **values: Any) -> Any:
    MOMENTS.create(connection)
    connection.execute(MOMENTS.insert(), values)
    return connection.execute(select(MOMENTS)).one()


@given(INSTANTS)
@example(datetime(999, 2, 3, 4, 5, 6, 7, tzinfo=UTC))
def test_an_instant_comes_back_as_the_same_moment_in_utc(scratch_url: str, moment: datetime) -> None:
    with scratch.connected(scratch_url) as connection:
        found = _stored(connection, at=moment).at
    assert (found, found.utcoffset()) == (moment, timedelta(0))


@given(INSTANTS, INSTANTS)
def test_the_text_of_instants_sorts_as_time_does(one: datetime, other: datetime) -> None:
    assert (column_types.instant_text(one) < column_types.instant_text(other)) is (one < other)


@given(INSTANTS)
def test_the_text_of_an_instant_is_of_fixed_width(moment: datetime) -> None:
    assert len(column_types.instant_text(moment)) == 27


def test_an_instant_is_stored_as_utc_text_with_microseconds() -> None:
    moment = datetime(2026, 11, 23, 13, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    with scratch.connected() as connection:
        _stored(connection, at=moment)
        assert connection.execute(text("SELECT at FROM moments")).scalar() == "2026-11-23T12:00:00.000005Z"


def test_no_instant_is_null(scratch_url: str) -> None:
    with scratch.connected(scratch_url) as connection:
        assert _stored(connection, at=None).at is None


def test_no_json_is_null_and_not_the_word(scratch_url: str) -> None:
    with scratch.connected(scratch_url) as connection:
        _stored(connection, json=None)
        assert connection.execute(text("SELECT json IS NULL FROM moments")).scalar() == 1


@pytest.mark.parametrize("value", [0, "", False, [], {}, [None], {"é": "\U0001f600"}])
def test_json_is_read_as_it_was_written(scratch_url: str, value: Any) -> None:
    with scratch.connected(scratch_url) as connection:
        assert _stored(connection, json=value).json == value
