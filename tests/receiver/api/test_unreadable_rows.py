"""A row that cannot be read costs no list the rows around it, and is named."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from storage import ledger, transitions
from tests import life
from tests.receiver.api.house import House

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(embedded: Any) -> Any:
    """An embedded database keeps values of any type."""
    return embedded


async def spoil(house: House, sql: str, **values: object) -> None:
    await house.database.write(
        lambda connection: connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON").close()
    )
    await house.database.write(lambda connection: connection.execute(text(sql), values).close())


async def test_a_list_of_runs_leaves_out_what_it_cannot_read_and_names_it(house: House) -> None:
    bad, good = await life.settled_run(house.database), await life.settled_run(house.database)
    await spoil(house, "UPDATE runs SET cost_micros = 'much', status = 'odd' WHERE id = :id", id=bad.id)
    page = (await house.get("/v1/runs")).json()
    assert [each["id"] for each in page["runs"]] == [good.id]
    assert page["unreadable"] == [bad.id]


async def test_a_list_of_steps_leaves_out_what_it_cannot_read_and_names_it(house: House) -> None:
    run = await life.settled_run(house.database)
    await spoil(house, "UPDATE run_steps SET duration_ms = 'long' WHERE run_id = :id AND position = 1", id=run.id)
    page = (await house.get(f"/v1/runs/{run.id}/steps")).json()
    assert ([each["position"] for each in page["steps"]], page["unreadable"]) == ([0, 2], ["1"])


async def test_a_job_of_an_unknown_kind_is_listed_and_named_by_the_readiness(house: House) -> None:
    run = await life.accepted(house.database)
    await spoil(house, "UPDATE jobs SET kind = 'teleport', last_error = 'no' WHERE run_id = :id", id=run.id)
    listed = (await house.get("/v1/jobs")).json()["jobs"]
    assert [(each["kind"], each["runId"]) for each in listed] == [("teleport", run.id)]
    assert [each["kind"] for each in (await house.get("/readyz")).json()["failing"]] == ["teleport"]


async def test_an_entry_of_the_feed_that_cannot_be_read_is_shown_without_its_facts(house: House) -> None:
    run = await life.accepted(house.database)
    await house.database.write(ledger.number, 1000)
    await spoil(house, "UPDATE ledger_entries SET body = '{' WHERE run_id = :id", id=run.id)
    (change,) = [each for each in (await house.get("/v1/changes")).json()["changes"] if each["run"] == run.id]
    assert (change["kind"], change["facts"]) == ("run.accepted", {})
    assert (await house.get(f"/v1/runs/{run.id}/timeline")).json()["timeline"][0]["facts"] == {}


async def test_a_list_of_deliveries_leaves_out_what_it_cannot_read_and_names_it(house: House) -> None:
    bad, good = [(await house.database.write(transitions.accept_delivery, life.event())).id for _ in range(2)]
    await spoil(house, "UPDATE deliveries SET verdict = 'perhaps' WHERE id = :id", id=bad)
    page = (await house.get("/v1/deliveries")).json()
    assert ([each["id"] for each in page["deliveries"]], page["unreadable"]) == ([good], [bad])


async def test_the_readiness_names_the_run_that_is_not_indexed(house: House) -> None:
    first, _ = await life.accepted(house.database), await life.accepted(house.database)
    assert (await house.get("/readyz")).json()["warnings"] == []
    house.clock.tick(601)
    warnings = (await house.get("/readyz")).json()["warnings"]
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
    house: House, capsys: pytest.CaptureFixture[str], sql: str, path: str
) -> None:
    run = await life.settled_run(house.database)
    await spoil(house, sql, id=run.id)
    answer = await house.get(f"/v1/runs/{run.id}{path}")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:runledger:problem:unreadable-row")
    assert run.id in answer.json()["detail"]
    assert "row_not_readable" in capsys.readouterr().out


async def test_a_delivery_that_cannot_be_read_is_named_by_a_problem_without_its_values(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt = await house.database.write(transitions.accept_delivery, life.event())
    await spoil(house, "UPDATE deliveries SET size = 'sk_secret' WHERE id = :id", id=receipt.id)
    answer = await house.get(f"/v1/deliveries/{receipt.id}")
    assert (answer.status_code, receipt.id in answer.json()["detail"]) == (500, True)
    logged = capsys.readouterr().out
    assert ("size: " in logged, "sk_secret" in logged) == (True, False)


@pytest.mark.parametrize("column", ["prompt", "model", "submitted_by"])
async def test_a_run_whose_text_is_not_utf_8_is_left_out_of_lists_and_named(house: House, column: str) -> None:
    bad, good = await life.settled_run(house.database), await life.settled_run(house.database)
    await spoil(house, f"UPDATE runs SET {column} = CAST(X'41ff' AS TEXT) WHERE id = :id", id=bad.id)
    page = (await house.get("/v1/runs")).json()
    assert ([each["id"] for each in page["runs"]], page["unreadable"]) == ([good.id], [bad.id])
    assert bad.id in (await house.get(f"/v1/runs/{bad.id}")).json()["detail"]


@pytest.mark.parametrize("column", ["content", "tool_output"])
async def test_a_step_whose_text_is_not_utf_8_is_left_out_and_named(house: House, column: str) -> None:
    run = await life.settled_run(house.database)
    sql = f"UPDATE run_steps SET {column} = CAST(X'22ff22' AS TEXT) WHERE run_id = :id AND position = 1"
    await spoil(house, sql, id=run.id)
    page = (await house.get(f"/v1/runs/{run.id}/steps")).json()
    assert ([each["position"] for each in page["steps"]], page["unreadable"]) == ([0, 2], ["1"])


async def test_an_entry_whose_text_is_not_utf_8_costs_the_feed_nothing_but_its_facts(house: House) -> None:
    run = await life.accepted(house.database)
    await house.database.write(ledger.number, 1000)
    await spoil(house, "UPDATE ledger_entries SET body = CAST(X'22ff22' AS TEXT) WHERE run_id = :id", id=run.id)
    (change,) = [each for each in (await house.get("/v1/changes")).json()["changes"] if each["run"] == run.id]
    assert change["facts"] == {}


async def test_a_delivery_whose_text_is_not_utf_8_is_left_out_of_lists_and_named(house: House) -> None:
    bad, good = [(await house.database.write(transitions.accept_delivery, life.event())).id for _ in range(2)]
    await spoil(house, "UPDATE deliveries SET reason = CAST(X'ff' AS TEXT) WHERE id = :id", id=bad)
    page = (await house.get("/v1/deliveries")).json()
    assert ([each["id"] for each in page["deliveries"]], page["unreadable"]) == ([good], [bad])
