"""Reviews over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from storage.repositories import runs
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


@pytest.fixture
async def run(deployment: Deployment) -> runs.Run:
    return await life.settled_run(deployment.database)


async def say(deployment: Deployment, run: runs.Run, **body: Any) -> Any:
    return await deployment.ask("POST", f"/v1/runs/{run.id}/reviews", "submit", json=body)


async def test_a_review_is_made_once_and_listed_by_either_id(deployment: Deployment, run: runs.Run) -> None:
    made, again = [await say(deployment, run, verdict="approved", comment="Good.") for _ in range(2)]
    assert (made.status_code, again.status_code, again.json()) == (201, 200, made.json())
    assert {**made.json(), "id": "", "by": "", "at": ""} == {
        **dict.fromkeys(("id", "by", "at"), ""),
        "runId": run.id,
        "verdict": "approved",
        "comment": "Good.",
    }
    for named in (run.id, run.upstream_id):
        assert (await deployment.get(f"/v1/runs/{named}/reviews")).json()["reviews"] == [made.json()]


async def test_a_run_has_its_newest_judgement_in_lists_too(deployment: Deployment, run: runs.Run) -> None:
    assert (await deployment.get(f"/v1/runs/{run.id}")).json()["review"] is None
    await say(deployment, run, verdict="rejected")
    assert (await deployment.get(f"/v1/runs/{run.id}")).json()["review"] == "rejected"
    assert [each["review"] for each in (await deployment.get("/v1/runs")).json()["runs"]] == ["rejected"]


async def test_runs_are_found_by_their_newest_judgement(deployment: Deployment, run: runs.Run) -> None:
    unreviewed = await life.settled_run(deployment.database)
    await say(deployment, run, verdict="approved")
    await say(deployment, unreviewed, verdict="comment", comment="Later.")
    for question, expected in (
        ({"q": "review:approved"}, {run.id}),
        ({"review": "none"}, {unreviewed.id}),
        ({"review": "approved,none"}, {run.id, unreviewed.id}),
        ({"q": "-review:approved"}, {unreviewed.id}),
        ({"q": "review:rejected"}, set()),
    ):
        found = (await deployment.get("/v1/runs", params=question)).json()["runs"]
        assert {each["id"] for each in found} == expected, question
    problem(await deployment.get("/v1/runs", params={"review": "comment"}), 400)


async def test_what_cannot_be_a_review_is_refused_with_its_place(deployment: Deployment, run: runs.Run) -> None:
    for body, place in (
        ({"verdict": "comment"}, "#/comment"),
        ({"verdict": "comment", "comment": ""}, "#/comment"),
        ({"verdict": "maybe"}, "#/verdict"),
        ({"verdict": "approved", "comment": "x" * 10_001}, "#/comment"),
        ({"verdict": "approved", "comment": "a\0b"}, "#/comment"),
        ({"verdict": "approved", "by": "somebody"}, "#/by"),
    ):
        refused = problem(await say(deployment, run, **body), 422)
        assert [each["pointer"] for each in refused["errors"]] == [place], body


async def test_a_run_that_goes_on_or_is_unknown_is_not_reviewed(deployment: Deployment) -> None:
    going = await life.running(deployment.database)
    refused = problem(await say(deployment, going, verdict="approved"), 409)
    assert refused["type"] == "urn:runledger:problem:not-settled"
    problem(await deployment.ask("POST", "/v1/runs/no/reviews", "submit", json={"verdict": "approved"}), 404)
    problem(await deployment.get("/v1/runs/no/reviews"), 404)


async def test_a_key_that_reads_does_not_review(deployment: Deployment, run: runs.Run) -> None:
    body = {"verdict": "approved"}
    problem(await deployment.ask("POST", f"/v1/runs/{run.id}/reviews", "read", json=body), 403)


async def test_the_timeline_has_a_review(deployment: Deployment, run: runs.Run) -> None:
    await say(deployment, run, verdict="rejected", comment="Clause 7.")
    timeline = (await deployment.get(f"/v1/runs/{run.id}/timeline")).json()["timeline"]
    found = [each for each in timeline if each["kind"] == "run.reviewed"]
    assert [each["facts"]["verdict"] for each in found] == ["rejected"]
