"""Submissions that are equal, or nearly so: each is executed once, and none is given another's run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.journeys import story
from tests.journeys.judging import judge


def both(house: story.House, nonce: str, *fields: dict[str, object]) -> list[story.Row]:
    """The records of two submissions that are made at once."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda each: house.submit(nonce, **each), fields))


def test_one_idempotency_key_is_one_run(house: story.House, nonce: str) -> None:
    first, second = both(house, nonce, {"key": nonce}, {"key": nonce})
    assert first["id"] == second["id"]
    judge(house, nonce)
    assert len(house.named(nonce)) == 1
    assert house.submit(nonce, key=nonce)["status"] == "completed"


def test_a_key_that_is_used_for_something_else_is_a_conflict(house: story.House, nonce: str) -> None:
    house.submit(nonce, key=nonce)
    body = {"agentId": house.agent, "prompt": "Something else."}
    assert house.api.post("/v1/runs", json=body, headers={"Idempotency-Key": nonce}).status_code == 409
    judge(house, nonce)


def test_two_equal_submissions_are_two_runs(house: story.House, nonce: str) -> None:
    first, second = both(house, nonce, {}, {})
    assert first["id"] != second["id"]
    judge(house, nonce, records=2, execs=2)
    assert len(house.named(nonce)) == 2


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_equal_submissions_whose_creates_are_lost_find_one_run_each(
    swept_house: story.House, nonce: str, lost: int
) -> None:
    swept_house.script({"route": "create", "prompt": nonce, "times": lost, "action": "lose_answer"})
    both(swept_house, nonce, {}, {})
    judge(swept_house, nonce, records=2, execs=2)
    assert len([run for run in swept_house.named(nonce) if run["execCount"]]) == 2


@pytest.mark.parametrize("lost", [1, 2])
def test_submissions_that_differ_only_in_object_ids_are_never_mixed_up(
    swept_house: story.House, nonce: str, lost: int
) -> None:
    swept_house.script({"route": "create", "prompt": nonce, "times": lost, "action": "lose_answer"})
    runs = both(swept_house, nonce, {"objectIds": ["obj_1"]}, {"objectIds": ["obj_2"]})
    judge(swept_house, nonce, records=2, execs=2)
    shown = {run["id"]: run["objectIds"] for run in swept_house.named(nonce) if run["execCount"]}
    for run in runs:
        assert shown[swept_house.run(run)["upstreamId"]] == run["objectIds"]
    left = [run for run in swept_house.named(nonce) if not run["execCount"]]
    assert [run["status"] for run in left] == ["cancelled"] * lost


@pytest.mark.parametrize("field", ["guidance", "model"])
def test_a_lost_create_is_not_taken_for_one_that_asks_for_something_else(
    swept_house: story.House, nonce: str, field: str
) -> None:
    swept_house.script({"route": "create", "prompt": nonce, "times": 2, "action": "lose_answer"})
    runs = both(swept_house, nonce, {field: "one"}, {field: "two"})
    judge(swept_house, nonce, records=2, execs=2)
    shown = {run["id"]: run[field] for run in swept_house.named(nonce)}
    assert [shown[swept_house.run(run)["upstreamId"]] for run in runs] == ["one", "two"]
