"""The API on a run whose content was removed."""

from __future__ import annotations

import pytest

from storage.query import grammar
from storage.repositories import deliveries, runs
from storage.retention import erasing
from storage.transitions import receiving
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def _pruned(deployment: Deployment) -> runs.Run:
    run = await life.settled_run(deployment.database)
    await deployment.database.write(receiving.accept_delivery, life.delivery(run_id=run.id))
    await deployment.database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    return run


async def test_a_pruned_run_shows_since_when_and_keeps_its_measures(deployment: Deployment) -> None:
    run = await _pruned(deployment)
    shown = (await deployment.get(f"/v1/runs/{run.id}")).json()
    assert (shown["prunedAt"], shown["prompt"], shown["output"]) == ("2026-11-23T12:16:40.000000Z", None, None)
    assert (shown["status"], shown["costMicros"], shown["stepCount"]) == ("completed", 3000, 3)
    assert (await deployment.get("/v1/runs")).json()["runs"][0]["prunedAt"] == shown["prunedAt"]


async def test_content_that_was_removed_is_gone(deployment: Deployment, subtests: pytest.Subtests) -> None:
    run = await _pruned(deployment)
    for what in ["steps", "document"]:
        with subtests.test(f"{what!r:.60}"):
            answer = problem(await deployment.get(f"/v1/runs/{run.id}/{what}"), 410)
            assert answer["type"] == "urn:runledger:problem:pruned"
            assert answer["runId"] == run.id
            assert "was removed" in answer["detail"]


async def test_a_pruned_run_is_not_fetched_again(deployment: Deployment) -> None:
    run = await _pruned(deployment)
    problem(await deployment.post(f"/v1/runs/{run.id}/refresh"), 410)
    assert await life.open_jobs(deployment.database, run.id) == []


async def test_its_timeline_ends_with_the_removal(deployment: Deployment) -> None:
    run = await _pruned(deployment)
    timeline = (await deployment.get(f"/v1/runs/{run.id}/timeline")).json()["timeline"]
    assert timeline[-1]["kind"] == "content.erased"
    assert "deliveries" in timeline[-1]["facts"]["fields"]


async def test_a_delivery_of_it_has_no_body_any_more(deployment: Deployment) -> None:
    run = await _pruned(deployment)
    (line,), _ = await deployment.database.read(deliveries.page, deliveries.Query(run_id=run.id))
    shown = (await deployment.get(f"/v1/deliveries/{line.id}")).json()
    assert (shown["body"], shown["text"], shown["headers"]) == ("", None, {})
    assert shown["size"] > 0


async def test_the_idempotency_key_of_a_pruned_run_stays_in_use(deployment: Deployment) -> None:
    await life.settled_run(deployment.database, submitted_by="backend-submit", idempotency_key="order-1")
    await deployment.database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    answer = problem(await deployment.submit({"Idempotency-Key": "order-1"}), 409)
    assert "content was removed" in answer["detail"]
