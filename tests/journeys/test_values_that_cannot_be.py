"""Details whose values no index holds and no calendar has: the run settles, and its document keeps every byte."""

from __future__ import annotations

import json
import random

import httpx2 as httpx
import pytest

from receiver.worker.tasks import registry
from storage import ids, states
from storage.engine.database import Database
from storage.query import grammar, run_pages
from storage.repositories import documents
from storage.stats import questions
from storage.transitions import adopting, submitting
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

RUN = "run_1"
LONG = "".join(random.Random(7).choices("0123456789abcdef", k=6400))
WIDE = "\N{GRINNING FACE}" * 6400


def _details(name: str, instant: str) -> bytes:
    times = dict.fromkeys(("createdAt", "startedAt", "completedAt", "timestamp"), instant)
    step = {"toolName": name, "durationMs": 2**53 - 1, **times}
    usage = {"entries": [{"model": name, **times}], "inputTokens": 2**53 - 1, "durationMs": 2**53 - 1}
    details = {"id": RUN, "status": "completed", "agentId": name, "model": name, "steps": [step], "usage": usage}
    return json.dumps({**details, **times}).encode()


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
@pytest.mark.parametrize("name", [LONG, WIDE], ids=["hex", "wide"])
@pytest.mark.parametrize("kind", [states.Kind.SETTLE, states.Kind.ADOPT])
async def test_a_run_settles_whatever_its_details_say(
    database: Database, name: str, instant: str, kind: states.Kind
) -> None:
    body = _details(name, instant)
    if kind is states.Kind.SETTLE:
        run = await life.running(database, RUN)
        await database.write(submitting.request_refresh, run.id, life.NOW)
    else:
        adoption = adopting.Adoption(ids.new(life.NOW), RUN, "test", states.Source.REQUEST, life.NOW, None)
        run, _ = await database.write(adopting.adopt, adoption)
    async with upstreams.answering(database, lambda _: httpx.Response(200, content=body)) as context:
        await registry.run(context, await life.claimed(database, kind, run.id))
    settled = await life.get_run(database, run.id)
    assert (settled.status, settled.model, settled.duration_ms) == (states.COMPLETED, name[:200], None)
    document = await database.read(documents.find, run.id, None)
    assert document is not None
    assert document.read() == body
    for said in ("names cut to 200 characters: 4", "createdAt", "steps[0].timestamp", "usage.durationMs"):
        assert said in (document.parse_error or "")
    page, _ = await database.read(run_pages.page, run_pages.Query(grammar.parse(f"tool:{name[:10]}*", life.NOW)))
    assert [each.id for each in page] == [run.id]
    (row,) = (await database.timed_read(questions.find, "model", grammar.EVERYTHING)).stats
    assert (row.input_tokens, row.max_duration_ms) == (2**53 - 1, None)
