"""Legal holds over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


def body(scope: str, target: str) -> dict[str, Any]:
    return {"scope": scope, "target": target, "reason": "Litigation 7"}


async def test_a_hold_is_placed_listed_and_released(deployment: Deployment) -> None:
    placed = await deployment.post("/v1/holds", "admin", json=body("tag", "matter=7"))
    assert placed.status_code == 201
    hold = placed.json()
    assert (hold["scope"], hold["target"], hold["placedBy"]) == ("tag", "matter=7", "key:backend-admin")
    assert (await deployment.get("/v1/holds", "admin")).json()["holds"] == [hold]
    released = (await deployment.post(f"/v1/holds/{hold['id']}/release", "admin")).json()
    assert (released["releasedBy"], released["releasedAt"] is None) == ("key:backend-admin", False)
    assert (await deployment.get("/v1/holds", "admin")).json()["holds"] == []
    assert (await deployment.get("/v1/holds?state=all", "admin")).json()["holds"] == [released]


async def test_a_run_is_held_by_either_id(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    for named in (run.id, run.upstream_id):
        placed = await deployment.post("/v1/holds", "admin", json=body("run", str(named)))
        assert placed.json()["target"] == run.id


@pytest.mark.parametrize(
    ("scope", "target", "status"),
    [
        ("run", "run_none", 404), ("run", "a b", 422), ("tag", "matter", 422), ("tag", "a b=c", 422),
        ("question", "statuz:x", 400), ("question", "x" * 4001, 422), ("else", "x", 422),
    ],
)  # fmt: skip
async def test_a_hold_that_cannot_be_is_refused(
    deployment: Deployment, scope: str, target: str, status: int
) -> None:
    problem(await deployment.post("/v1/holds", "admin", json=body(scope, target)), status)


async def test_a_hold_that_is_not_there_is_not_found(deployment: Deployment) -> None:
    problem(await deployment.post("/v1/holds/none/release", "admin"), 404)
