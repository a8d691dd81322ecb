"""The time that replicas share is the database's, whatever their machines say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from receiver import clock

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def answering(at: datetime) -> Callable[[], Awaitable[datetime]]:
    """A database that says so."""

    async def answer() -> datetime:
        return at

    return answer


def near(told: datetime, wanted: datetime) -> bool:
    return abs(told - wanted) < timedelta(seconds=10)


async def shared(at: datetime) -> clock.Shared:
    """A clock that has looked once."""
    made = clock.Shared(lambda: NOW - 5 * HOUR)
    await made.look(answering(at))
    return made


async def test_the_database_tells_the_time_and_not_the_machine() -> None:
    assert near((await shared(NOW))(), NOW)


@pytest.mark.parametrize("lag", [HOUR, -HOUR])
async def test_a_clock_that_lost_time_is_set_right_by_what_the_database_says_beside(lag: timedelta) -> None:
    made = await shared(NOW)
    made.correct(NOW + lag, took=0.1)
    assert near(made(), NOW + lag)


async def test_an_answer_that_took_long_sets_a_good_clock_nowhere() -> None:
    made = await shared(NOW)
    made.correct(NOW - timedelta(seconds=50), took=60)
    assert near(made(), NOW)


async def test_a_clock_that_is_not_shared_is_left_alone() -> None:
    machine = clock.Watched(lambda: NOW)
    machine.correct(NOW + HOUR, took=0)
    assert (machine(), machine.is_shared) == (NOW, False)
    assert clock.Watched(clock.Shared()).is_shared
