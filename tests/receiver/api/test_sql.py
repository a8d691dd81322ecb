"""SQL over HTTP: only where it is turned on, only with the scope, and never a word of a secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from storage.engine.database import Database
from storage.user_sql import sql_runner, statements
from tests import reading
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio

HOSTILE = (
    "SELECT * FROM runs; DELETE FROM runs",
    "WITH x AS (DELETE FROM runs RETURNING *) SELECT * FROM x",
    "SELECT pg_sleep(60), load_extension('x'), randomblob(1000000000)",
    "COPY runs TO PROGRAM 'id'",
    "SELECT ')) --",
    "SELECT /* " * 1000,
    "(" * 50_000,
    "SELECT " + "1, " * 30_000 + "1",
    "SELECT $1, $2, $3",
    "\u0000\ufeffSELECT \U0001f600".replace("\0", ""),
)
CLOSED = (
    "SELECT * FROM api_keys",
    "SELECT secret_sha256 FROM public.api_keys",
    "SELECT count(*) FROM webhook_secrets",
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> reading.Store:
    """Return a filled store, once per kind of database."""
    return reading.filled(request.param, request, tmp_path_factory.mktemp("sql"))


@pytest.fixture
async def open_deployment(store: reading.Store) -> AsyncIterator[Deployment]:
    """Yield a deployment where SQL is turned on."""
    runner = sql_runner.SqlRunner(store.reader, statements.Bounds(seconds=1.0))
    async with Database(store.url) as database:
        async for deployment in app_fixture.opened(database, run_sql=runner.run):
            yield deployment


async def asked(deployment: Deployment, text: str, *parameters: Any, **fields: Any) -> httpx.Response:
    body = {"sql": text, "parameters": parameters, **fields}
    return await deployment.post("/v1/sql", "admin", json=body)


async def test_a_statement_is_answered_with_columns_and_rows(open_deployment: Deployment) -> None:
    response = await asked(open_deployment, "SELECT agent_id, seq FROM runs WHERE agent_id = $1", "agent_2")
    assert response.json() == {"columns": ["agent_id", "seq"], "rows": [["agent_2", 2]], "truncated": False}


async def test_more_rows_than_requested_are_cut_and_that_is_reported(open_deployment: Deployment) -> None:
    found = (await asked(open_deployment, "SELECT id FROM run_steps", limit=2)).json()
    assert (len(found["rows"]), found["truncated"]) == (2, True)


async def test_values_of_every_kind_come_back(open_deployment: Deployment) -> None:
    given = ["é", 7, 1.5, True, None]
    kinds = "CAST($1 AS text), CAST($2 AS integer), CAST($3 AS double precision), $4 = $4, CAST($5 AS text)"
    response = await asked(open_deployment, f"SELECT {kinds}", *given)
    assert response.json()["rows"] == [["é", 7, 1.5, True, None]]


async def test_without_the_setting_nothing_is_carried_out(deployment: Deployment) -> None:
    answer = problem(await asked(deployment, "SELECT 1"), 403)
    assert answer["type"] == "urn:runledger:problem:no-sql"
    assert "RUNLEDGER_SQL" in answer["detail"]


async def test_another_scope_does_not_do(open_deployment: Deployment, subtests: pytest.Subtests) -> None:
    for scope in ["read", "submit"]:
        with subtests.test(f"{scope!r:.60}"):
            answer = problem(await open_deployment.post("/v1/sql", scope, json={"sql": "SELECT 1"}), 403)
            assert answer["scope"] == "admin"


async def test_a_mistake_is_a_problem_with_its_place(open_deployment: Deployment) -> None:
    answer = problem(await asked(open_deployment, "SELECT nothing FROM runs"), 400)
    assert (answer["type"], answer["position"]) == ("urn:runledger:problem:bad-statement", 7)


async def test_what_is_closed_is_a_problem_without_its_content(
    open_deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for text in CLOSED:
        with subtests.test(f"{text!r:.60}"):
            response = await asked(open_deployment, text)
            assert response.status_code in (400, 403)
            assert reading.SECRET not in response.text


async def test_a_hostile_request_is_answered_as_a_problem_of_its_sender(
    open_deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for text in HOSTILE:
        with subtests.test(f"{text!r:.60}"):
            response = await asked(open_deployment, text)
            assert response.status_code in (400, 403)
            assert (await asked(open_deployment, "SELECT count(*) FROM runs")).json()["rows"] == [[2]]


async def test_what_is_denied_is_named(open_deployment: Deployment) -> None:
    answer = problem(await asked(open_deployment, "DROP TABLE runs"), 403)
    assert (answer["type"], "DROP" in answer["detail"]) == ("urn:runledger:problem:not-readable", True)


async def test_what_takes_too_long_is_a_problem_that_may_be_tried_again(open_deployment: Deployment) -> None:
    text = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    response = await asked(open_deployment, text)
    assert problem(response, 503)["type"] == "urn:runledger:problem:too-slow"
    assert "retry-after" in response.headers


async def test_a_role_that_can_do_more_is_a_problem(request: pytest.FixtureRequest) -> None:
    made = reading.served(request.getfixturevalue("cluster"))
    async with Database(made.url) as database:
        async for deployment in app_fixture.opened(database, run_sql=sql_runner.SqlRunner(made.url).run):
            answer = problem(await asked(deployment, "SELECT 1"), 503)
    assert (answer["type"], "superuser" in answer["detail"]) == ("urn:runledger:problem:unconfined", True)


async def test_a_body_that_is_no_statement_is_answered_with_the_place(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for body, pointer in [
        ({}, "#/sql"),
        ({"sql": ""}, "#/sql"),
        ({"sql": "SELECT \0"}, "#/sql"),
        ({"sql": "x" * 100_001}, "#/sql"),
        ({"sql": "SELECT 1", "limit": 0}, "#/limit"),
        ({"sql": "SELECT 1", "limit": 10_001}, "#/limit"),
        ({"sql": "SELECT 1", "parameters": {"a": 1}}, "#/parameters"),
        ({"sql": "SELECT 1", "parameters": [1] * 101}, "#/parameters"),
        ({"sql": "SELECT 1", "statement": "x"}, "#/statement"),
    ]:
        with subtests.test(f"{body!r:.60}"):
            answer = problem(await deployment.post("/v1/sql", "admin", json=body), 422)
            assert {fault["pointer"] for fault in answer["errors"]} == {pointer}


async def test_a_parameter_that_no_database_has_is_refused(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for parameter in [[1], {"a": 1}]:
        with subtests.test(f"{parameter!r:.60}"):
            problem(await asked(deployment, "SELECT $1", parameter), 422)


async def test_two_statements_are_under_way_at_once_and_a_third_comes_again(tmp_path: Path) -> None:
    runner = sql_runner.SqlRunner(f"sqlite:///{tmp_path / 'none.db'}")
    asking = [runner.run(statements.Statement("SELECT 1")) for _ in range(3)]
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["Busy", "Unavailable", "Unavailable"]
