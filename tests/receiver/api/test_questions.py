"""Questions in the filter language, over the API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def asked(deployment: Deployment, question: str, rest: str = "") -> Any:
    response = await deployment.get(f"/v1/runs?q={quote(question, safe='')}{rest}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_question_and_parameters_hold_together(deployment: Deployment) -> None:
    await life.settled_run(deployment.database, agent_id="a1")
    wanted = await life.settled_run(deployment.database, agent_id="a2", tags={"client": "acme"})
    await life.accepted(deployment.database, agent_id="a2", tags={"client": "acme"})
    found = await asked(deployment, "tag.client:ac* (status:completed OR cost:>5)", "&agent=a2&tokens=>=100")
    assert [run["id"] for run in found["runs"]] == [wanted.id]
    assert (found["total"], found["unindexed"], found["runs"][0]["snippets"]) == (None, None, [])


async def test_what_is_found_by_its_words_shows_where(deployment: Deployment) -> None:
    run = await life.settled_run(
        deployment.database, result=life.result(steps=life.steps(1, "No <force> majeure."))
    )
    before = await asked(deployment, '"force majeure"')
    await life.indexed(deployment.database)
    found = await asked(deployment, '"force majeure"', "&count=true")
    assert (before["runs"], before["unindexed"]) == ([], 1)
    assert (found["unindexed"], found["total"]) == (0, {"count": 1, "exact": True})
    assert [each["id"] for each in found["runs"]] == [run.id]
    assert found["runs"][0]["snippets"] == [
        {
            "part": "step",
            "step": 0,
            "text": "No <force> majeure.",
            "marks": [[4, 18]],
            "html": "No &lt;<mark>force&gt; majeure</mark>.",
        }
    ]


async def test_an_invalid_query_is_answered_with_its_position(deployment: Deployment) -> None:
    answer = problem(await deployment.get("/v1/runs?q=lease%20stauts:failed"), 400)
    assert answer["type"] == "urn:runledger:problem:bad-question"
    assert (answer["parameter"], answer["position"], answer["didYouMean"]) == ("q", 6, "status")
    assert "did you mean status" in answer["detail"]


async def test_a_name_in_a_parameter_is_as_particular_as_in_a_question(deployment: Deployment) -> None:
    answer = problem(await deployment.get("/v1/runs?has=outpt"), 400)
    assert (answer["parameter"], answer["didYouMean"]) == ("has", "output")
