"""The one row that all workers obey."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, exc

from storage.engine.database import Database
from storage.repositories import system_state
from storage.tables.jobs import SYSTEM_STATE
from tests import life
from tests.storage import waits

pytestmark = pytest.mark.anyio


async def test_an_untouched_deployment_is_open(database: Database) -> None:
    assert await database.read(system_state.read) == system_state.State()


async def test_a_pause_holds_until_its_end(database: Database) -> None:
    await database.write(system_state.pause, life.at(60), "429", life.NOW)
    state = await database.read(system_state.read)
    assert (state.is_paused(life.at(59)), state.is_paused(life.at(60))) == (True, False)


async def test_a_second_cause_within_a_pause_does_not_shorten_it(database: Database) -> None:
    await database.write(system_state.pause, life.at(60), "429", life.NOW)
    await database.write(system_state.pause, life.at(30), "503", life.at(1))
    state = await database.read(system_state.read)
    assert (state.paused_until, state.pause_reason, state.pause_streak) == (life.at(60), "429", 1)


async def test_a_second_cause_within_a_pause_may_prolong_it(database: Database) -> None:
    await database.write(system_state.pause, life.at(60), "429", life.NOW)
    await database.write(system_state.pause, life.at(90), "503", life.at(1))
    state = await database.read(system_state.read)
    assert (state.paused_until, state.pause_streak) == (life.at(90), 1)


async def test_a_pause_after_a_pause_lengthens_the_streak(database: Database) -> None:
    await database.write(system_state.pause, life.at(60), "429", life.NOW)
    await database.write(system_state.pause, life.at(90), "401", life.at(60))
    state = await database.read(system_state.read)
    assert (state.paused_until, state.pause_reason, state.pause_streak) == (life.at(90), "401", 2)


async def test_an_answer_of_the_upstream_ends_pause_and_streak(database: Database) -> None:
    await database.write(system_state.pause, life.at(60), "429", life.NOW)
    assert await database.write(system_state.resume, life.at(60))
    assert await database.read(system_state.read) == system_state.State(upstream_ok_at=life.at(60))
    assert not await database.write(system_state.resume, life.at(61))


async def test_an_answer_within_a_pause_does_not_end_it(database: Database) -> None:
    await database.write(system_state.pause, life.at(60), "429", life.NOW)
    before = await database.read(system_state.read)
    assert not await database.write(system_state.resume, life.at(59))
    assert await database.read(system_state.read) == before


async def test_a_heartbeat_keeps_what_was_last_reported(database: Database) -> None:
    await database.write(system_state.record_heartbeat, life.NOW, life.NOW, {"x-ratelimit-remaining": "9"})
    await database.write(system_state.record_heartbeat, life.at(5))
    state = await database.read(system_state.read)
    expected = (life.at(5), life.NOW, {"x-ratelimit-remaining": "9"})
    assert (state.worker_seen_at, state.upstream_ok_at, state.rate_limit) == expected


async def test_there_is_one_row_and_no_other(database: Database) -> None:
    with pytest.raises(exc.IntegrityError, match=r"ck_(system_state|house)_one_row"):
        await database.write(lambda connection: connection.execute(SYSTEM_STATE.insert(), {"id": 2}))


LEASE = timedelta(minutes=1)


async def test_one_command_at_a_time_has_the_lease_on_the_webhook_endpoint(database: Database) -> None:
    first = await database.write(system_state.lease_webhooks, life.NOW, LEASE)
    assert first is not None
    assert await database.write(system_state.lease_webhooks, life.NOW, LEASE) is None
    await database.write(system_state.free_webhooks, first)
    assert await database.write(system_state.lease_webhooks, life.NOW, LEASE) == first + 1
    await database.write(system_state.free_webhooks, first)  # by then it is another one's
    assert await database.write(system_state.lease_webhooks, life.NOW, LEASE) is None


async def test_the_lease_of_a_command_that_died_lapses_and_is_prolonged_by_no_other(database: Database) -> None:
    """On a server its own clock counts, so a lease of no length stands for one that has lapsed."""
    dead = await database.write(system_state.lease_webhooks, life.NOW, timedelta())
    assert dead is not None
    assert await database.write(system_state.renew_webhooks, dead, life.NOW, timedelta())
    assert await database.write(system_state.lease_webhooks, life.NOW, LEASE) == dead + 1
    assert not await database.write(system_state.renew_webhooks, dead, life.NOW, LEASE)


async def test_a_prolonged_lease_is_given_to_no_other_command(database: Database) -> None:
    mine = await database.write(system_state.lease_webhooks, life.NOW, timedelta())
    assert mine is not None
    assert await database.write(system_state.renew_webhooks, mine, life.NOW, LEASE)
    assert await database.write(system_state.lease_webhooks, life.NOW, LEASE) is None


def test_of_two_commands_at_once_one_has_the_lease(server_url: str) -> None:
    """The first holds its transaction open, and the second waits for it."""
    with waits.connected(server_url) as engine, ThreadPoolExecutor(1) as aside, engine.connect() as slow:
        with slow.begin():
            assert system_state.lease_webhooks(slow, life.NOW, LEASE) is not None
            other = aside.submit(_leased, engine)
            waits.until_waiting(engine)
        assert other.result() is None


def _leased(engine: Engine) -> int | None:
    with engine.begin() as connection:
        return system_state.lease_webhooks(connection, life.NOW, LEASE)


NONE, NOTIFIES = system_state.FollowUps(), system_state.FollowUps(notifies=True)


async def test_what_one_server_requests_holds_whichever_starts_last(database: Database) -> None:
    for each in (NOTIFIES, NONE, system_state.FollowUps(captures=True), NONE):
        await database.write(system_state.request_follow_ups, each, life.NOW, alone=False)
    assert await database.read(system_state.follow_ups) == system_state.FollowUps(notifies=True, captures=True)


async def test_what_no_server_requests_any_more_ends_after_a_day(database: Database) -> None:
    await database.write(system_state.request_follow_ups, NOTIFIES, life.NOW, alone=False)
    day = 86400
    for second, holds in ((day - 1, True), (day, False)):
        await database.write(system_state.request_follow_ups, NONE, life.at(second), alone=False)
        assert (await database.read(system_state.follow_ups)).notifies is holds


async def test_a_server_that_is_seen_again_and_again_is_remembered_from_then_on(database: Database) -> None:
    await database.write(system_state.request_follow_ups, NOTIFIES, life.NOW, alone=False)
    await database.write(system_state.request_follow_ups, NOTIFIES, life.at(80_000), alone=False)
    await database.write(system_state.request_follow_ups, NONE, life.at(90_000), alone=False)
    assert await database.read(system_state.follow_ups) == NOTIFIES


async def test_a_server_that_is_alone_decides_at_once(database: Database) -> None:
    await database.write(system_state.request_follow_ups, NOTIFIES, life.NOW, alone=True)
    await database.write(system_state.request_follow_ups, NONE, life.at(1), alone=True)
    assert await database.read(system_state.follow_ups) == NONE


async def test_what_an_earlier_release_has_set_is_remembered_for_a_day_as_well(database: Database) -> None:
    before = SYSTEM_STATE.insert().values(id=1, notifies=True)
    await database.write(lambda connection: connection.execute(before))
    for second, holds in ((0, True), (86_399, True), (86_400, False)):
        await database.write(system_state.request_follow_ups, NONE, life.at(second), alone=False)
        assert (await database.read(system_state.follow_ups)).notifies is holds


async def test_a_worker_that_can_notify_is_seen_as_one(database: Database) -> None:
    await database.write(system_state.record_heartbeat, life.NOW, notifies=True)
    await database.write(system_state.record_heartbeat, life.at(10))
    state = await database.read(system_state.read)
    assert (state.has_notifier(life.at(15), 15), state.has_notifier(life.at(16), 15)) == (True, False)
    assert not system_state.State().has_notifier(life.NOW, 15)
