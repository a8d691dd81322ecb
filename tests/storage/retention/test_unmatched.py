"""What belongs to no run goes after a while: deleted where it did not verify, else its content alone."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from storage import ids, states
from storage.engine.database import Database
from storage.repositories import deliveries
from storage.retention import unmatched
from storage.tables.deliveries import DELIVERIES
from storage.tables.ledger import LEDGER_ENTRIES
from storage.transitions import receiving
from tests import life
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

LATER = life.at(5000)
OLD = unmatched.UnmatchedFilter(life.at(1000))


def rejected(
    at: datetime = life.NOW, body: bytes = b"x" * 1000, address: str = "203.0.113.7"
) -> deliveries.RejectedRequest:
    sha256 = hashlib.sha256(body).hexdigest()
    source, headers = states.Source.PLATFORM, {"a": "b"}
    return deliveries.RejectedRequest(
        ids.new(at), source, at, headers, body, sha256, len(body), "bad signature", address
    )


def count(connection: Connection, *which: Any) -> int:
    return connection.execute(select(func.count()).select_from(DELIVERIES).where(*which)).scalar_one()


async def clear(
    database: Database, chosen: unmatched.UnmatchedFilter = OLD, **more: int
) -> unmatched.RemovedDeliveries:
    return await database.write(unmatched.remove_unmatched, chosen, LATER, "worker", **more)


async def test_old_requests_that_did_not_verify_are_deleted_and_their_counts_stay(database: Database) -> None:
    await database.write(receiving.store_rejected, [rejected(), rejected(life.at(999)), rejected(life.at(1000))])
    await database.write(receiving.count_rejections, life.NOW, {"bad signature": 3})
    assert await clear(database) == unmatched.RemovedDeliveries(2, 0, has_more=False)
    assert await database.read(count) == 1
    await database.write(receiving.count_rejections, life.at(7200), {})
    (entry,) = await ledgers.entries(database, None)
    assert entry.facts["counts"] == {"bad signature": 3}


async def test_a_verified_event_of_no_run_keeps_its_row_and_loses_its_content(database: Database) -> None:
    event = life.event("run_elsewhere", event_id="evt_1")
    await database.write(receiving.accept_delivery, event)
    body = (await database.read(_entries))[0]
    assert await clear(database) == unmatched.RemovedDeliveries(0, 1, has_more=False)
    found = await database.read(deliveries.find, event.id)
    assert found is not None
    assert (found.body, found.headers, found.body_sha256, found.size) == (b"", None, "", len(event.body))
    accepted, entry = await ledgers.entries(database, None)
    assert (accepted.salts, set(accepted.digests)) == ({}, {"body", "headers"})
    assert (entry.kind, entry.actor, entry.facts) == ("deliveries.pruned", "worker", {"deliveries": 1})
    assert (await database.read(_entries))[0] == body, "no byte of the ledger changes"


def _entries(connection: Connection) -> list[str]:
    return list(connection.execute(select(LEDGER_ENTRIES.c.body).order_by(LEDGER_ENTRIES.c.seq)).scalars())


async def test_its_repeats_are_known_as_such_and_its_run_still_finds_it(database: Database) -> None:
    event = life.event("run_1", event_id="evt_1")
    await database.write(receiving.accept_delivery, event)
    await clear(database)
    again = life.event("run_1", event_id="evt_1")
    receipts = await database.write(receiving.accept_delivery, again)
    assert receipts.verdict is states.Verdict.DUPLICATE
    run = await life.running(database, upstream_id="run_1")
    found = await database.read(deliveries.find, event.id)
    assert found is not None
    assert found.run_id == run.id


async def test_what_belongs_to_a_run_or_is_newer_stays(database: Database) -> None:
    run = await life.running(database)
    of_run = life.delivery(run_id=run.id)
    new = life.event("run_elsewhere", received_at=life.at(1000))
    await database.write(receiving.accept_delivery, of_run)
    await database.write(receiving.accept_delivery, new)
    assert await clear(database) == unmatched.RemovedDeliveries(0, 0, has_more=False)
    for each in (of_run, new):
        found = await database.read(deliveries.find, each.id)
        assert found is not None
        assert found.body == each.body


async def test_salts_of_other_entries_of_the_same_moment_stay(database: Database) -> None:
    run = await life.running(database)
    loose, of_run = life.event("run_elsewhere"), life.delivery(run_id=run.id)
    for each in (loose, of_run):
        await database.write(receiving.accept_delivery, each)
    await clear(database)
    last = await ledgers.last(database, run.id)
    assert last.proves("body", of_run.body)


async def test_a_batch_is_bounded_and_reports_whether_more_follows(database: Database) -> None:
    await database.write(receiving.store_rejected, [rejected(life.at(second)) for second in range(5)])
    batches = [await clear(database, limit=2) for _ in range(3)]
    assert [(each.rejected, each.has_more) for each in batches] == [(2, True), (2, True), (1, False)]


async def test_one_address_can_be_chosen(database: Database) -> None:
    await database.write(receiving.store_rejected, [rejected(), rejected(address="203.0.113.8")])
    await database.write(receiving.accept_delivery, life.event("run_elsewhere", remote_addr="203.0.113.8"))
    chosen = unmatched.UnmatchedFilter(life.at(1000), "203.0.113.8")
    found = await database.read(unmatched.count_unmatched, chosen)
    assert (found.rejected, found.unlinked, found.oldest) == (1, 1, life.NOW)
    assert found.size > 1000
    assert await clear(database, chosen) == unmatched.RemovedDeliveries(1, 1, has_more=False)
    assert await database.read(count, DELIVERIES.c.remote_addr == "203.0.113.7") == 1
    assert "203.0.113.8" not in "".join(await database.read(_entries)), "nothing can be removed from the ledger"


async def test_beyond_the_bound_the_oldest_go_first(database: Database) -> None:
    await database.write(receiving.store_rejected, [rejected(life.at(second)) for second in range(6)])
    size = await database.read(unmatched.rejected_size)
    assert 6 * 1000 < size < 6 * 2000
    left = await database.write(unmatched.trim_rejected, size // 2, 2)
    assert 0 < left < size // 2
    assert await database.write(unmatched.trim_rejected, left, 2) == 0
    kept = select(DELIVERIES.c.received_at).order_by(DELIVERIES.c.received_at)
    moments = await database.read(lambda connection: list(connection.execute(kept).scalars()))
    assert moments == [life.at(second) for second in (3, 4, 5)]


async def test_it_is_looked_for_by_its_index(embedded: Database) -> None:
    def plan(connection: Connection) -> str:
        chosen = select(DELIVERIES.c.seq).where(*unmatched._which(OLD)).order_by(DELIVERIES.c.received_at)
        made = chosen.compile(connection, compile_kwargs={"literal_binds": True})
        return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {made}").all())

    found = await embedded.read(plan)
    assert "ix_deliveries_unmatched (run_id=? AND received_at<?)" in found
    assert "TEMP B-TREE" not in found
