"""What comes to the public endpoints: the first is accepted, the others are kept, no status is taken from them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from storage import ids, states
from storage.engine import connections
from storage.engine.database import Database
from storage.repositories import deliveries
from storage.states import Kind, Source, Verdict
from storage.tables.deliveries import DELIVERIES
from storage.transitions import receiving, settling
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio


async def accept(database: Database, delivery: deliveries.Delivery) -> deliveries.Receipt:
    return await database.write(receiving.accept_delivery, delivery)


async def stored(database: Database, delivery_id: str) -> deliveries.StoredDelivery:
    found = await database.read(deliveries.find, delivery_id)
    assert found is not None
    return found


async def kinds(database: Database, run_id: str | None) -> list[str]:
    """Return the kinds of the entries about deliveries and conflicts of a run."""
    found = await ledgers.entries(database, run_id)
    return [entry.kind for entry in found if entry.kind.startswith(("delivery", "run.conflict"))]


async def test_a_delivery_is_kept_whole(database: Database) -> None:
    run = await life.running(database)
    delivery = life.delivery(run_id=run.id, body=b"\xff\x00 no json", secret_used="key 1")
    await accept(database, delivery)
    found = await stored(database, delivery.id)
    values = (
        found.verdict,
        found.run_id,
        found.body,
        found.body_sha256,
        found.size,
        found.headers,
        found.secret_used,
    )
    headers = json.loads(delivery.headers)
    expected = (Verdict.ACCEPTED, run.id, delivery.body, delivery.body_sha256, 10, headers, "key 1")
    assert values == expected


async def test_a_receipt_names_the_row_and_the_run(database: Database) -> None:
    run = await life.running(database)
    delivery = life.delivery(run_id=run.id)
    assert await accept(database, delivery) == deliveries.Receipt(delivery.id, Verdict.ACCEPTED, run.id)


async def test_a_delivery_has_the_upstream_asked_about_its_run(database: Database) -> None:
    run = await life.running(database)
    await accept(database, life.delivery(run_id=run.id))
    assert (await life.claimed(database, Kind.SETTLE, run.id)).trigger is Source.WATCHER


async def test_only_a_delivery_about_an_open_run_wakes_the_worker(database: Database) -> None:
    run, settled = await life.running(database), await life.settled_run(database)
    work = database.next_work()
    for delivery in (life.event("run_unknown"), life.delivery(run_id=settled.id)):
        await accept(database, delivery)
    assert not work.done()
    await accept(database, life.delivery(run_id=run.id))
    assert work.done()


async def test_an_event_has_the_upstream_asked_too(database: Database) -> None:
    run = await life.running(database, "run_1")
    receipt = await accept(database, life.event("run_1"))
    assert (receipt.run_id, (await life.claimed(database, Kind.SETTLE, run.id)).trigger) == (
        run.id,
        Source.PLATFORM,
    )


async def test_the_ledger_records_a_delivery(database: Database) -> None:
    run = await life.running(database, "run_1")
    event = life.event("run_1", event_id="evt_1", secret_used="2")
    await accept(database, event)
    entry = await ledgers.last(database, run.id)
    facts = {
        "deliveryId": event.id,
        "source": "platform",
        "eventId": "evt_1",
        "size": len(event.body),
        "secretUsed": "2",
    }
    assert (entry.kind, entry.facts, entry.proves("body", event.body)) == ("delivery.accepted", facts, True)


async def test_a_second_delivery_is_a_duplicate_of_the_first(database: Database) -> None:
    run = await life.running(database)
    first, second = (life.delivery(run_id=run.id) for _ in range(2))
    receipts = [await accept(database, each) for each in (first, second)]
    found = await stored(database, second.id)
    assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert (found.verdict, found.duplicate_of, found.run_id) == (Verdict.DUPLICATE, first.id, run.id)


async def test_the_ledger_records_a_duplicate(database: Database) -> None:
    run = await life.running(database)
    for _ in range(2):
        await accept(database, life.delivery(run_id=run.id))
    assert await kinds(database, run.id) == ["delivery.accepted", "delivery.duplicate"]


async def test_another_event_is_no_duplicate(database: Database) -> None:
    await life.running(database, "run_1")
    receipts = [await accept(database, life.event("run_1")) for _ in range(2)]
    assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED] * 2


async def test_an_event_is_a_duplicate_whatever_its_delivery(database: Database) -> None:
    receipts = [await accept(database, life.event("run_1", event_id="evt_1")) for _ in range(2)]
    assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED, Verdict.DUPLICATE]


async def fifty(database: Database) -> tuple[str, list[deliveries.Receipt]]:
    run = await life.running(database)
    many = [life.delivery(run_id=run.id, received_at=life.at(number)) for number in range(50)]
    return run.id, list(await asyncio.gather(*(accept(database, each) for each in many)))


async def test_of_fifty_at_once_one_is_accepted(database: Database) -> None:
    _, receipts = await fifty(database)
    verdicts = [receipt.verdict for receipt in receipts]
    assert (verdicts.count(Verdict.ACCEPTED), verdicts.count(Verdict.DUPLICATE)) == (1, 49)


async def test_of_fifty_at_once_twenty_are_rows_and_the_rest_a_count(database: Database) -> None:
    run_id, _ = await fifty(database)
    found, _ = await database.read(deliveries.page, deliveries.Query(run_id, limit=100))
    assert (len(found), sum(each.repeats for each in found)) == (21, 29)


async def test_what_is_only_counted_carries_the_accepted_receipt(database: Database) -> None:
    run_id, receipts = await fifty(database)
    (accepted,), _ = await database.read(deliveries.page, deliveries.Query(run_id, Verdict.ACCEPTED))
    assert [receipt.id for receipt in receipts].count(accepted.id) == 30


async def test_the_accepted_row_has_the_time_of_its_last_repeat(database: Database) -> None:
    run_id, _ = await fifty(database)
    (accepted,), _ = await database.read(deliveries.page, deliveries.Query(run_id, Verdict.ACCEPTED))
    assert accepted.last_repeat_at == life.at(49)


async def test_counted_repeats_are_counted_as_duplicates(database: Database) -> None:
    await fifty(database)
    counts = await database.read(deliveries.count_by_verdict)
    assert counts == {("watcher", "accepted"): 1, ("watcher", "duplicate"): 49}


async def test_a_duplicate_nudges_a_run_that_is_not_settled(database: Database) -> None:
    run = await life.running(database)
    await accept(database, life.delivery(run_id=run.id))
    await database.write(
        settling.record_alive,
        await life.claimed(database, Kind.SETTLE, run.id),
        states.RUNNING,
        None,
        life.at(1),
        life.at(500),
    )
    await accept(database, life.delivery(run_id=run.id, received_at=life.at(9)))
    assert (await life.claimed(database, Kind.SETTLE, run.id, life.at(9))).trigger is Source.WATCHER


async def test_a_settled_run_is_not_nudged(database: Database) -> None:
    run = await life.settled_run(database)
    receipts = [await accept(database, life.delivery(run_id=run.id)) for _ in range(2)]
    assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED, Verdict.DUPLICATE]
    assert await life.open_jobs(database, run.id) == []


async def test_an_event_for_an_unknown_run_is_a_row(database: Database) -> None:
    event = life.event("run_9")
    receipt = await accept(database, event)
    assert (receipt.run_id, (await stored(database, event.id)).verdict) == (None, Verdict.ACCEPTED)


async def test_an_early_event_is_given_to_its_run_when_we_learn_its_id(database: Database) -> None:
    event = life.event("run_9")
    await accept(database, event)
    run = await life.queued(database, "run_9")
    claim = await life.claimed(database, Kind.SETTLE, run.id, life.at(1))
    assert ((await stored(database, event.id)).run_id, claim.trigger) == (run.id, Source.PLATFORM)


async def test_the_early_event_of_another_run_is_left_alone(database: Database) -> None:
    event = life.event("run_8")
    await accept(database, event)
    run = await life.queued(database, "run_9")
    assert ((await stored(database, event.id)).run_id, await life.open_jobs(database, run.id)) == (None, ["start"])


async def test_a_callback_may_come_before_we_know_the_upstream_id(database: Database) -> None:
    run = await life.accepted(database)
    delivery = life.delivery(run_id=run.id, upstream_id="run_1")
    await accept(database, delivery)
    assert ((await stored(database, delivery.id)).reason, await life.open_jobs(database, run.id)) == (
        None,
        ["settle", "start"],
    )


async def two_runs(database: Database, first: Any = life.running) -> tuple[str, str]:
    return (await first(database)).id, (await life.running(database, "run_2")).id


@pytest.mark.parametrize("first", [life.running, life.accepted], ids=["known upstream", "unknown upstream"])
async def test_a_body_that_names_another_run_is_a_contradiction(first: Any, database: Database) -> None:
    one, _ = await two_runs(database, first)
    delivery = life.delivery(run_id=one, upstream_id="run_2")
    await accept(database, delivery)
    found = await stored(database, delivery.id)
    assert (found.run_id, found.reason) == (one, "the body names another run: run_2")


async def test_a_body_that_names_another_run_has_both_asked_about(database: Database) -> None:
    one, other = await two_runs(database)
    await accept(database, life.delivery(run_id=one, upstream_id="run_2"))
    assert [await life.open_jobs(database, each) for each in (one, other)] == [["settle"], ["settle"]]


async def test_a_body_that_names_a_run_we_do_not_know_is_a_contradiction_too(database: Database) -> None:
    run = await life.running(database, "run_1")
    delivery = life.delivery(run_id=run.id, upstream_id="run_7")
    await accept(database, delivery)
    assert (await stored(database, delivery.id)).reason == "the body names another run: run_7"


async def test_a_body_that_names_its_run_among_others_is_none(database: Database) -> None:
    run = await life.running(database, "run_1")
    delivery = life.delivery(run_id=run.id, upstream_id="step_1", also_named=("run_1",))
    await accept(database, delivery)
    assert (await stored(database, delivery.id)).reason is None


async def test_a_token_of_a_run_that_is_not_here_still_has_the_named_one_asked_about(database: Database) -> None:
    run = await life.running(database, "run_1")
    await accept(database, life.delivery(run_id=ids.new(life.NOW), upstream_id="run_1"))
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_a_report_of_another_end_is_a_conflict(database: Database) -> None:
    run = await life.settled_run(database, states.COMPLETED, "run_1")
    await accept(database, life.delivery(run_id=run.id, upstream_id="run_1", status="failed"))
    entry = await ledgers.last(database, run.id)
    facts = {"reported": "failed", "kept": "completed", "source": "watcher"}
    assert (entry.kind, entry.facts) == ("run.conflict", facts)


async def test_a_conflict_leaves_the_run_as_it_was(database: Database) -> None:
    run = await life.settled_run(database)
    await accept(database, life.delivery(run_id=run.id, status="failed"))
    assert await life.get_run(database, run.id) == run


@pytest.mark.parametrize("status", [None, "completed", "running", "nonsense"])
async def test_a_report_of_no_other_end_is_none(status: str | None, database: Database) -> None:
    run = await life.settled_run(database)
    await accept(database, life.delivery(run_id=run.id, status=status))
    assert await kinds(database, run.id) == ["delivery.accepted"]


async def test_a_report_about_another_run_is_no_conflict_of_this_one(database: Database) -> None:
    run = await life.settled_run(database, states.COMPLETED, "run_1")
    await accept(database, life.delivery(run_id=run.id, upstream_id="run_7", status="failed"))
    assert await kinds(database, run.id) == ["delivery.accepted"]


async def test_a_delivery_that_came_in_by_an_earlier_try_is_recognised(database: Database) -> None:
    run = await life.running(database)
    delivery = life.delivery(run_id=run.id)
    receipts = [await accept(database, delivery) for _ in range(2)]
    assert (receipts[0], await kinds(database, run.id)) == (receipts[1], ["delivery.accepted"])


async def test_a_duplicate_that_came_in_by_an_earlier_try_is_recognised(database: Database) -> None:
    run = await life.running(database)
    await accept(database, life.delivery(run_id=run.id))
    delivery = life.delivery(run_id=run.id)
    receipts = [await accept(database, delivery) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert await kinds(database, run.id) == ["delivery.accepted", "delivery.duplicate"]


async def test_pages_of_deliveries_are_newest_first_and_without_bodies(database: Database) -> None:
    made = [life.event("run_1") for _ in range(5)]
    for each in made:
        await accept(database, each)
    page, cursor = await database.read(deliveries.page, deliveries.Query(limit=3))
    rest, end = await database.read(deliveries.page, deliveries.Query(limit=3, cursor=cursor))
    assert ([each.id for each in page + rest], end) == ([each.id for each in made[::-1]], None)
    assert {each.body for each in page} == {None}


async def test_deliveries_are_found_by_source(database: Database) -> None:
    await accept(database, life.delivery())
    event = life.event("run_1")
    await accept(database, event)
    found, _ = await database.read(deliveries.page, deliveries.Query(source=Source.PLATFORM))
    assert [each.id for each in found] == [event.id]


def rejected(**changes: Any) -> deliveries.RejectedRequest:
    one = deliveries.RejectedRequest(
        ids.new(life.NOW), Source.PLATFORM, life.NOW, {}, b"x", "0" * 64, 9, "bad signature", "127.0.0.1"
    )
    return replace(one, **changes)


async def test_a_rejected_request_is_kept_and_nothing_follows(database: Database) -> None:
    one = rejected()
    await database.write(receiving.store_rejected, [one, rejected()])
    found = await stored(database, one.id)
    assert (found.verdict, found.reason, found.size) == (Verdict.REJECTED, "bad signature", 9)
    assert await ledgers.entries(database, None) == []


async def test_no_rejected_requests_are_fine(database: Database) -> None:
    await database.write(receiving.store_rejected, [])


async def test_a_rejected_request_takes_no_place_of_an_accepted_one(database: Database) -> None:
    await database.write(receiving.store_rejected, [rejected()])
    assert (await accept(database, life.event("run_1"))).verdict is Verdict.ACCEPTED


async def test_rejections_are_recorded_once_their_hour_is_over(database: Database) -> None:
    later = life.NOW + timedelta(hours=1)
    await database.write(receiving.count_rejections, life.NOW, {"no signature": 2, "bad signature": 1})
    await database.write(receiving.count_rejections, life.NOW, {"no signature": 3})
    assert await ledgers.entries(database, None) == []
    await database.write(receiving.count_rejections, later, {})
    (entry,) = await ledgers.entries(database, None)
    counts = {"no signature": 5, "bad signature": 1}
    assert (entry.kind, entry.facts["counts"]) == ("rejections.counted", counts)


async def test_an_hour_is_recorded_once(database: Database) -> None:
    await database.write(receiving.count_rejections, life.NOW, {"no signature": 2})
    for hours in (1, 2):
        await database.write(receiving.count_rejections, life.NOW + timedelta(hours=hours), {})
    assert len(await ledgers.entries(database, None)) == 1


def _deliver(url: str, barrier: Any, count: int) -> list[str]:
    """Deliver the same event over and over in another process; return the verdicts."""
    engine = connections.engine(url, readonly=False, connections=1)
    barrier.wait(30)
    verdicts = []
    for _ in range(count):
        event = life.event("run_1", event_id="evt_1")
        with engine.begin() as connection:
            verdicts.append(receiving.accept_delivery(connection, [event])[event.id].verdict.value)
    engine.dispose()
    return verdicts


async def test_of_two_processes_one_has_its_delivery_accepted(database: Database, database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    loop = asyncio.get_running_loop()
    with context.Manager() as manager, ProcessPoolExecutor(2, context) as pool:
        barrier = manager.Barrier(2)
        racing = [loop.run_in_executor(pool, _deliver, database_url, barrier, 20) for _ in range(2)]
        one, other = await asyncio.gather(*racing)
    rows = select(func.count(), func.sum(DELIVERIES.c.repeats))
    counts = await database.read(lambda connection: tuple(connection.execute(rows).one()))
    assert ((one + other).count("accepted"), counts) == (1, (21, 19))


def test_digests_of_a_delivery_come_with_it() -> None:
    assert [digest.name for digest in life.delivery().digests] == ["headers", "body"]
