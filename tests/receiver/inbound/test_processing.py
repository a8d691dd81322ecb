"""A stored delivery that is processed again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from receiver import errors
from receiver.crypto import signatures
from receiver.inbound import processing
from storage import ids, states
from storage.engine.database import Database
from storage.repositories import deliveries, job_list
from storage.transitions import receiving
from tests import life
from tests.receiver.inbound.test_webhook_secrets import secrets_of, text

pytestmark = pytest.mark.anyio
KEY = b"the sender's key".ljust(24, b".")
NOW = life.NOW


def rejected(late: int = 0) -> deliveries.RejectedRequest:
    body = b'{"id":"evt_1","type":"agent.run.completed","data":{"runId":"run_up"}}'
    at = str(int(NOW.timestamp()) - late)
    headers = {
        signatures.ID_HEADER: "dlv_1",
        signatures.TIMESTAMP_HEADER: at,
        signatures.SIGNATURE_HEADER: signatures.sign(KEY, "dlv_1", at, body),
    }
    return deliveries.RejectedRequest(
        ids.new(NOW), states.Source.PLATFORM, NOW, headers, body, "0" * 64, len(body), "bad signature", "192.0.2.1"
    )


async def _processed(store: Database, delivery_id: str, *secrets: str) -> deliveries.StoredDelivery:
    known = secrets_of(store, *secrets)
    return await processing.Processor(store, known)(delivery_id, "key:ops", NOW + timedelta(days=2))


async def test_a_rejected_event_that_verifies_by_now_is_accepted_and_its_run_settled(database: Database) -> None:
    run, request = await life.running(database, "run_up"), rejected()
    await database.write(receiving.store_rejected, [request])
    before = await database.read(deliveries.find, request.id)
    with pytest.raises(errors.NotProcessable, match="does not verify"):
        await _processed(database, request.id, text(b"another"))
    found = await _processed(database, request.id, text(KEY))
    assert (found.id, found.verdict, found.run_id, found.event_id) == (request.id, "accepted", run.id, "evt_1")
    assert before is not None
    assert found.seq == before.seq
    jobs, _ = await database.read(job_list.page, job_list.Query(states.Kind.SETTLE, run.id), NOW)
    assert len(jobs) == 1
    assert (await life.ledger_kinds(database, run.id))[-2:] == ["delivery.accepted", "delivery.processed"]


async def test_a_repeat_of_a_processed_event_is_a_duplicate_and_processing_it_again_fetches_the_run(
    database: Database,
) -> None:
    run = await life.running(database, "run_up")
    requests = [rejected(), rejected(late=4000)]
    await database.write(receiving.store_rejected, requests)
    first, second = [await _processed(database, each.id, text(KEY)) for each in requests]
    assert (first.verdict, second.verdict, second.duplicate_of) == ("accepted", "duplicate", first.id)
    again = await _processed(database, first.id, text(KEY))
    assert again == (await database.read(deliveries.find, first.id))
    assert (await life.ledger_kinds(database, run.id)).count("delivery.processed") == 3


async def test_what_cannot_be_checked_is_said(database: Database) -> None:
    cut, callback = replace(rejected(), size=10**6), replace(rejected(), source=states.Source.WATCHER)
    await database.write(receiving.store_rejected, [cut, callback])
    accepted = await database.write(receiving.accept_delivery, life.event())
    for delivery_id, reason in ((cut.id, "only"), (callback.id, "address"), (accepted.id, "no run")):
        with pytest.raises(errors.NotProcessable, match=reason):
            await _processed(database, delivery_id, text(KEY))
    with pytest.raises(errors.NotFound):
        await _processed(database, "nothing", text(KEY))
