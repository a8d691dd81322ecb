"""Removing content: it is gone for good, and everything else stays as it was."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from storage import errors, ids, states
from storage.actions import reviews
from storage.engine.database import Database
from storage.query import grammar, value_ranges
from storage.repositories import deliveries, jobs, runs, system_state
from storage.retention import contents, erasing, holds
from storage.states import Content
from storage.tables.deliveries import DELIVERIES
from storage.tables.integrations import NOTIFICATIONS
from storage.tables.ledger import LEDGER_ENTRIES
from storage.tables.runs import RUN_DOCUMENTS, RUN_STEPS, RUN_USAGE
from storage.transitions import receiving, retrying, starting, submitting
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

#: Everything that was settled before a time after all of these tests.
OLD = grammar.InRange("settled", (value_ranges.Range(high=life.at(1000), excludes_high=True),))
LATER = life.at(2000)


async def _pruned(database: Database, run: runs.Run) -> runs.Run:
    assert (await database.write(erasing.erase, OLD, life.OLD, LATER)).runs == 1
    return await life.get_run(database, run.id)


def _rows(connection: Connection, table: Any, run_id: str) -> list[Any]:
    chosen = select(table).where(table.c.run_id == run_id)
    return list(connection.execute(chosen.order_by(*table.primary_key)).all())


async def test_content_goes_and_measures_stay(database: Database) -> None:
    asked: dict[str, Any] = {"guidance": "Be brief.", "object_ids": ("obj_1",), "tags": {"matter": "7"}}
    run = await life.settled_run(database, idempotency_key="order-1", request_sha256="ab", **asked)
    gone = dict.fromkeys(("prompt", "guidance", "object_ids", "output", "summary", "request_sha256"))
    assert all(getattr(run, name) for name in gone)
    assert await _pruned(database, run) == replace(run, **gone, pruned_at=LATER)  # type: ignore[arg-type]


async def test_rows_with_content_go_and_usage_keeps_its_figures(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(receiving.accept_delivery, life.delivery(run_id=run.id))
    before = (await database.read(_rows, RUN_USAGE, run.id))[0]._mapping
    await _pruned(database, run)
    assert [await database.read(_rows, table, run.id) for table in (RUN_STEPS, RUN_DOCUMENTS)] == [[], []]
    after = (await database.read(_rows, RUN_USAGE, run.id))[0]._mapping
    assert {name for name in before if before[name] != after[name]} == {"metadata", "salt"}
    (delivery,) = await database.read(_rows, DELIVERIES, run.id)
    assert (delivery.body, delivery.headers, delivery.body_sha256) == (b"", None, "")
    assert delivery.size > 0


async def test_the_ledger_keeps_every_byte_and_loses_the_salts(database: Database) -> None:
    run = await life.settled_run(database, tags={"matter": "7"})
    await database.write(receiving.accept_delivery, life.delivery(run_id=run.id))
    before = [dict(each._mapping) for each in await database.read(_rows, LEDGER_ENTRIES, run.id)]
    assert len([salt for each in await ledgers.entries(database, run.id) for salt in each.salts]) > 3
    await _pruned(database, run)
    after = [dict(each._mapping) for each in await database.read(_rows, LEDGER_ENTRIES, run.id)]
    assert [row | {"salts": None} for row in after[:-1]] == [row | {"salts": None} for row in before]
    *entries, last = await ledgers.entries(database, run.id)
    assert [name for each in entries for name in each.salts] == ["tags"]
    assert entries[0].proves("tags", b'{"matter":"7"}')
    assert (last.kind, last.actor) == ("content.erased", "operator")
    fields = ["deliveries", "document", "output", "prompt", "steps", "summary", "usage"]
    assert last.facts == {"fields": fields, "reason": "older than 90 days", "cause": "retention"}


async def test_salts_of_a_delivery_that_came_before_its_run_was_known_go_too(database: Database) -> None:
    early = life.event("run_early", body=b'{"output":"The lease is void."}')
    await database.write(receiving.accept_delivery, early)
    await database.write(receiving.accept_delivery, life.event("run_of_others"))
    run = await life.settled_run(database, upstream_id="run_early")
    await _pruned(database, run)
    kept = [set(each.salts) for each in await ledgers.entries(database, None)]
    assert kept == [set(), {"body", "headers"}]


async def test_what_came_for_an_orphan_before_it_was_known_goes_too(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(receiving.accept_delivery, life.event("run_orphan", body=b'{"output":"Void."}'))
    assert await database.write(starting.record_orphan, run.id, "run_orphan", life.at(70))
    orphan = await life.claimed(database, states.Kind.ORPHAN, run.id, life.at(70))
    await database.write(jobs.complete, orphan)
    await _pruned(database, run)
    assert [each.body for each in await database.read(_rows, DELIVERIES, run.id)] == [b""]


async def test_what_is_open_or_recent_or_has_a_job_stays(database: Database) -> None:
    await life.running(database)
    waiting = await life.settled_run(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, waiting.id, life.at(70))])
    recent = await life.running(database)
    await life.settle(database, recent, life.result(), now=life.at(1500))
    found = await database.read(erasing.survey, OLD)
    assert (found.runs, found.busy) == (0, 1)
    assert (await database.write(erasing.erase, OLD, life.OLD, LATER)).runs == 0


async def test_a_dead_job_goes_with_the_content(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.NOTIFY, run.id, life.at(70))])
    job = await life.claimed(database, states.Kind.NOTIFY, run.id, life.at(70))
    values = {"run_id": run.id, "event_id": "msg_1", "body": b'{"failureReason":"x"}', "created_at": life.at(70)}
    await database.write(lambda connection: connection.execute(NOTIFICATIONS.insert(), values).close())
    await database.write(jobs.bury, job, error="410", now=life.at(71))
    await _pruned(database, run)
    assert await life.open_jobs(database, run.id) == []
    assert (await database.read(_rows, NOTIFICATIONS, run.id))[0].body == b""


async def test_batches_walk_through_all_of_them_once(database: Database) -> None:
    for _ in range(5):
        await life.settled_run(database)
    place, counts = None, []
    while True:
        batch = await database.write(erasing.erase, OLD, life.OLD, LATER, place, 2)
        counts.append(batch.runs)
        place = batch.next_position
        if place is None:
            break
    assert counts == [2, 2, 1]
    assert (await database.write(erasing.erase, OLD, life.OLD, LATER)).runs == 0


async def test_the_survey_reports_what_will_be_removed(database: Database) -> None:
    runs_ = [await life.settled_run(database) for _ in range(3)]
    await database.write(receiving.accept_delivery, life.delivery(run_id=runs_[0].id))
    found = await database.read(erasing.survey, OLD)
    removed = await database.write(erasing.erase, OLD, life.OLD, LATER)
    assert (found.runs, found.rows) == (removed.runs, removed.rows)
    assert (found.oldest, found.newest) == (life.at(63), life.at(63))
    assert found.size > 500
    assert asdict(await database.read(erasing.survey, OLD))["size"] == 0


async def test_what_was_removed_does_not_come_back(database: Database) -> None:
    run = await _pruned(database, await life.settled_run(database))
    assert await database.write(submitting.request_refresh, run.id, LATER) == run
    assert await life.open_jobs(database, run.id) == []
    assert await life.settle(database, run, life.result(body=b"{}"), now=LATER) is False
    found = await life.get_run(database, run.id)
    assert replace(found, asked_at=run.asked_at) == run


async def test_what_is_delivered_after_that_is_a_row_without_its_content(database: Database) -> None:
    run = await _pruned(database, await life.settled_run(database, upstream_id="run_1"))
    event_id = life.nonce("evt")
    for late in (life.delivery(run_id=run.id), *(life.event("run_1", event_id=event_id) for _ in range(2))):
        await database.write(receiving.accept_delivery, late)
    rows = await database.read(_rows, DELIVERIES, run.id)
    assert [(each.body, each.body_sha256, each.headers) for each in rows] == [(b"", "", None)] * 3
    assert all(each.size > 0 for each in rows)
    assert not any(set(each.salts) - {"tags"} for each in await ledgers.entries(database, run.id))


async def test_a_pruned_run_still_holds_its_idempotency_key(database: Database) -> None:
    asked: dict[str, Any] = {"idempotency_key": "order-1", "request_sha256": "ab"}
    run = await _pruned(database, await life.settled_run(database, **asked))
    again = await database.write(submitting.submit, life.submission(**asked))
    assert (again.run.id, again.is_new, again.is_same) == (run.id, False, False)


async def test_what_was_planned_of_the_execution_stays(database: Database) -> None:
    run = await life.settled_run(database, instructions="You review leases.")
    pruned = await _pruned(database, run)
    assert (pruned.instructions, pruned.execution) == ("", run.execution)


async def _erased(database: Database, run: runs.Run, *fields: states.Content) -> erasing.Erased:
    erasure = erasing.Erasure("Request 7", "key:ops", fields=frozenset(fields) or contents.USUAL)
    return await database.write(erasing.erase_run, run.id, erasure, LATER)


async def test_one_text_goes_with_all_that_may_repeat_it_and_the_others_stay(database: Database) -> None:
    run = await life.settled_run(database, guidance="Be brief.", tags={"matter": "7"}, request_sha256="ab")
    await database.write(receiving.accept_delivery, life.delivery(run_id=run.id))
    await _erased(database, run, Content.PROMPT)
    found = await life.get_run(database, run.id)
    assert replace(found, pruned_at=None) == replace(run, prompt=None, request_sha256=None)
    for table in (RUN_STEPS, RUN_DOCUMENTS):
        assert await database.read(_rows, table, run.id) == []
    kept = {name for each in await ledgers.entries(database, run.id) for name in each.salts}
    assert kept == {"guidance", "output", "summary", "tags"}
    entries = await ledgers.entries(database, run.id)
    assert entries[-1].facts == {
        "fields": ["deliveries", "document", "prompt", "steps", "usage"], "reason": "Request 7", "cause": "request"
    }  # fmt: skip
    assert entries[0].proves("guidance", b"Be brief.")


async def test_what_one_erasure_left_the_next_one_removes_and_then_nothing_is_left(database: Database) -> None:
    run = await life.settled_run(database, tags={"matter": "7"})
    assert (await _erased(database, run, Content.PROMPT)).fields >= {Content.PROMPT, Content.STEPS}
    assert (await _pruned(database, run)).output is None
    assert (await _erased(database, run, Content.TAGS)).fields == {Content.TAGS}
    assert await _erased(database, run, *contents.CHOICES) == erasing.Erased()
    found = await life.get_run(database, run.id)
    assert (found.prompt, found.tags) == (None, {})
    assert not any(each.salts for each in await ledgers.entries(database, run.id))


async def test_the_comments_of_reviews_go_where_they_are_named(database: Database) -> None:
    run = await life.settled_run(database)
    said = reviews.Review(
        ids.new(life.at(100)), run.id, states.ReviewVerdict.REJECTED, "Wrong.", "key:ops", life.at(100)
    )
    await database.write(reviews.add, said)
    assert Content.COMMENT not in (await _erased(database, run)).fields
    assert await database.read(reviews.of_run, run.id) == [said]
    assert (await _erased(database, run, Content.COMMENT)).fields == {Content.COMMENT}
    assert await database.read(reviews.of_run, run.id) == [replace(said, comment=None)]


async def test_what_keeps_a_run_from_being_erased_is_named(database: Database) -> None:
    live = await life.running(database)
    busy = await life.settled_run(database)
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.NOTIFY, busy.id, life.at(70))])
    held = await life.settled_run(database)
    hold = holds.Hold(ids.new(life.NOW), states.HoldScope.RUN, held.id, "Litigation 7", "operator", life.at(70))
    await database.write(holds.place, hold)
    for run, said in ((live, "only what has ended"), (busy, "open jobs (notify)"), (held, f"the hold {hold.id}")):
        with pytest.raises(errors.NotErasable, match=re.escape(said)):
            await _erased(database, run)
    refused = await database.read(erasing.refusals, grammar.EVERYTHING)
    assert [each.run_id for each in refused] == [live.id, busy.id, held.id]


async def test_a_digest_that_stands_for_a_body_goes_with_it(database: Database) -> None:
    run = await life.settled_run(database, upstream_id="run_1")
    key = f"{deliveries.BODY_KEY}{'0' * 64}"
    await database.write(receiving.accept_delivery, life.event("run_1", dedupe_key=key))
    await _erased(database, run)
    await database.write(receiving.accept_delivery, life.event("run_1", dedupe_key=key))
    rows = await database.read(_rows, DELIVERIES, run.id)
    assert [(each.dedupe_key, each.body) for each in rows] == [(None, b"")] * 2


async def test_an_erased_notification_is_not_sent_again(database: Database) -> None:
    run = await life.settled_run(database)
    await database.write(
        system_state.request_follow_ups, system_state.FollowUps(True, False), life.at(70), alone=True
    )
    values = {"run_id": run.id, "event_id": "msg_1", "body": b'{"failureReason":"x"}', "created_at": life.at(70)}
    await database.write(lambda connection: connection.execute(NOTIFICATIONS.insert(), values).close())
    assert Content.NOTIFICATION in (await _erased(database, run)).fields
    with pytest.raises(errors.NothingToNotify):
        await database.write(retrying.notify_again, run.id, "operator", LATER)
