"""What the API says of a run whose content was removed."""

from __future__ import annotations

import pytest

from storage import deliveries, filters, runs, transitions
from tests import life
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio


async def _pruned(house: House) -> runs.Run:
    run = await life.settled_run(house.database)
    await house.database.write(transitions.accept_delivery, life.delivery(run_id=run.id))
    await house.database.write(transitions.prune, filters.EVERYTHING, life.at(1000))
    return run


async def test_a_pruned_run_says_since_when_and_keeps_its_measures(house: House) -> None:
    run = await _pruned(house)
    shown = (await house.get(f"/v1/runs/{run.id}")).json()
    assert (shown["prunedAt"], shown["prompt"], shown["output"]) == ("2026-11-23T12:16:40.000000Z", None, None)
    assert (shown["status"], shown["costMicros"], shown["stepCount"]) == ("completed", 3000, 3)
    assert (await house.get("/v1/runs")).json()["runs"][0]["prunedAt"] == shown["prunedAt"]


@pytest.mark.parametrize("what", ["steps", "document"])
async def test_content_that_was_removed_is_gone(house: House, what: str) -> None:
    run = await _pruned(house)
    told = problem(await house.get(f"/v1/runs/{run.id}/{what}"), 410)
    assert told["type"] == "urn:runledger:problem:pruned"
    assert told["runId"] == run.id
    assert "prune" in told["detail"]


async def test_a_pruned_run_is_not_fetched_again(house: House) -> None:
    run = await _pruned(house)
    problem(await house.post(f"/v1/runs/{run.id}/refresh"), 410)
    assert await life.open_jobs(house.database, run.id) == []


async def test_its_timeline_ends_with_the_removal(house: House) -> None:
    run = await _pruned(house)
    told = (await house.get(f"/v1/runs/{run.id}/timeline")).json()["timeline"]
    assert told[-1]["kind"] == "run.pruned"
    assert told[-1]["facts"]["deliveries"] == 1


async def test_a_delivery_of_it_has_no_body_any_more(house: House) -> None:
    run = await _pruned(house)
    (line,), _ = await house.database.read(deliveries.page, deliveries.Query(run_id=run.id))
    shown = (await house.get(f"/v1/deliveries/{line.id}")).json()
    assert (shown["body"], shown["text"], shown["headers"]) == ("", None, {})
    assert shown["size"] > 0


async def test_its_idempotency_key_is_taken(house: House) -> None:
    await life.settled_run(house.database, submitted_by="backend-submit", idempotency_key="order-1")
    await house.database.write(transitions.prune, filters.EVERYTHING, life.at(1000))
    told = problem(await house.submit({"Idempotency-Key": "order-1"}), 409)
    assert "content was removed" in told["detail"]
