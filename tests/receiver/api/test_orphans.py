"""The upstream id of an orphan in a path: reads find its submission, and commands are refused."""

from __future__ import annotations

import pytest

from storage.repositories import runs
from storage.transitions import starting
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio

ORPHAN = "run_orphan"


async def left_behind(deployment: Deployment) -> runs.Run:
    """Return a run that is executed, and the orphan that a lost answer left."""
    run = await life.running(deployment.database, "run_executed")
    assert await deployment.database.write(starting.record_orphan, run.id, ORPHAN, life.NOW)
    return await life.get_run(deployment.database, run.id)


async def test_nothing_is_asked_of_the_run_that_is_executed(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    run = await left_behind(deployment)
    for verb in ["cancel", "refresh"]:
        with subtests.test(f"{verb!r:.60}"):
            answer = problem(await deployment.post(f"/v1/runs/{ORPHAN}/{verb}"), 409)
            assert (answer["type"], answer["runId"]) == ("urn:runledger:problem:orphan", run.id)
            assert f"orphan of run {run.id}" in answer["detail"]
            assert await life.get_run(deployment.database, run.id) == run
            assert await life.open_jobs(deployment.database, run.id) == ["orphan"]
            assert "run.cancel_requested" not in await life.ledger_kinds(deployment.database, run.id)


@pytest.mark.parametrize("verb", ["cancel", "refresh"])
@pytest.mark.parametrize("named", ["ours", "theirs"])
async def test_by_its_own_ids_it_is_asked(deployment: Deployment, verb: str, named: str) -> None:
    run = await left_behind(deployment)
    which = run.id if named == "ours" else run.upstream_id
    assert (await deployment.post(f"/v1/runs/{which}/{verb}")).json()["id"] == run.id
    assert len(await life.open_jobs(deployment.database, run.id)) == 2


async def test_an_orphan_is_not_followed(deployment: Deployment) -> None:
    run = await left_behind(deployment)
    answer = problem(await deployment.post("/v1/watch", json={"runId": ORPHAN}), 409)
    assert answer["runId"] == run.id


async def test_the_content_of_another_run_is_not_shown_as_its_own(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    run = await left_behind(deployment)
    for content in ["steps", "document", "events"]:
        with subtests.test(f"{content!r:.60}"):
            assert problem(await deployment.get(f"/v1/runs/{ORPHAN}/{content}"), 409)["runId"] == run.id


async def test_it_finds_the_submission_it_belongs_to(deployment: Deployment, subtests: pytest.Subtests) -> None:
    run = await left_behind(deployment)
    for path in ["/v1/runs/{}", "/v1/runs/{}/timeline", "/v1/jobs?run={}", "/v1/deliveries?run={}"]:
        with subtests.test(f"{path!r:.60}"):
            by_orphan, by_run = (
                await deployment.get(path.format(ORPHAN)),
                await deployment.get(path.format(run.id)),
            )
            assert (by_orphan.status_code, by_orphan.json()) == (200, by_run.json())
