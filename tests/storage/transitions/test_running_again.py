"""A run that is run again, and a notification that is sent again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage import errors, ids, states
from storage.engine.database import Database
from storage.query import grammar, run_pages
from storage.repositories import notifications, runs
from storage.retention import erasing
from storage.transitions import adopting, retrying, submitting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


def request(of: str, **changes: Any) -> submitting.Again:
    return submitting.Again(of, ids.new(life.NOW), life.at(9), life.at(99), "night-ops", "key:night-ops", changes)


async def run_again(database: Database, again: submitting.Again) -> submitting.Submitted:
    done = await database.write(submitting.run_again, again)
    assert done is not None
    return done


async def test_a_run_again_has_all_that_was_submitted_and_names_the_first(database: Database) -> None:
    content = {"guidance": "Be brief.", "model": "m-1", "object_ids": ("o1",), "tags": {"matter": "7"}}
    first = await life.accepted(database, **content)
    done = await run_again(database, request(first.id))
    stored = await life.get_run(database, done.run.id)
    assert done.is_new
    assert stored == done.run
    for name in ("agent_id", "prompt", "guidance", "model", "object_ids", "tags", "instructions"):
        assert getattr(stored, name) == getattr(first, name)
    assert (stored.again_of, stored.submitted_by, stored.status) == (first.id, "night-ops", states.ACCEPTED)
    assert await life.open_jobs(database, stored.id) == ["start"]
    entry = await ledgers.last(database, stored.id)
    assert (entry.kind, entry.actor, entry.facts["againOf"]) == ("run.accepted", "key:night-ops", first.id)


async def test_a_run_again_may_differ_in_what_is_given(database: Database) -> None:
    first = await life.accepted(database, guidance="Be brief.", tags={"a": "1"})
    done = await run_again(database, request(first.id, prompt="Another.", tags={"b": "2"}))
    assert (done.run.prompt, done.run.guidance, done.run.tags) == ("Another.", "Be brief.", {"b": "2"})


async def test_instructions_are_kept_so_it_is_executed_at_most_once(database: Database) -> None:
    first = await life.accepted(database, agent_id=None, instructions="Review.")
    again = (await run_again(database, request(first.id))).run
    assert (again.instructions, again.execution) == ("Review.", states.Execution.AT_MOST_ONCE)


async def test_one_key_makes_one_run_of_the_same_changes(database: Database) -> None:
    first = await life.accepted(database)
    keyed = [replace(request(first.id, model=model), idempotency_key="k") for model in ("m-1", "m-1", "m-2")]
    made, same, other = [await run_again(database, each) for each in keyed]
    assert (made.is_new, same.is_new, same.run.id, other.is_same) == (True, False, made.run.id, False)


async def test_the_tries_of_a_run_are_found(database: Database) -> None:
    first = await life.accepted(database)
    again = [(await run_again(database, request(first.id))).run.id for _ in range(2)]
    asked = run_pages.Query(grammar.parse(f"again_of:{first.id}", life.NOW))
    assert [each.id for each in (await database.read(run_pages.find, asked)).runs] == again[::-1]


async def test_what_is_not_stored_cannot_be_run_again(database: Database) -> None:
    pruned = await life.settled_run(database)
    await database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    adoption = adopting.Adoption(ids.new(life.NOW), "run_9", "ops", states.Source.REQUEST, life.NOW, life.at(9))
    adopted, _ = await database.write(adopting.adopt, adoption)
    for run in (pruned, adopted):
        with pytest.raises(errors.NothingToRun):
            await run_again(database, request(run.id))
    assert await database.write(submitting.run_again, request("nothing")) is None


async def test_a_prompt_whose_agent_is_unknown_cannot_be_run_again(database: Database) -> None:
    run = await life.accepted(database, agent_id=None)
    with pytest.raises(errors.NothingToRun, match="the agent"):
        await run_again(database, request(run.id))


async def notify(database: Database, run_id: str) -> runs.Run | None:
    return await database.write(retrying.notify_again, run_id, "key:ops", life.at(200))


async def test_a_delivered_notification_is_sent_again_under_its_id(database: Database) -> None:
    run = await life.settled_run(database)
    await life.request_follow_ups(database, notifies=True)
    sent = notifications.Notification(run.id, "msg_1", b"{}", life.NOW, delivered_at=life.at(1))
    await database.write(notifications.insert, sent)
    await notify(database, run.id)
    stored = await database.read(notifications.find, run.id)
    assert stored == replace(sent, delivered_at=None)
    assert "notify" in await life.open_jobs(database, run.id)
    assert (await ledgers.last(database, run.id)).facts == {"by": "key:ops"}


async def test_nobody_is_notified_of_a_run_that_goes_on_or_without_a_backend(database: Database) -> None:
    run, ended = await life.accepted(database), await life.settled_run(database)
    for each in (run, ended):
        with pytest.raises(errors.NothingToNotify):
            await notify(database, each.id)
    assert await notify(database, "nothing") is None
