"""A worker whose lease was taken over writes nothing, whatever it was about to commit; and what a lease is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from storage import errors, states
from storage.engine.database import Database
from storage.repositories import job_list, jobs, runs
from storage.states import Kind
from storage.transitions import (
    adopting,
    receiving,
    restoring,
    settling,
    starting,
    submitting,
    sweeping,
    webhook_changes,
)
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

SHOWN = adopting.UpstreamDetails("agent_7", "Review.", None, "m-7", life.at(-100), life.at(-90), "upstream")
NOW, LATER = life.at(70), life.at(130)
#: What a task may commit at its end.
COMMITS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "started": (starting.record_started, ("exec", NOW, LATER), {}),
    "refused": (starting.refuse, ("no", NOW), {}),
    "record": (settling.record_result, (life.result(), NOW, None), {}),
    "alive": (settling.record_alive, (states.RUNNING, None, NOW, LATER), {}),
    "missing": (settling.record_missing, (NOW, LATER, "404"), {"lost": True}),
    "adopted": (adopting.complete_adoption, (SHOWN, states.RUNNING, NOW), {}),
    "adopted ended": (adopting.complete_ended_adoption, (SHOWN, life.result(), NOW, None), {}),
    "marked": (starting.mark_call, (NOW,), {}),
    "unmarked": (starting.unmark_call, (), {}),
    "checked": (
        webhook_changes.complete_check,
        ("row", webhook_changes.EndpointCheck(None, None), NOW, LATER),
        {},
    ),
    "swept": (sweeping.finish_sweep, (NOW, LATER), {"complete": True, "lost_create_before": NOW}),
}


async def stale(database: Database, run: runs.Run) -> jobs.Claim:
    """A claim whose lease has lapsed, and was taken over by another worker."""
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, run.id, life.at(3))])
    lost = await life.claimed(database, Kind.SETTLE, run.id, life.at(3))
    await life.claimed(database, Kind.SETTLE, run.id, life.at(64), "another")
    return lost


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
async def test_a_worker_without_its_lease_commits_nothing(
    database: Database, commit: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
) -> None:
    run = await life.running(database)
    lost = await stale(database, run)
    before, kinds = await life.get_run(database, run.id), await life.ledger_kinds(database, run.id)
    function, arguments, named = commit
    with pytest.raises(errors.LeaseLost):
        await database.write(function, lost, *arguments, **named)
    assert (await life.get_run(database, run.id), await life.ledger_kinds(database, run.id)) == (before, kinds)


async def test_a_call_is_not_marked_for_a_run_that_was_cancelled_meanwhile(database: Database) -> None:
    run = await life.accepted(database, agent_id=None, instructions="Research.")
    claim = await life.claimed(database, Kind.START, run.id)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.at(1))
    assert not await database.write(starting.mark_call, claim, life.at(2))
    assert (await life.get_run(database, run.id)).lost_create_since is None


async def test_a_worker_that_stops_releases_only_its_own_jobs(database: Database) -> None:
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.SETTLE, each, life.NOW) for each in "abc"])
    mine, lost = [await life.claimed(database, Kind.SETTLE, each) for each in "ab"]
    await life.claimed(database, Kind.SETTLE, "b", life.at(61), "another")
    await life.claimed(database, Kind.SETTLE, "c", life.at(61), "another")
    await database.write(jobs.release, [mine, lost], life.at(62))
    found, _ = await database.read(job_list.page, job_list.Query(), life.at(62))
    assert {each.run_id: each.lease_owner for each in found} == {"a": None, "b": "another", "c": "another"}


async def test_a_job_that_is_retried_by_hand_has_all_its_time_again(database: Database) -> None:
    """What was refused for days counts from the next refusal."""
    await database.write(jobs.enqueue, [jobs.JobRequest(Kind.NOTIFY, "a", life.NOW)])
    claim = await life.claimed(database, Kind.NOTIFY, "a")
    await database.write(jobs.fail, claim, life.at(1), error="500", now=life.NOW, refused=True)
    dying = await life.claimed(database, Kind.NOTIFY, "a", life.at(61))
    await database.write(jobs.bury, dying, error="500", now=life.at(62))
    await database.write(jobs.retry, [claim.id], life.at(100))
    again = await life.claimed(database, Kind.NOTIFY, "a", life.at(100))
    assert (again.refused_since, again.refusals, again.failures, again.attempts) == (None, 0, 0, 1)


async def test_the_first_due_is_claimed_first_whichever_was_requested_first(database: Database) -> None:
    due = {"a": 9, "b": 1, "c": 5}
    requests = [
        jobs.JobRequest(Kind.SETTLE, name, life.NOW, due_at=life.at(second)) for name, second in due.items()
    ]
    for request in requests:
        await database.write(jobs.enqueue, [request])
    assert await life.next_due(database, life.NOW) == life.at(1)
    claimed: list[jobs.Claim] = []
    for _ in due:
        claimed += await database.write(jobs.claim, now=life.at(9), until=life.at(60), owner="w", limit=1)
    assert [each.run_id for each in claimed] == ["b", "c", "a"]


async def test_what_was_to_start_later_is_looked_for_at_once_in_a_restored_store(database: Database) -> None:
    run = await life.accepted(database)
    claim = await life.claimed(database, Kind.START, run.id)
    await database.write(jobs.fail, claim, life.at(3600), error="500", now=life.at(1))
    await database.write(restoring.mark_restored, life.at(10))
    assert (await life.claimed(database, Kind.START, run.id, life.at(10))).fence == 2


async def test_counted_rejections_name_their_hour(database: Database) -> None:
    await database.write(receiving.count_rejections, life.NOW, {"no signature": 2})
    await database.write(receiving.count_rejections, life.at(3600), {})
    assert (await ledgers.last(database, None)).facts["hour"] == "2026-11-23T12:00:00.000000Z"


async def test_a_run_that_is_cancelled_here_ends_alone(database: Database) -> None:
    cancelled, other = await life.accepted(database), await life.accepted(database)
    await database.write(submitting.request_cancel, cancelled.id, "key:backend", life.at(1))
    assert (await life.get_run(database, cancelled.id)).status is states.CANCELLED
    assert await life.get_run(database, other.id) == other
