"""Evidence over HTTP, checked by the auditor's verifier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from receiver import errors
from receiver.evidence import archive
from receiver.export import flow
from receiver.verifier.evidence import check, values
from receiver.web import operations
from storage.engine.database import Database
from storage.tables.runs import RUNS
from tests import evidence_store
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


@pytest.fixture
async def deployment(database: Database) -> AsyncIterator[Deployment]:
    async for made in app_fixture.opened(database, ledger=operations.Ledger(evidence_store.POLICY)):
        yield made


async def settled(deployment: Deployment) -> str:
    run_id = await evidence_store.settle(deployment.database)
    await evidence_store.sign(deployment.database)
    return run_id


async def test_the_zip_of_a_run_holds(deployment: Deployment, tmp_path: Path) -> None:
    run_id = await settled(deployment)
    answer = await deployment.get("/v1/runs/run_1/evidence")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    assert f'filename="evidence-{run_id}.zip"' in answer.headers["content-disposition"]
    path = tmp_path / "evidence.zip"
    path.write_bytes(answer.content)
    found = check.check(path, evidence_store.POLICY.text.encode())
    assert (found.failures, [run["run"] for run in found.runs]) == ([], [run_id])


async def test_what_is_not_asked_for_is_withheld(deployment: Deployment, tmp_path: Path) -> None:
    run_id = await settled(deployment)
    path = tmp_path / "evidence.zip"
    path.write_bytes((await deployment.get(f"/v1/runs/{run_id}/evidence?only=prompt,tags")).content)
    (run,) = check.check(path).runs
    assert run[values.DISCLOSED] == ["prompt", "tags"]
    wrong = await deployment.get(f"/v1/runs/{run_id}/evidence?only=answer")
    assert "only" in problem(wrong, 400)["detail"]


async def test_a_run_of_another_name_has_no_evidence(deployment: Deployment) -> None:
    problem(await deployment.get("/v1/runs/run_nobody/evidence"), 404)


async def test_a_store_that_was_changed_is_a_conflict_that_says_what_differs(deployment: Deployment) -> None:
    run_id = await settled(deployment)

    def tamper(connection: Connection) -> None:
        connection.execute(update(RUNS).values(output="Another answer."))

    await deployment.database.write(tamper)
    for _ in range(flow.AT_ONCE + 1):  # each frees its slot
        found = problem(await deployment.get(f"/v1/runs/{run_id}/evidence"), 409)
    assert found["type"] == "urn:runledger:problem:evidence-not-made"
    assert "output is not the value that was recorded" in found["detail"]


async def test_what_is_too_large_for_a_request_says_so(database: Database, tmp_path: Path) -> None:
    run_id = await evidence_store.settle(database)
    newest = await evidence_store.sign(database)
    given = (database, tmp_path / "evidence.zip", [run_id], newest, evidence_store.POLICY)
    with pytest.raises(errors.EvidenceNotMade, match="the most for a request: choose fewer values"):
        await archive.write(*given, most_bytes=1000)


async def test_a_server_without_the_keys_of_its_ledger_says_so(database: Database) -> None:
    run_id = await evidence_store.settle(database)
    async for deployment in app_fixture.opened(database):
        found = problem(await deployment.get(f"/v1/runs/{run_id}/evidence"), 409)
        assert "does not know the keys" in found["detail"]
