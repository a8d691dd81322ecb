"""The upstream id of an orphan in a path: it finds its submission, and nothing is asked of that by it."""

from __future__ import annotations

import pytest

from storage import runs, transitions
from tests import life
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio

ORPHAN = "run_orphan"


async def left_behind(house: House) -> runs.Run:
    """A run that is executed, and the orphan that a lost answer left beside it."""
    run = await life.running(house.database, "run_executed")
    assert await house.database.write(transitions.orphan, run.id, ORPHAN, life.NOW)
    return await life.found(house.database, run.id)


@pytest.mark.parametrize("verb", ["cancel", "refresh"])
async def test_nothing_is_asked_of_the_run_that_is_executed(house: House, verb: str) -> None:
    run = await left_behind(house)
    told = problem(await house.post(f"/v1/runs/{ORPHAN}/{verb}"), 409)
    assert (told["type"], told["runId"]) == ("urn:runledger:problem:orphan", run.id)
    assert f"orphan of run {run.id}" in told["detail"]
    assert await life.found(house.database, run.id) == run
    assert await life.open_jobs(house.database, run.id) == ["orphan"]
    assert "run.cancel_requested" not in await life.told(house.database, run.id)


@pytest.mark.parametrize("verb", ["cancel", "refresh"])
@pytest.mark.parametrize("named", ["ours", "theirs"])
async def test_by_its_own_ids_it_is_asked(house: House, verb: str, named: str) -> None:
    run = await left_behind(house)
    which = run.id if named == "ours" else run.upstream_id
    assert (await house.post(f"/v1/runs/{which}/{verb}")).json()["id"] == run.id
    assert len(await life.open_jobs(house.database, run.id)) == 2


async def test_an_orphan_is_not_taken_care_of(house: House) -> None:
    run = await left_behind(house)
    told = problem(await house.post("/v1/watch", json={"runId": ORPHAN}), 409)
    assert told["runId"] == run.id


@pytest.mark.parametrize("content", ["steps", "document", "events"])
async def test_the_content_of_another_run_is_not_shown_as_its_own(house: House, content: str) -> None:
    run = await left_behind(house)
    assert problem(await house.get(f"/v1/runs/{ORPHAN}/{content}"), 409)["runId"] == run.id


@pytest.mark.parametrize(
    "path", ["/v1/runs/{}", "/v1/runs/{}/timeline", "/v1/jobs?run={}", "/v1/deliveries?run={}"]
)
async def test_it_finds_the_submission_it_belongs_to(house: House, path: str) -> None:
    run = await left_behind(house)
    by_orphan, by_run = await house.get(path.format(ORPHAN)), await house.get(path.format(run.id))
    assert (by_orphan.status_code, by_orphan.json()) == (200, by_run.json())
