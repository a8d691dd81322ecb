"""Replicas share the time of the database, whatever the clocks of their machines show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from receiver import clock

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def answering(at: datetime) -> Callable[[], Awaitable[datetime]]:
    """Return a database with that time."""

    async def answer() -> datetime:
        return at

    return answer


def near(shown: datetime, wanted: datetime) -> bool:
    return abs(shown - wanted) < timedelta(seconds=10)


async def shared(at: datetime) -> clock.SharedClock:
    """Return a clock that was set once."""
    made = clock.SharedClock(lambda: NOW - 5 * HOUR)
    await made.synchronize(answering(at))
    return made


async def test_the_time_is_the_databases_and_not_the_machines() -> None:
    assert near((await shared(NOW))(), NOW)


@pytest.mark.parametrize("lag", [HOUR, -HOUR])
async def test_a_clock_that_lost_time_is_corrected_from_the_database(lag: timedelta) -> None:
    made = await shared(NOW)
    made.correct(NOW + lag, took=0.1)
    assert near(made(), NOW + lag)


async def test_an_answer_that_took_long_sets_a_good_clock_nowhere() -> None:
    made = await shared(NOW)
    made.correct(NOW - timedelta(seconds=50), took=60)
    assert near(made(), NOW)


async def test_a_clock_that_is_not_shared_is_left_alone() -> None:
    machine = clock.TrackedClock(lambda: NOW)
    machine.correct(NOW + HOUR, took=0)
    assert (machine(), machine.is_shared) == (NOW, False)
    assert clock.TrackedClock(clock.SharedClock()).is_shared
