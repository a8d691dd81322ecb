"""Ids of runs."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from storage import ids
from tests import life


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(ids.new(life.NOW))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_an_id_begins_with_its_milliseconds() -> None:
    assert uuid.UUID(ids.new(life.NOW)).int >> 80 == int(life.NOW.timestamp() * 1000)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), st.integers(1, 10**9))  # noqa: DTZ001
def test_ids_sort_by_time(moment: datetime, later: int) -> None:
    first = moment.replace(tzinfo=UTC)
    assert ids.new(first) < ids.new(first + timedelta(milliseconds=later))


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new(life.NOW) for _ in range(10_000)}) == 10_000


def test_our_ids_are_recognised_by_their_form() -> None:
    assert ids.is_ours(ids.new(life.NOW))


def test_other_ids_are_not_mistaken_for_ours() -> None:
    others = ["", "run_1", str(uuid.uuid4()), ids.new(life.NOW)[:-1], "7" * 36, "x" * 4000]
    assert not [other for other in others if ids.is_ours(other)]
