"""Runs to be adopted that the upstream says it does not have."""

from __future__ import annotations

from datetime import datetime

import httpx2 as httpx
import pytest

from receiver.worker.tasks import registry
from storage import ids, states
from storage.engine.database import Database
from storage.repositories import job_list, runs
from storage.transitions import adopting, submitting
from tests import life
from tests.journeys import harness, upstreams
from tests.journeys.judging import judge
from tests.patience import until

RUN = "run_1"
ENDED = {"id": RUN, "status": "completed", "result": {"output": "Void."}, "usage": {"summary": {"costMicros": 5}}}


class Upstream:
    """It has another run in its list. `listed`: whether it shows ours; `known`: whether it has its details."""

    def __init__(self, *, listed: bool = False, known: bool = False) -> None:
        self.listed, self.known = listed, known

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/details"):
            return httpx.Response(200, json=ENDED) if self.known else httpx.Response(404, json={"error": "no"})
        if request.url.params.get("cursor") == RUN and not self.listed:
            return httpx.Response(400, json={"error": "Invalid cursor"})
        shown = "run_older" if request.url.params.get("cursor") == RUN else "run_newer"
        return httpx.Response(200, json={"runs": [{"id": shown, "status": "completed"}], "hasMore": False})


async def adopt(database: Database, at: datetime = life.NOW) -> runs.Run:
    adoption = adopting.Adoption(ids.new(at), RUN, "backend", states.Source.REQUEST, at, life.at(3600))
    return (await database.write(adopting.adopt, adoption))[0]


async def tried(database: Database, upstream: Upstream, run: runs.Run, *seconds: float) -> states.Status:
    """What it is after its job was carried out at these moments."""
    for second in seconds:
        async with upstreams.answering(database, upstream.answer, now=lambda at=second: life.at(at)) as context:  # type: ignore[misc]
            await registry.run(context, await life.claimed(database, states.Kind.ADOPT, run.id, life.at(second)))
    return (await life.get_run(database, run.id)).status


@pytest.mark.anyio
async def test_it_is_refused_after_three_tries_over_ten_minutes(database: Database) -> None:
    run, upstream = await adopt(database), Upstream()
    assert await tried(database, upstream, run, 0, 10, 590) is states.ACCEPTED
    listed, _ = await database.read(job_list.page, job_list.Query(run_id=run.id), life.at(590))
    assert "404" in (listed[0].last_error or "")
    assert await tried(database, upstream, run, 700) is states.REFUSED


@pytest.mark.anyio
async def test_long_silence_between_two_tries_is_no_refusal(database: Database) -> None:
    run, upstream = await adopt(database), Upstream()
    assert await tried(database, upstream, run, 0, 700) is states.ACCEPTED


@pytest.mark.anyio
async def test_it_is_never_refused_while_the_list_shows_it(database: Database) -> None:
    run, upstream = await adopt(database), Upstream(listed=True)
    assert await tried(database, upstream, run, 0, 10, 700, 9000, 90_000) is states.ACCEPTED
    upstream.known = True
    assert await tried(database, upstream, run, 100_000) is states.COMPLETED


@pytest.mark.anyio
@pytest.mark.parametrize(("has_it", "end"), [(True, states.ACCEPTED), (False, states.REFUSED)])
async def test_at_the_end_of_a_short_list_it_is_what_the_list_shows(
    database: Database, has_it: bool, end: states.Status
) -> None:
    run = await adopt(database)
    lines = [{"id": each, "status": "completed"} for each in ("run_9", RUN if has_it else "run_8")]

    class Short(Upstream):
        def answer(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/details"):
                return super().answer(request)
            shown = [] if request.url.params.get("cursor") else lines
            return httpx.Response(200, json={"runs": shown, "hasMore": False})

    assert await tried(database, Short(), run, 0, 10, 700) is end


@pytest.mark.anyio
async def test_to_watch_it_again_has_it_looked_for_again(database: Database) -> None:
    run, upstream = await adopt(database), Upstream()
    await tried(database, upstream, run, 0, 10, 700)
    upstream.known = True
    opened = await adopt(database, life.at(800))
    assert (opened.id, opened.status) == (run.id, states.ACCEPTED)
    assert await tried(database, upstream, run, 800) is states.COMPLETED
    assert (await life.get_run(database, run.id)).output == "Void."


@pytest.mark.anyio
async def test_a_refresh_makes_no_record_of_a_refused_run_with_an_output(database: Database) -> None:
    run, upstream = await adopt(database), Upstream()
    await tried(database, upstream, run, 0, 10, 700)
    upstream.known = True
    await database.write(submitting.request_refresh, run.id, life.at(800))
    async with upstreams.answering(database, upstream.answer, now=lambda: life.at(800)) as context:
        await registry.run(context, await life.claimed(database, states.Kind.SETTLE, run.id, life.at(800)))
    kept = await life.get_run(database, run.id)
    assert (kept.status, kept.output, kept.refresh_requested_at) == (states.REFUSED, None, None)
    assert (await life.ledger_kinds(database, run.id))[-1] == "run.conflict"


def test_one_404_among_good_answers_changes_nothing(deployment: harness.Deployment, nonce: str) -> None:
    upstream_id = deployment.elsewhere(nonce)
    deployment.execute(upstream_id)
    deployment.script({"route": "details", "prompt": nonce, "times": 2, "action": "status:404"})
    deployment.adopt(upstream_id)
    judge(deployment, nonce)


def test_a_storm_of_404s_neither_refuses_nor_pauses(deployment: harness.Deployment, nonce: str) -> None:
    upstream_id = deployment.elsewhere(nonce)
    deployment.execute(upstream_id)
    deployment.sandbox.faults(not_found=[nonce])
    run = deployment.adopt(upstream_id)
    waiting = "SELECT 1 FROM jobs WHERE run_id = ? AND kind = 'adopt' AND refusals >= 5"
    until(lambda: deployment.server.rows(waiting, run["id"]))
    assert deployment.run(run)["status"] == "accepted"
    deployment.judge_ready()
    deployment.sandbox.faults(not_found=[])
    judge(deployment, nonce)
