"""Questions in the filter language, over the API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests import life
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio


async def asked(house: House, question: str, rest: str = "") -> Any:
    response = await house.get(f"/v1/runs?q={quote(question, safe='')}{rest}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_question_and_parameters_hold_together(house: House) -> None:
    await life.settled_run(house.database, agent_id="a1")
    wanted = await life.settled_run(house.database, agent_id="a2", tags={"client": "acme"})
    await life.accepted(house.database, agent_id="a2", tags={"client": "acme"})
    found = await asked(house, "tag.client:ac* (status:completed OR cost:>5)", "&agent=a2&tokens=>=100")
    assert [run["id"] for run in found["runs"]] == [wanted.id]
    assert (found["total"], found["unindexed"], found["runs"][0]["snippets"]) == (None, None, [])


async def test_what_is_found_by_its_words_shows_where(house: House) -> None:
    run = await life.settled_run(house.database, result=life.result(steps=life.steps(1, "No <force> majeure.")))
    before = await asked(house, '"force majeure"')
    await life.indexed(house.database)
    found = await asked(house, '"force majeure"', "&count=true")
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


async def test_a_question_that_cannot_be_read_is_told_by_its_place(house: House) -> None:
    told = problem(await house.get("/v1/runs?q=lease%20stauts:failed"), 400)
    assert told["type"] == "urn:runledger:problem:bad-question"
    assert (told["parameter"], told["position"], told["didYouMean"]) == ("q", 6, "status")
    assert "did you mean status" in told["detail"]


async def test_a_name_in_a_parameter_is_as_particular_as_in_a_question(house: House) -> None:
    told = problem(await house.get("/v1/runs?has=outpt"), 400)
    assert (told["parameter"], told["didYouMean"]) == ("has", "output")
