"""The one row that all workers obey."""

from __future__ import annotations

import pytest
from sqlalchemy import exc

from storage import house
from storage.database import Database
from storage.tables import HOUSE
from tests import life

pytestmark = pytest.mark.anyio


async def test_an_untouched_house_is_open(database: Database) -> None:
    assert await database.read(house.read) == house.State()


async def test_a_pause_holds_until_its_end(database: Database) -> None:
    await database.write(house.pause, life.at(60), "429", life.NOW)
    state = await database.read(house.read)
    assert (state.is_paused(life.at(59)), state.is_paused(life.at(60))) == (True, False)


async def test_a_second_cause_within_a_pause_does_not_shorten_it(database: Database) -> None:
    await database.write(house.pause, life.at(60), "429", life.NOW)
    await database.write(house.pause, life.at(30), "503", life.at(1))
    state = await database.read(house.read)
    assert (state.paused_until, state.pause_reason, state.pause_streak) == (life.at(60), "429", 1)


async def test_a_second_cause_within_a_pause_may_prolong_it(database: Database) -> None:
    await database.write(house.pause, life.at(60), "429", life.NOW)
    await database.write(house.pause, life.at(90), "503", life.at(1))
    state = await database.read(house.read)
    assert (state.paused_until, state.pause_streak) == (life.at(90), 1)


async def test_a_pause_after_a_pause_lengthens_the_streak(database: Database) -> None:
    await database.write(house.pause, life.at(60), "429", life.NOW)
    await database.write(house.pause, life.at(90), "401", life.at(60))
    state = await database.read(house.read)
    assert (state.paused_until, state.pause_reason, state.pause_streak) == (life.at(90), "401", 2)


async def test_an_answer_of_the_upstream_ends_pause_and_streak(database: Database) -> None:
    await database.write(house.pause, life.at(60), "429", life.NOW)
    assert await database.write(house.resume, life.at(60))
    assert await database.read(house.read) == house.State(upstream_ok_at=life.at(60))
    assert not await database.write(house.resume, life.at(61))


async def test_an_answer_within_a_pause_does_not_end_it(database: Database) -> None:
    await database.write(house.pause, life.at(60), "429", life.NOW)
    before = await database.read(house.read)
    assert not await database.write(house.resume, life.at(59))
    assert await database.read(house.read) == before


async def test_a_heartbeat_keeps_what_was_last_heard(database: Database) -> None:
    await database.write(house.beat, life.NOW, life.NOW, {"x-ratelimit-remaining": "9"})
    await database.write(house.beat, life.at(5))
    state = await database.read(house.read)
    wanted = (life.at(5), life.NOW, {"x-ratelimit-remaining": "9"})
    assert (state.worker_seen_at, state.upstream_ok_at, state.rate_limit) == wanted


async def test_there_is_one_row_and_no_other(database: Database) -> None:
    with pytest.raises(exc.IntegrityError, match="ck_house_one_row"):
        await database.write(lambda connection: connection.execute(HOUSE.insert(), {"id": 2}))
