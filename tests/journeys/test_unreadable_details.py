"""Details that no client can take: the run is settled from the light route, and the document gives the reason."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.upstream import large_answers
from receiver.worker.tasks import find_lost_create, registry, settle
from storage import ids, states
from storage.engine.database import Database
from storage.repositories import documents, runs
from storage.transitions import adopting, submitting
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

RUN = "run_1"
ENDED = {
    "id": RUN,
    "status": "completed",
    "startedAt": "2026-11-23T12:00:01Z",
    "completedAt": "2026-11-23T12:00:31Z",
    "durationMs": 30_000,
}
ALIVE = {"id": RUN, "status": "running", "startedAt": "2026-11-23T12:00:01Z"}
LARGE = json.dumps({**ENDED, "result": {"output": "x" * 5000}}).encode()
DEEP = b'{"id":"run_1","status":"completed","result":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


async def work(
    database: Database, kind: states.Kind, run_id: str, details: bytes, status: Mapping[str, object]
) -> None:
    """Carries out a job, where the upstream answers with these details and that status."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = details if request.url.path.endswith("/details") else json.dumps(status).encode()
        return httpx.Response(200, content=body)

    limit = 4096 if details is LARGE else 1 << 20
    async with upstreams.answering(database, answer, limit) as context:
        await registry.run(context, await life.claimed(database, kind, run_id))


@pytest.mark.parametrize(("details", "why"), [(LARGE, "too large"), (DEEP, "too deep")])
async def test_a_submitted_run_is_settled_from_its_status(database: Database, details: bytes, why: str) -> None:
    run = await life.running(database, RUN)
    await database.write(submitting.request_refresh, run.id, life.NOW)
    await work(database, states.Kind.SETTLE, run.id, details, ENDED)
    settled = await life.get_run(database, run.id)
    assert (settled.status, settled.duration_ms, settled.cost_micros) == (states.COMPLETED, 30_000, None)
    document = await database.read(documents.find, run.id, None)
    assert document is not None
    assert (document.parse_error or "").startswith(why)
    assert document.size == (0 if details is LARGE else len(DEEP))
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_details_whose_parsing_comes_to_no_end_are_tried_again_and_then_kept_unread(
    database: Database,
) -> None:
    run = await life.running(database, RUN)
    await database.write(submitting.request_refresh, run.id, life.NOW)
    body = json.dumps({**ENDED, "result": {"output": "x" * large_answers.THREAD_BYTES}}).encode()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body if request.url.path.endswith("/details") else json.dumps(ENDED))

    claim = await life.claimed(database, states.Kind.SETTLE, run.id)
    async with upstreams.answering(
        database, answer, 2 * len(body), bounds=large_answers.Bounds(seconds=0)
    ) as context:
        with pytest.raises(errors.ParserLimitExceeded):
            await registry.run(context, claim)
        await registry.run(context, dataclasses.replace(claim, failures=settle.PARSE_TRIES - 1))
    document = await database.read(documents.find, run.id, None)
    assert document is not None
    assert (document.parse_error or "").startswith("too costly")
    assert document.read() == body
    assert (await life.get_run(database, run.id)).status is states.COMPLETED


@pytest.mark.parametrize("details", [LARGE, DEEP])
async def test_a_run_that_is_alive_comes_due_again(database: Database, details: bytes) -> None:
    run = await life.running(database, RUN)
    await database.write(submitting.request_refresh, run.id, life.NOW)
    await work(database, states.Kind.SETTLE, run.id, details, ALIVE)
    assert (await life.get_run(database, run.id)).status is states.RUNNING
    assert await life.open_jobs(database, run.id) == ["settle"]


@pytest.mark.parametrize(("details", "why"), [(LARGE, "too large"), (DEEP, "too deep")])
async def test_an_adopted_run_is_settled_from_its_status(database: Database, details: bytes, why: str) -> None:
    adoption = adopting.Adoption(ids.new(life.NOW), RUN, "test", states.Source.REQUEST, life.NOW, life.at(3600))
    run, _ = await database.write(adopting.adopt, adoption)
    await work(database, states.Kind.ADOPT, run.id, details, ENDED)
    settled: runs.Run = await life.get_run(database, run.id)
    assert (settled.status, settled.settled_by, settled.prompt) == (states.COMPLETED, states.Source.REQUEST, None)
    assert await life.ledger_kinds(database, run.id) == ["run.accepted", "run.created", "run.completed"]
    document = await database.read(documents.find, run.id, None)
    assert document is not None
    assert (document.parse_error or "").startswith(why)


@pytest.mark.parametrize("details", [LARGE, DEEP])
async def test_a_listed_run_that_cannot_be_compared_is_not_mistaken_for_that_of_a_lost_create(
    database: Database, details: bytes
) -> None:
    run = await life.accepted(database)
    line = {"id": RUN, "agentId": run.agent_id, "status": "queued", "prompt": run.prompt}

    def answer(request: httpx.Request) -> httpx.Response:
        page = json.dumps({"runs": [line], "hasMore": False}).encode()
        return httpx.Response(200, content=details if request.url.path.endswith("/details") else page)

    async with upstreams.answering(database, answer, 4096 if details is LARGE else 1 << 20) as context:
        assert await find_lost_create.find(context, run) is None
