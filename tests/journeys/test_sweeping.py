"""A sweep goes on past the run that cannot be asked about."""

from __future__ import annotations

import json

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import jobs
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

NOBODY = {"runs": [], "hasMore": False, "nextCursor": None}


class Upstream:
    """It lists nothing, answers for `run_well`, and for `run_sick` as the test sets it."""

    def __init__(self, sick: httpx.Response | Exception, listing: int = 200) -> None:
        self._sick = sick
        self._listing = listing

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/agent/v1/run":
            return httpx.Response(self._listing, json=NOBODY)
        if "run_sick" not in request.url.path:
            return httpx.Response(200, json={"id": "run_well", "status": "completed"})
        if isinstance(self._sick, Exception):
            raise self._sick
        return self._sick


async def swept(database: Database, upstream: Upstream) -> dict[str, list[str]]:
    """Sweeps once over a sick and a well run; the kinds of jobs that each has then."""
    sick, well = await life.running(database, "run_sick"), await life.running(database, "run_well")
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.NOW)])
    async with upstreams.answering(database, upstream.answer) as context:
        await registry.run(context, await life.claimed(database, states.Kind.SWEEP))
    return {run.upstream_id or "": list(await life.open_jobs(database, run.id)) for run in (sick, well)}


@pytest.mark.parametrize(
    "sick",
    [
        httpx.Response(404, json={"error": "Run not found"}),
        httpx.Response(500, text="<html>"),
        httpx.Response(200, text=json.dumps({"id": "run_sick"})[:5]),
        httpx.ReadTimeout("nothing came"),
    ],
)
async def test_a_run_that_cannot_be_asked_about_is_left_to_its_settle(
    database: Database, sick: httpx.Response | Exception
) -> None:
    assert await swept(database, Upstream(sick)) == {"run_sick": ["settle"], "run_well": ["settle"]}


@pytest.mark.parametrize(
    ("sick", "listing"),
    [(httpx.Response(429), 200), (httpx.Response(401), 200), (httpx.ConnectError("away"), 502)],
)
async def test_what_concerns_everybody_ends_the_pass(
    database: Database, sick: httpx.Response | Exception, listing: int
) -> None:
    with pytest.raises(errors.UpstreamError):
        await swept(database, Upstream(sick, listing))
