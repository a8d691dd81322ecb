"""Changing a run that is stored: its tags."""

from __future__ import annotations

import pytest

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
