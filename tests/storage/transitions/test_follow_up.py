"""Notifications: what is committed before the first send and after each."""

from __future__ import annotations

import pytest

from storage import errors
from storage.engine.database import Database
from storage.repositories import job_counts, jobs, notifications
from storage.repositories.notifications import Attempt, Notification
from storage.states import Kind
from storage.transitions import follow_up, retrying
from tests import life

pytestmark = pytest.mark.anyio

REFUSED = Attempt(life.at(5), 500, "the backend answered 500")


async def claimed(database: Database, second: float = 0) -> jobs.Claim:
    return await life.claimed(database, Kind.NOTIFY, "a", life.at(second))


async def prepared(database: Database) -> jobs.Claim:
    """A notification that is about to be sent for the first time."""
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.NOTIFY, "a", life.NOW)])
    claim = await claimed(database)
    await database.write(follow_up.prepare_notification, claim, Notification("a", "msg_1", b"{}", life.NOW))
    return claim


async def found(database: Database) -> Notification:
    held = await database.read(notifications.find, "a")
    assert held is not None
    return held


async def test_the_first_id_and_body_hold_for_ever(database: Database) -> None:
    claim = await prepared(database)
    other = Notification("a", "msg_2", b'{"other":1}', life.at(9))
    held = await database.write(follow_up.prepare_notification, claim, other)
    assert (held.event_id, held.body, held.created_at) == ("msg_1", b"{}", life.NOW)


async def test_a_notification_that_the_backend_took_is_complete(database: Database) -> None:
    claim = await prepared(database)
    await database.write(follow_up.complete_notification, claim, Attempt(life.at(5), 204))
    held = await found(database)
    assert (held.attempts, held.last_status, held.last_error, held.delivered_at) == (1, 204, None, life.at(5))
    assert await life.open_jobs(database, "a") == []


async def test_a_notification_that_it_did_not_take_comes_due_again(database: Database) -> None:
    claim = await prepared(database)
    await database.write(follow_up.fail_notification, claim, REFUSED, "500", life.at(30))
    held, again = await found(database), await claimed(database, 30)
    assert (held.attempts, held.last_status, held.last_error) == (1, 500, "the backend answered 500")
    assert (held.delivered_at, held.stopped_at) == (None, None)
    assert (again.failures, again.refused_since) == (1, life.at(5))


async def test_a_notification_that_was_given_up_waits_for_a_retry(database: Database) -> None:
    claim = await prepared(database)
    await database.write(follow_up.stop_notification, claim, REFUSED, "500")
    assert (await found(database)).stopped_at == life.at(5)
    assert await database.read(job_counts.count_dead) == {Kind.NOTIFY: 1}


async def test_a_retry_sends_it_again(database: Database) -> None:
    claim = await prepared(database)
    await database.write(follow_up.stop_notification, claim, REFUSED, "500")
    assert await database.write(retrying.retry, [claim.id], life.at(9)) == 1
    held = await found(database)
    assert (held.stopped_at, held.attempts, held.event_id) == (None, 1, "msg_1")
    await database.write(follow_up.complete_notification, await claimed(database, 9), Attempt(life.at(9), 200))
    assert (await found(database)).attempts == 2


async def test_a_lost_lease_writes_nothing(database: Database) -> None:
    stale = await prepared(database)
    await claimed(database, 61)
    new, attempt = Notification("a", "msg_2", b"", life.NOW), Attempt(life.at(62), 200)
    for transition, arguments in (
        (follow_up.prepare_notification, (new,)),
        (follow_up.complete_notification, (attempt,)),
        (follow_up.fail_notification, (attempt, "", life.at(99))),
        (follow_up.stop_notification, (attempt, "")),
    ):
        with pytest.raises(errors.LeaseLost):
            await database.write(transition, stale, *arguments)
    assert (await found(database)).attempts == 0
