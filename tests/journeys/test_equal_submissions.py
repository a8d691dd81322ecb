"""Submissions that are equal, or nearly so: each is executed once, and none is given another's run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.journeys import harness
from tests.journeys.judging import judge


def both(deployment: harness.Deployment, nonce: str, *fields: dict[str, object]) -> list[harness.Row]:
    """The records of two submissions that are made at once."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda each: deployment.submit(nonce, **each), fields))


def test_one_idempotency_key_is_one_run(deployment: harness.Deployment, nonce: str) -> None:
    first, second = both(deployment, nonce, {"key": nonce}, {"key": nonce})
    assert first["id"] == second["id"]
    judge(deployment, nonce)
    assert len(deployment.named(nonce)) == 1
    assert deployment.submit(nonce, key=nonce)["status"] == "completed"


def test_a_key_that_is_used_for_something_else_is_a_conflict(deployment: harness.Deployment, nonce: str) -> None:
    deployment.submit(nonce, key=nonce)
    body = {"agentId": deployment.agent, "prompt": "Something else."}
    assert deployment.api.post("/v1/runs", json=body, headers={"Idempotency-Key": nonce}).status_code == 409
    judge(deployment, nonce)


def test_two_equal_submissions_are_two_runs(deployment: harness.Deployment, nonce: str) -> None:
    first, second = both(deployment, nonce, {}, {})
    assert first["id"] != second["id"]
    judge(deployment, nonce, records=2, execs=2)
    assert len(deployment.named(nonce)) == 2


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_equal_submissions_whose_creates_are_lost_find_one_run_each(
    swept_deployment: harness.Deployment, nonce: str, lost: int
) -> None:
    swept_deployment.script({"route": "create", "prompt": nonce, "times": lost, "action": "lose_answer"})
    both(swept_deployment, nonce, {}, {})
    judge(swept_deployment, nonce, records=2, execs=2)
    assert len([run for run in swept_deployment.named(nonce) if run["execCount"]]) == 2


@pytest.mark.parametrize("lost", [1, 2])
def test_submissions_that_differ_only_in_object_ids_are_never_mixed_up(
    swept_deployment: harness.Deployment, nonce: str, lost: int
) -> None:
    swept_deployment.script({"route": "create", "prompt": nonce, "times": lost, "action": "lose_answer"})
    runs = both(swept_deployment, nonce, {"objectIds": ["obj_1"]}, {"objectIds": ["obj_2"]})
    judge(swept_deployment, nonce, records=2, execs=2)
    shown = {run["id"]: run["objectIds"] for run in swept_deployment.named(nonce) if run["execCount"]}
    for run in runs:
        assert shown[swept_deployment.run(run)["upstreamId"]] == run["objectIds"]
    left = [run for run in swept_deployment.named(nonce) if not run["execCount"]]
    assert [run["status"] for run in left] == ["cancelled"] * lost


@pytest.mark.parametrize("field", ["guidance", "model"])
def test_a_lost_create_is_not_mistaken_for_one_that_asks_for_something_else(
    swept_deployment: harness.Deployment, nonce: str, field: str
) -> None:
    swept_deployment.script({"route": "create", "prompt": nonce, "times": 2, "action": "lose_answer"})
    runs = both(swept_deployment, nonce, {field: "one"}, {field: "two"})
    judge(swept_deployment, nonce, records=2, execs=2)
    shown = {run["id"]: run[field] for run in swept_deployment.named(nonce)}
    assert [shown[swept_deployment.run(run)["upstreamId"]] for run in runs] == ["one", "two"]
