"""A run that is stored: changing its tags, running it again, notifying again."""

from __future__ import annotations

import pytest

from storage.query import grammar
from storage.retention import erasing
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def test_tags_are_replaced_by_put_and_merged_by_patch(deployment: Deployment) -> None:
    run = (await deployment.submit(tags={"a": "1"})).json()
    path = f"/v1/runs/{run['id']}/tags"
    merged = await deployment.ask("PATCH", path, "submit", json={"tags": {"b": "2", "a": None}})
    assert (merged.status_code, merged.json()["tags"]) == (200, {"b": "2"})
    for _ in range(2):
        replaced = await deployment.ask("PUT", path, "submit", json={"tags": {"c": "3"}})
        assert (replaced.status_code, replaced.json()["tags"]) == (200, {"c": "3"})
    assert await life.ledger_kinds(deployment.database, run["id"]) == ["run.accepted", "run.tagged", "run.tagged"]


async def test_tags_that_a_submission_cannot_have_are_refused_later_as_well(deployment: Deployment) -> None:
    run = (await deployment.submit(tags={f"k{n}": "x" for n in range(50)})).json()
    path = f"/v1/runs/{run['id']}/tags"
    wrong: tuple[object, ...] = ({"a b": "x"}, {"a": "x" * 257}, {}, {"a": 1}, None)
    for tags in wrong:
        problem(await deployment.ask("PATCH", path, "submit", json={"tags": tags}), 422)
    refused = problem(await deployment.ask("PATCH", path, "submit", json={"tags": {"one": "more"}}), 422)
    assert refused["type"] == "urn:runledger:problem:too-many-tags"
    problem(await deployment.ask("PUT", "/v1/runs/nothing/tags", "submit", json={"tags": {}}), 404)


async def test_a_run_is_run_again_with_what_the_body_changes(deployment: Deployment) -> None:
    first = (await deployment.submit(guidance="Be brief.", tags={"a": "1"})).json()
    path, once = f"/v1/runs/{first['id']}/again", {"idempotency-key": "once"}
    again = await deployment.post(path, json={"prompt": "Another."}, headers=once)
    assert (again.status_code, again.json()["againOf"], again.json()["guidance"]) == (
        202,
        first["id"],
        "Be brief.",
    )
    same = await deployment.post(path, json={"prompt": "Another."}, headers=once)
    assert (same.status_code, same.json()["id"]) == (200, again.json()["id"])
    problem(await deployment.post(path, json={}, headers=once), 409)
    problem(await deployment.post("/v1/runs/nothing/again", json={}), 404)
    listed = (await deployment.get("/v1/runs", params={"q": f"again_of:{first['id']}"})).json()["runs"]
    assert [each["againOf"] for each in listed] == [first["id"]]


async def test_a_run_without_content_is_not_run_again(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    await deployment.database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    refused = problem(await deployment.post(f"/v1/runs/{run.id}/again", json={}), 409)
    assert "was removed" in refused["detail"]


async def test_the_backend_is_notified_again_of_an_end(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    path = f"/v1/runs/{run.id}/notify"
    assert "RUNLEDGER_NOTIFY_URL" in problem(await deployment.post(path), 409)["detail"]
    await life.request_follow_ups(deployment.database, notifies=True)
    assert (await deployment.post(path)).status_code == 202
    assert await life.open_jobs(deployment.database, run.id) == ["notify"]
