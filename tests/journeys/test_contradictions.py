"""The upstream contradicts the end of a run that is stored here."""

from __future__ import annotations

import json

import httpx2 as httpx
import pytest

from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import runs
from storage.transitions import settling, submitting
from tests import life
from tests.journeys import upstreams
from tests.storage import ledgers

pytestmark = pytest.mark.anyio

RUN = "run_1"
LISTED = {"runs": [], "hasMore": False, "nextCursor": None}
ALIVE = {"id": RUN, "status": "running"}
DEEP = b'{"id":"run_1","status":"running","result":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


async def refreshed(database: Database, code: int, details: bytes) -> runs.Run:
    """A settled run after a refresh that was answered so."""
    run = await life.settled_run(database, upstream_id=RUN)
    await database.write(submitting.request_refresh, run.id, life.at(70))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/details"):
            return httpx.Response(code, content=details)
        return httpx.Response(200, json=ALIVE if RUN in request.url.path else LISTED)

    async with upstreams.answering(database, answer) as context:
        await registry.run(context, await life.claimed(database, states.Kind.SETTLE, run.id, life.at(70)))
    return await life.get_run(database, run.id)


@pytest.mark.parametrize(
    ("code", "details", "reported"),
    [(200, json.dumps(ALIVE).encode(), "running"), (200, DEEP, "running"), (404, b"", settling.MISSING)],
)
async def test_it_is_a_conflict_and_the_question_is_answered(
    database: Database, code: int, details: bytes, reported: str
) -> None:
    run = await refreshed(database, code, details)
    assert (run.status, run.refresh_requested_at) == (states.COMPLETED, None)
    conflict = await ledgers.last(database, run.id)
    assert (conflict.kind, conflict.facts["reported"]) == ("run.conflict", reported)
    assert await life.open_jobs(database, run.id) == []
