"""What the list route shows, a page at a time."""

from __future__ import annotations

from typing import Any

import pytest

from storage import errors, house, ids, jobs, runs, states, transitions
from storage.database import Database
from storage.states import Kind, Road
from storage.transitions import Seen, Swept
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def observe(database: Database, *seen: Seen, second: float = 10) -> Swept:
    return await database.write(transitions.observe, list(seen), life.at(second))


async def settles(database: Database, run_id: str) -> list[jobs.Listed]:
    found, _ = await database.read(jobs.page, jobs.Query(Kind.SETTLE, run_id), life.at(10))
    return found


async def test_a_run_shown_ended_gets_its_settle(database: Database) -> None:
    run = await life.running(database, "run_1")
    told = await observe(database, Seen("run_1", states.COMPLETED))
    assert (told.ended, [job.road for job in await settles(database, run.id)]) == (1, [Road.SWEEP])


async def test_a_run_shown_ended_is_not_believed_to_be(database: Database) -> None:
    run = await life.running(database, "run_1")
    await observe(database, Seen("run_1", states.FAILED))
    assert (await life.found(database, run.id)).status is states.RUNNING


async def test_a_settle_that_is_there_keeps_its_back_off(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(jobs.wish, [jobs.Wish(Kind.SETTLE, run.id, life.NOW, Road.WATCHER, life.at(500))])
    await observe(database, Seen("run_1", states.COMPLETED))
    assert [(job.due_at, job.road) for job in await settles(database, run.id)] == [(life.at(500), Road.WATCHER)]


async def test_a_live_run_is_noted_as_seen(database: Database) -> None:
    run = await life.running(database, "run_1")
    told = await observe(database, Seen("run_1", states.RUNNING))
    assert (told.ended, (await life.found(database, run.id)).asked_at) == (0, life.at(10))
    assert await settles(database, run.id) == []


async def test_a_live_run_follows_forward(database: Database) -> None:
    run = await life.queued(database, "run_1")
    await observe(database, Seen("run_1", states.RUNNING, life.at(7)))
    run = await life.found(database, run.id)
    assert (run.status, run.started_at) == (states.RUNNING, life.at(7))
    assert (await ledgers.last(database, run.id)).facts == {"via": "sweep"}


async def test_a_run_that_turns_up_is_missing_no_more(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(jobs.wish, [jobs.Wish(Kind.SETTLE, run.id, life.NOW)])
    claim = await life.claimed(database, Kind.SETTLE, run.id)
    await database.write(transitions.missing, claim, life.NOW, life.at(5), "404", lost=True)
    await observe(database, Seen("run_1", states.RUNNING))
    run = await life.found(database, run.id)
    assert (run.status, run.missing_since) == (states.RUNNING, None)


async def test_a_settled_run_is_passed_over(database: Database) -> None:
    run = await life.settled_run(database, upstream_id="run_1")
    told = await observe(database, Seen("run_1", states.FAILED))
    assert (told, await life.found(database, run.id)) == (Swept(0, frozenset()), run)


async def test_a_run_whose_acquaintance_is_still_to_be_made_is_passed_over(database: Database) -> None:
    wish = transitions.Adopted(ids.new(life.NOW), "run_1", "sweep", Road.SWEEP, life.NOW, life.at(3600))
    run, _ = await database.write(transitions.adopt, wish)
    told = await observe(database, Seen("run_1", states.COMPLETED))
    assert (told, await life.open_jobs(database, run.id)) == (Swept(0, frozenset()), ["adopt"])


async def test_an_orphan_says_nothing_about_its_run(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(transitions.orphan, run.id, "run_2", life.NOW)
    told = await observe(database, Seen("run_2", states.CANCELLED))
    assert (told, await settles(database, run.id)) == (Swept(0, frozenset()), [])


async def test_what_is_not_ours_is_a_stranger(database: Database) -> None:
    await life.running(database, "run_1")
    told = await observe(database, Seen("run_8", states.RUNNING), Seen("run_1", states.RUNNING))
    assert told.strangers == {"run_8"}


async def test_an_empty_page_is_fine(database: Database) -> None:
    assert await observe(database) == Swept(0, frozenset())


async def test_a_run_that_gave_no_answer_gets_its_own_settle(database: Database) -> None:
    run = await life.running(database, "run_1")
    await database.write(transitions.ask_alone, run.id, life.at(10))
    assert (len(await settles(database, run.id)), (await life.found(database, run.id)).asked_at) == (
        1,
        life.at(10),
    )


async def sweep(database: Database) -> jobs.Claim:
    await database.write(jobs.wish, [jobs.Wish(Kind.SWEEP, "", life.NOW)])
    return await life.claimed(database, Kind.SWEEP)


async def over(database: Database, claim: jobs.Claim, *, whole: bool, stray_before: Any = life.NOW) -> None:
    await database.write(transitions.swept, claim, life.at(1), life.at(30), whole=whole, stray_before=stray_before)


async def test_a_pass_comes_due_again(database: Database) -> None:
    await over(database, await sweep(database), whole=True)
    assert (await life.claimed(database, Kind.SWEEP, now=life.at(30))).fence == 2


@pytest.mark.parametrize(("whole", "swept_at"), [(True, life.at(1)), (False, None)])
async def test_only_a_pass_over_the_whole_list_counts(whole: bool, swept_at: Any, database: Database) -> None:
    await over(database, await sweep(database), whole=whole)
    assert (await database.read(house.read)).swept_at == swept_at


async def stray(database: Database) -> runs.Run:
    """A run that was cancelled while a create may have been under way."""
    run = await life.accepted(database)
    await database.write(transitions.request_cancel, run.id, "key:backend", life.at(5))
    return run


@pytest.mark.parametrize(
    ("whole", "before", "left"), [(True, 6, None), (True, 5, life.at(5)), (False, 6, life.at(5))]
)
async def test_only_a_whole_pass_long_after_proves_that_no_stray_is_left(
    whole: bool, before: float, left: Any, database: Database
) -> None:
    run = await stray(database)
    await over(database, await sweep(database), whole=whole, stray_before=life.at(before))
    assert (await life.found(database, run.id)).stray_since == left


async def test_runs_with_a_possible_stray_are_looked_for(database: Database) -> None:
    run = await stray(database)
    assert [each.id for each in await database.read(runs.unlinked)] == [run.id]


async def test_who_lost_the_lease_ends_no_pass(database: Database) -> None:
    stale = await sweep(database)
    await life.claimed(database, Kind.SWEEP, now=life.at(60))
    with pytest.raises(errors.Fenced):
        await over(database, stale, whole=True)


async def test_a_live_run_that_should_have_ended_gets_a_settle_whatever_the_list_shows(database: Database) -> None:
    run = await life.running(database, "run_1")
    await observe(database, Seen("run_1", states.RUNNING), second=3599)
    assert await settles(database, run.id) == []
    await observe(database, Seen("run_1", states.RUNNING), second=3601)
    assert len(await settles(database, run.id)) == 1


async def test_a_missing_run_is_left_to_its_own_settle(database: Database) -> None:
    run = await life.running(database)
    await database.write(jobs.wish, [jobs.Wish(Kind.SETTLE, run.id, life.at(5), Road.SWEEP)])
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(5))
    assert [each.id for each in await database.read(runs.unasked, life.at(9), life.at(9), 10)] == [run.id]
    await database.write(transitions.missing, claim, life.at(6), life.at(9), "404", lost=False)
    assert await database.read(runs.unasked, life.at(9), life.at(9), 10) == []


async def test_a_stray_is_given_up_after_a_day(database: Database) -> None:
    run = await life.accepted(database)
    await life.claimed(database, Kind.START, run.id)
    await database.write(transitions.request_cancel, run.id, "key:test", life.at(5))
    await database.write(jobs.wish, [jobs.Wish(Kind.SWEEP, "", life.at(5))])
    claim = await life.claimed(database, Kind.SWEEP, "", life.at(100_000))
    await database.write(
        transitions.swept, claim, life.at(100_000), life.at(100_060), whole=False, stray_before=life.at(99_000)
    )
    assert (await life.found(database, run.id)).stray_since is None
