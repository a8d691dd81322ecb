"""A run, job or rejected request that cannot be stored holds up nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx2 as httpx
import pytest
from sqlalchemy import exc, text

from receiver import telemetry
from receiver.inbound import rejection_buffer
from receiver.worker import indexer
from receiver.worker.tasks import backfill
from storage import ids, states
from storage.engine.database import Database
from storage.repositories import backfills, deliveries, upstream_links
from storage.search import index
from storage.transitions import receiving
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio


async def test_a_rejected_request_that_cannot_be_stored_does_not_take_the_others_with_it(
    database: Database,
) -> None:
    rejections = rejection_buffer.RejectionBuffer(database, lambda: life.NOW)
    source, digest = states.Source.PLATFORM, "0" * 64
    good = deliveries.RejectedRequest(
        ids.new(life.NOW), source, life.NOW, {}, b"x", digest, 1, "bad signature", None
    )
    for each in (good, replace(good, id=None), replace(good, id=ids.new(life.NOW))):  # type: ignore[arg-type]
        rejections.add(each)
    await rejections.flush()
    kept, _ = await database.read(deliveries.page, deliveries.Query(limit=10))
    assert len(kept) == 2


async def test_a_run_that_cannot_be_indexed_holds_up_no_other(embedded: Database) -> None:
    first, broken, last = [await life.accepted(embedded, prompt=f"word{at}") for at in range(3)]
    spoil = "UPDATE runs SET prompt = x'ff' WHERE seq = :seq"
    await embedded.write(lambda connection: connection.execute(text(spoil), {"seq": broken.seq}))
    await indexer.Indexer(embedded, telemetry.Telemetry()).catch_up()
    waiting = await embedded.read(index.unindexed, [first.id, broken.id, last.id])
    assert waiting == [broken.id]


async def forbid(database: Database, what: str) -> None:
    """Have an embedded database refuse one row."""
    made = f"CREATE TRIGGER no BEFORE INSERT ON {what} BEGIN SELECT RAISE(ABORT, 'no'); END"
    await database.write(lambda connection: connection.execute(text(made)).close())


async def test_a_delivery_that_cannot_be_stored_is_answered_alone(embedded: Database) -> None:
    first, bad, last = [life.event() for _ in range(3)]
    await forbid(embedded, f"deliveries WHEN NEW.event_id = '{bad.event_id}'")
    came = [embedded.write(receiving.accept_delivery, each) for each in (first, bad, last)]
    found = await asyncio.gather(*came, return_exceptions=True)
    assert [isinstance(each, exc.IntegrityError) for each in found] == [False, True, False]
    kept, _ = await embedded.read(deliveries.page, deliveries.Query(limit=10))
    assert {each.id for each in kept} == {first.id, last.id}


async def test_a_run_that_cannot_be_adopted_costs_no_other_of_its_page(embedded: Database) -> None:
    lines = [{"id": f"run_{number}", "status": "completed"} for number in range(3)]
    page = httpx.Response(200, json={"runs": lines, "hasMore": False})
    await forbid(embedded, "runs WHEN NEW.upstream_id = 'run_1'")
    async with upstreams.answering(embedded, lambda _: page) as context:
        asked = backfills.Walk("all", None, None, None, None, 0, 0, life.NOW, None)
        begun = await embedded.write(backfills.begin, asked, restart=True)
        walks = [walk async for walk in backfill.walk(context, begun)]
    assert (walks[-1].taken, walks[-1].finished_at is not None) == (2, True)
    known = await embedded.read(upstream_links.linked_runs, ["run_0", "run_1", "run_2"])
    assert sorted(known) == ["run_0", "run_2"]
