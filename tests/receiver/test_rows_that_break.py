"""One run, one job, one rejected request that cannot be dealt with holds up nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from receiver import indexer, rejections, telemetry
from storage import deliveries, ids, search, states
from storage.database import Database
from tests import life

pytestmark = pytest.mark.anyio


async def test_a_rejected_request_that_cannot_be_stored_does_not_take_the_others_with_it(
    database: Database,
) -> None:
    ring = rejections.Ring(database, lambda: life.NOW)
    road, digest = states.Road.PLATFORM, "0" * 64
    good = deliveries.Rejected(ids.new(life.NOW), road, life.NOW, {}, b"x", digest, 1, "bad signature", None)
    for each in (good, replace(good, id=None), replace(good, id=ids.new(life.NOW))):  # type: ignore[arg-type]
        ring.add(each)
    await ring.flush()
    kept, _ = await database.read(deliveries.page, deliveries.Query(limit=10))
    assert len(kept) == 2


async def test_a_run_that_cannot_be_indexed_holds_up_no_other(embedded: Database) -> None:
    first, broken, last = [await life.accepted(embedded, prompt=f"word{at}") for at in range(3)]
    spoil = "UPDATE search_queue SET wished_at = 'never' WHERE run_seq = :seq"
    await embedded.write(lambda connection: connection.execute(text(spoil), {"seq": broken.seq}))
    await indexer.Indexer(embedded, telemetry.Telemetry()).catch_up()
    waiting = await embedded.read(search.unindexed, [first.id, broken.id, last.id])
    assert waiting == [broken.id]
