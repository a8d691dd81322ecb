"""A list shows the rows around one that cannot be read, and names that one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from receiver import telemetry
from receiver.web import streaming
from storage.ledger import entries
from storage.transitions import receiving
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(embedded: Any) -> Any:
    """Return the embedded database: only it keeps values of any type."""
    return embedded


async def spoil(deployment: Deployment, sql: str, **values: object) -> None:
    await deployment.database.write(
        lambda connection: connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON").close()
    )
    await deployment.database.write(lambda connection: connection.execute(text(sql), values).close())


async def test_a_list_of_runs_leaves_out_what_it_cannot_read_and_names_it(deployment: Deployment) -> None:
    bad, good = await life.settled_run(deployment.database), await life.settled_run(deployment.database)
    await spoil(deployment, "UPDATE runs SET cost_micros = 'much', status = 'odd' WHERE id = :id", id=bad.id)
    page = (await deployment.get("/v1/runs")).json()
    assert [each["id"] for each in page["runs"]] == [good.id]
    assert page["unreadable"] == [bad.id]


async def test_a_list_of_steps_leaves_out_what_it_cannot_read_and_names_it(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    await spoil(
        deployment, "UPDATE run_steps SET duration_ms = 'long' WHERE run_id = :id AND position = 1", id=run.id
    )
    page = (await deployment.get(f"/v1/runs/{run.id}/steps")).json()
    assert ([each["position"] for each in page["steps"]], page["unreadable"]) == ([0, 2], ["1"])


async def test_a_job_of_an_unknown_kind_is_listed_and_named_by_the_readiness(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database)
    await spoil(deployment, "UPDATE jobs SET kind = 'teleport', last_error = 'no' WHERE run_id = :id", id=run.id)
    listed = (await deployment.get("/v1/jobs")).json()["jobs"]
    assert [(each["kind"], each["runId"]) for each in listed] == [("teleport", run.id)]
    assert [each["kind"] for each in (await deployment.get("/readyz")).json()["failing"]] == ["teleport"]


async def test_an_entry_of_the_feed_that_cannot_be_read_is_shown_without_its_facts(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database)
    await deployment.database.write(entries.number, 1000)
    await spoil(deployment, "UPDATE ledger_entries SET body = '{' WHERE run_id = :id", id=run.id)
    (change,) = [each for each in (await deployment.get("/v1/changes")).json()["changes"] if each["run"] == run.id]
    assert (change["kind"], change["facts"]) == ("run.accepted", {})
    assert (await deployment.get(f"/v1/runs/{run.id}/timeline")).json()["timeline"][0]["facts"] == {}


async def test_a_list_of_deliveries_leaves_out_what_it_cannot_read_and_names_it(deployment: Deployment) -> None:
    bad, good = [(await deployment.database.write(receiving.accept_delivery, life.event())).id for _ in range(2)]
    await spoil(deployment, "UPDATE deliveries SET verdict = 'perhaps' WHERE id = :id", id=bad)
    page = (await deployment.get("/v1/deliveries")).json()
    assert ([each["id"] for each in page["deliveries"]], page["unreadable"]) == ([good], [bad])


async def test_the_readiness_names_the_run_that_is_not_indexed(deployment: Deployment) -> None:
    first, _ = await life.accepted(deployment.database), await life.accepted(deployment.database)
    assert (await deployment.get("/readyz")).json()["warnings"] == []
    deployment.clock.tick(601)
    warnings = (await deployment.get("/readyz")).json()["warnings"]
    assert [warning for warning in warnings if "2 run(s)" in warning and first.id in warning]


@pytest.mark.parametrize(
    ("sql", "path"),
    [
        ("UPDATE runs SET cost_micros = 'much' WHERE id = :id", ""),
        ("UPDATE ledger_entries SET actor = X'ff' WHERE run_id = :id", "/timeline"),
        ("UPDATE run_documents SET body = X'00' WHERE run_id = :id", "/document"),
    ],
)
async def test_a_run_that_cannot_be_read_is_named_by_a_problem(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], sql: str, path: str
) -> None:
    run = await life.settled_run(deployment.database)
    await spoil(deployment, sql, id=run.id)
    answer = await deployment.get(f"/v1/runs/{run.id}{path}")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:runledger:problem:unreadable-row")
    assert run.id in answer.json()["detail"]
    assert "row_not_readable" in "".join(capsys.readouterr())


async def test_a_delivery_that_cannot_be_read_is_named_by_a_problem_without_its_values(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = await deployment.database.write(receiving.accept_delivery, life.event())
    await spoil(deployment, "UPDATE deliveries SET size = 'sk_secret' WHERE id = :id", id=receipt.id)
    answer = await deployment.get(f"/v1/deliveries/{receipt.id}")
    assert (answer.status_code, receipt.id in answer.json()["detail"]) == (500, True)
    logged = "".join(capsys.readouterr())
    assert ("size: " in logged, "sk_secret" in logged) == (True, False)


@pytest.mark.parametrize("column", ["prompt", "model", "submitted_by"])
async def test_a_run_whose_text_is_not_utf_8_is_left_out_of_lists_and_named(
    deployment: Deployment, column: str
) -> None:
    bad, good = await life.settled_run(deployment.database), await life.settled_run(deployment.database)
    await spoil(deployment, f"UPDATE runs SET {column} = CAST(X'41ff' AS TEXT) WHERE id = :id", id=bad.id)
    page = (await deployment.get("/v1/runs")).json()
    assert ([each["id"] for each in page["runs"]], page["unreadable"]) == ([good.id], [bad.id])
    assert bad.id in (await deployment.get(f"/v1/runs/{bad.id}")).json()["detail"]


@pytest.mark.parametrize("column", ["content", "tool_output"])
async def test_a_step_whose_text_is_not_utf_8_is_left_out_and_named(deployment: Deployment, column: str) -> None:
    run = await life.settled_run(deployment.database)
    sql = f"UPDATE run_steps SET {column} = CAST(X'22ff22' AS TEXT) WHERE run_id = :id AND position = 1"
    await spoil(deployment, sql, id=run.id)
    page = (await deployment.get(f"/v1/runs/{run.id}/steps")).json()
    assert ([each["position"] for each in page["steps"]], page["unreadable"]) == ([0, 2], ["1"])


async def test_an_entry_whose_text_is_not_utf_8_costs_the_feed_nothing_but_its_facts(
    deployment: Deployment,
) -> None:
    run = await life.accepted(deployment.database)
    await deployment.database.write(entries.number, 1000)
    await spoil(
        deployment, "UPDATE ledger_entries SET body = CAST(X'22ff22' AS TEXT) WHERE run_id = :id", id=run.id
    )
    (change,) = [each for each in (await deployment.get("/v1/changes")).json()["changes"] if each["run"] == run.id]
    assert change["facts"] == {}


async def test_a_delivery_whose_text_is_not_utf_8_is_left_out_of_lists_and_named(deployment: Deployment) -> None:
    bad, good = [(await deployment.database.write(receiving.accept_delivery, life.event())).id for _ in range(2)]
    await spoil(deployment, "UPDATE deliveries SET reason = CAST(X'ff' AS TEXT) WHERE id = :id", id=bad)
    page = (await deployment.get("/v1/deliveries")).json()
    assert ([each["id"] for each in page["deliveries"]], page["unreadable"]) == ([good], [bad])


async def test_a_row_that_cannot_be_read_is_counted_and_a_fault_of_ours_is_not_taken_for_one(
    embedded: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fails(upstream_id: str, after: int) -> streaming.Events:
        raise ValueError("a fault of ours")

    def counted() -> float | None:
        return seen.registry.get_sample_value("runledger_errors_total", {"event": "row_not_readable"})

    seen = telemetry.Telemetry()
    async for deployment in app_fixture.opened(embedded, telemetry=seen, listen=fails):
        run = await life.running(embedded, "run_1")
        answer = await deployment.get(f"/v1/runs/{run.id}/events")
        assert (answer.status_code, answer.json()["type"], counted()) == (500, "about:blank", 0)
        assert "request_failed" in "".join(capsys.readouterr())
        await spoil(deployment, "UPDATE runs SET cost_micros = 'much' WHERE id = :id", id=run.id)
        answer = await deployment.get(f"/v1/runs/{run.id}")
        assert (answer.json()["type"], counted()) == ("urn:runledger:problem:unreadable-row", 1)
