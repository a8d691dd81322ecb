"""Answers are made from rows without their schemas: a sample of each is compared with its schema."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from receiver.api import route_table
from receiver.schemas import notification, responses
from receiver.web import operations
from storage.actions import bulk
from storage.ledger import entries
from storage.query import run_lines
from storage.repositories import system_state
from storage.states import BulkKind
from storage.transitions import receiving
from tests import life
from tests.receiver.api.app_fixture import Deployment

DESCRIBED = [
    each
    for each in route_table.OPERATIONS
    if each.method == "GET" and each.handler is not None and isinstance(each.answers.get(200), type)
]


def _named(operation: operations.Operation) -> str:
    return operation.path


async def _ids(deployment: Deployment) -> dict[str, str]:
    """Store runs of several kinds; return the ids of a settled one, of a delivery, and of a bulk action."""
    store = deployment.database
    await life.accepted(store, instructions="Be brief.", agent_id=None, tags={"é": "\u2028", "case": "7"})
    await life.running(store, "run_running")
    run = await life.settled_run(store, upstream_id="run_1", object_ids=("obj_1",), prompt='"\\\x7f\u2028😀')
    receipt = await store.write(receiving.accept_delivery, life.event())
    await store.write(entries.number, 1000)
    await store.write(system_state.record_heartbeat, life.NOW)
    request = bulk.Request(BulkKind.CANCEL, "ops", "key:ops", life.NOW, "status:queued")
    action = await store.write(bulk.create, await store.read(bulk.plan, request))
    return {"runs": run.id, "deliveries": receipt.id, "bulk": action.id}


@pytest.mark.anyio
async def test_an_answer_is_what_its_schema_describes(deployment: Deployment, subtests: pytest.Subtests) -> None:
    ids = await _ids(deployment)
    for operation in DESCRIBED:
        with subtests.test(_named(operation)):
            noun = next((each for each in ids if f"/{each}/" in operation.path), "")
            path = operation.path.replace("{id}", ids.get(noun, ""))
            answer = await deployment.get(path, operation.scope or "read")
            schema: Any = operation.answers[200]
            assert answer.status_code == 200
            assert issubclass(schema, BaseModel)
            assert answer.text == schema.model_validate_json(answer.content).model_dump_json(by_alias=True)


@pytest.mark.anyio
async def test_found_runs_have_their_snippets(deployment: Deployment) -> None:
    await life.settled_run(deployment.database, prompt="Review the lease <now>.")
    await life.indexed(deployment.database)
    answer = await deployment.get("/v1/runs", params={"q": "lease", "count": "true"})
    assert answer.json()["runs"][0]["snippets"]
    assert answer.text == responses.Runs.model_validate_json(answer.content).model_dump_json(by_alias=True)


@pytest.mark.parametrize(
    ("schema", "columns"), [(responses.RunLine, run_lines.LINE), (notification.FullRun, run_lines.FULL)]
)
def test_the_columns_that_are_read_are_the_fields_of_the_answer(
    schema: type[BaseModel], columns: tuple[str, ...]
) -> None:
    fields = [name for name in schema.model_fields if name != "notification"]
    assert fields == list(columns)
