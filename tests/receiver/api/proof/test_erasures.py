"""Erasure over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.engine import urls
from storage.repositories import runs
from storage.transitions import receiving
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio

WORD = "unmistakable"
REASON = {"reason": "Request 7"}


async def settled(deployment: Deployment) -> runs.Run:
    run = await life.settled_run(deployment.database, prompt=f"Read the {WORD} lease.", tags={"matter": "7"})
    await deployment.database.write(receiving.accept_delivery, life.delivery(run_id=run.id, body=WORD.encode()))
    await life.indexed(deployment.database)
    return run


async def test_a_dry_run_reports_and_removes_nothing(deployment: Deployment) -> None:
    run = await settled(deployment)
    found = (await deployment.post(f"/v1/runs/{run.id}/erase", "admin", json=REASON | {"dryRun": True})).json()
    assert (found["dryRun"], found["runs"], found["rows"]["steps"], found["refused"]) == (True, 1, 3, [])
    assert (await life.get_run(deployment.database, run.id)).prompt == run.prompt


async def test_what_was_erased_is_nowhere_in_the_files(deployment: Deployment) -> None:
    run = await settled(deployment)
    erased = (await deployment.post(f"/v1/runs/{run.id}/erase", "admin", json=REASON)).json()
    assert (erased["runs"], erased["rows"]["deliveries"]) == (1, 1)
    assert {"prompt", "output", "steps", "deliveries"} <= {*erased["fields"]}
    assert any("exports" in each for each in erased["outside"])
    timeline = (await deployment.get(f"/v1/runs/{run.id}/timeline")).json()["timeline"]
    (entry,) = [each for each in timeline if each["kind"] == "content.erased"]
    assert (entry["actor"], entry["facts"]["reason"]) == ("key:backend-admin", "Request 7")
    file = urls.file_path(deployment.database.url)
    assert erased["isOverwritten"] is (None if file is None else True)
    if file is not None:
        held = {path.name: path.read_bytes() for path in Path(file).parent.iterdir() if path.is_file()}
        assert [name for name, each in held.items() if WORD.encode() in each] == []


async def test_what_is_left_can_be_erased_later(deployment: Deployment) -> None:
    run = await settled(deployment)
    asked = f"/v1/runs/{run.id}/erase"
    assert (await deployment.post(asked, "admin", json=REASON)).json()["runs"] == 1
    assert (await deployment.post(asked, "admin", json=REASON)).json()["runs"] == 0
    again = (await deployment.post(asked, "admin", json=REASON | {"fields": ["tags"]})).json()
    assert again["fields"] == ["tags"]


async def test_an_erasure_under_a_hold_is_refused_and_names_it(deployment: Deployment) -> None:
    run = await settled(deployment)
    hold = {"scope": "tag", "target": "matter=7", "reason": "Litigation 7"}
    placed = (await deployment.post("/v1/holds", "admin", json=hold)).json()
    asked = f"/v1/runs/{run.id}/erase"
    (refused,) = (await deployment.post(asked, "admin", json=REASON | {"dryRun": True})).json()["refused"]
    answer = problem(await deployment.post(asked, "admin", json=REASON), 409)
    assert answer["type"] == "urn:runledger:problem:not-erasable"
    assert placed["id"] in answer["detail"] == refused["reason"]
    assert (await life.get_run(deployment.database, run.id)).prompt == run.prompt


@pytest.mark.parametrize("body", [{}, {"reason": ""}, REASON | {"fields": []}, REASON | {"fields": ["steps"]}])
async def test_an_erasure_that_is_not_whole_is_refused(deployment: Deployment, body: dict[str, object]) -> None:
    run = await life.settled_run(deployment.database)
    problem(await deployment.post(f"/v1/runs/{run.id}/erase", "admin", json=body), 422)
