"""Sums over runs."""

from __future__ import annotations

import pytest

from receiver.schemas import responses
from storage import states
from storage.query import grammar
from storage.stats import questions
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def test_sums_are_counts_costs_tokens_and_durations_of_each_group(deployment: Deployment) -> None:
    for cost, duration in ((1000, 100), (3000, 300)):
        result = life.result(measures=life.measures(cost_micros=cost, duration_ms=duration))
        await life.settled_run(deployment.database, agent_id="a_1", result=result)
    response = await deployment.get("/v1/stats?by=agent")
    assert response.json() == {
        "by": "agent",
        "measure": "duration",
        "readFrom": "rollup",
        "bounded": False,
        "window": None,
        "stats": [
            {
                "key": "a_1",
                "count": 2,
                "costMicros": 4000,
                "inputTokens": 180,
                "outputTokens": 72,
                "meanDurationMs": 200,
                "maxDurationMs": 300,
                "p50Ms": 101,
                "p90Ms": 295,
                "p95Ms": 295,
                "p99Ms": 295,
            }
        ],
    }


async def test_the_answer_has_the_form_of_its_schema(deployment: Deployment) -> None:
    for agent in ("\u2028\x1f é \U0001f600", '"\\'):
        await life.settled_run(deployment.database, agent_id=agent)
    await life.accepted(deployment.database, agent_id=None, instructions="Look.")
    for by in ("agent", "tag.none", "day"):
        found = await deployment.database.read(questions.find, by, grammar.EVERYTHING)
        expected = responses.Stats.model_validate(found).model_dump_json(by_alias=True)
        assert (await deployment.get(f"/v1/stats?by={by}")).text == expected


#: What is grouped by, and the keys of the groups that are found.
GROUPS: list[tuple[str, list[str | None]]] = [
    ("agent", ["agent_1", "agent_2"]),
    ("model", ["m-1", None]),
    ("status", ["completed", "accepted", "failed"]),
    ("origin", ["submitted"]),
    ("settled_by", ["watcher", None]),
    ("day", ["2026-11-23"]),
    ("hour", ["2026-11-23T12:00Z"]),
    ("month", ["2026-11"]),
    ("tag.matter", [None]),
]


async def test_runs_can_be_grouped_in_each_way(deployment: Deployment, subtests: pytest.Subtests) -> None:
    await life.settled_run(deployment.database, model="m-1")
    await life.settled_run(deployment.database, model="m-1")
    await life.settled_run(deployment.database, states.FAILED, model="m-1")
    await life.accepted(deployment.database, agent_id="agent_2")
    for by, keys in GROUPS:
        with subtests.test(f"{by!r:.60}"):
            found = (await deployment.get(f"/v1/stats?by={by}")).json()["stats"]
            assert sorted(row["key"] or "" for row in found) == sorted(key or "" for key in keys)
            assert sum(row["count"] for row in found) == 4


async def test_delays_are_grouped_by_source_and_failures_by_reason(
    deployment: Deployment,
) -> None:
    failed = life.result(states.FAILED, measures=life.measures(failure_reason="No room 101."))
    await life.settled_run(deployment.database, states.FAILED, result=failed)
    by_source = (await deployment.get("/v1/stats?by=source")).json()
    assert (by_source["measure"], by_source["stats"][0]["key"], by_source["stats"][0]["maxDurationMs"]) == (
        "settling",
        "watcher",
        1000,
    )
    by_reason = (await deployment.get("/v1/stats?by=failure_reason")).json()
    assert [row["key"] for row in by_reason["stats"]] == ["No room #."]


async def test_a_grouping_that_resembles_a_known_one_is_answered_with_it(deployment: Deployment) -> None:
    answer = problem(await deployment.get("/v1/stats?by=modle"), 400)
    assert (answer["parameter"], answer["didYouMean"]) == ("by", "model")


async def test_an_answer_from_rows_is_marked_as_such(deployment: Deployment) -> None:
    found = (await deployment.get("/v1/stats?by=hour&q=cost%3A%3E0.001")).json()
    assert (found["readFrom"], found["bounded"], found["window"]) == ("rows", False, None)


async def test_sums_are_taken_over_the_runs_that_the_filters_choose(deployment: Deployment) -> None:
    await life.settled_run(deployment.database, tags={"case": "7"})
    await life.settled_run(deployment.database, states.FAILED)
    found = (await deployment.get("/v1/stats?by=status&tag.case=7&cost=%3E0.001")).json()["stats"]
    assert [(row["key"], row["count"]) for row in found] == [("completed", 1)]


async def test_a_parameter_of_sums_that_cannot_be_read_is_named(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for query in ["by=prompt", "by=", "sort=cost", "limit=5", "cost=x"]:
        with subtests.test(f"{query!r:.60}"):
            assert problem(await deployment.get(f"/v1/stats?{query}"), 400)["parameter"] == query.partition("=")[0]
