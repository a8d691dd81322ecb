"""A sweep whose calls fail: only a run that the upstream does not know is forgotten."""

from __future__ import annotations

from dataclasses import replace

import httpx2 as httpx
import pytest

from receiver import errors
from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import jobs, system_state, unknown_runs
from storage.transitions import submitting
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

DAY = 86400.0


async def sweep(database: Database, second: float, *, status: int, behind: int = 200) -> None:
    """Sweep once, adopting all. Calls about one run answer `status`, list pages behind a cursor `behind`."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/agent/v1/run":
            return httpx.Response(status, json={"id": "run_x", "status": "queued"})
        found = behind if "cursor" in request.url.params else 200
        return httpx.Response(found, json={"runs": [], "hasMore": False})

    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.at(second))])
    async with upstreams.answering(database, answer, now=lambda: life.at(second)) as context:
        claim = await life.claimed(database, states.Kind.SWEEP, now=life.at(second))
        await registry.run(replace(context, adopt_all=True), claim)


async def waiting(database: Database) -> list[unknown_runs.UnknownRun]:
    """Return the unknown runs that are asked about, whenever they come due."""
    return await database.read(unknown_runs.due, life.at(100 * DAY), 10)


@pytest.mark.parametrize("status", [404, 410])
async def test_an_unknown_run_that_is_gone_for_a_day_is_forgotten_and_not_before(
    database: Database, status: int
) -> None:
    await database.write(unknown_runs.record, ["run_x"], life.NOW, life.at(60))
    for second in (60.0, 59 + DAY):
        await sweep(database, second, status=status)
        assert [each.missing_since for each in await waiting(database)] == [life.at(60)]
    await sweep(database, 59 + 3 * DAY, status=status)
    assert await waiting(database) == []


@pytest.mark.parametrize("status", [200, 500])
async def test_an_unknown_run_that_stays_queued_or_cannot_be_asked_about_is_kept(
    database: Database, status: int
) -> None:
    await database.write(unknown_runs.record, ["run_x"], life.NOW, life.at(60))
    for second in (60.0, 60 + 3 * DAY):
        await sweep(database, second, status=status)
        assert [each.missing_since for each in await waiting(database)] == [None]


@pytest.mark.parametrize("status", [200, 500])
async def test_an_unknown_run_is_asked_about_ever_more_rarely(database: Database, status: int) -> None:
    await database.write(unknown_runs.record, ["run_x"], life.NOW, life.at(60))
    for second, wait in ((60.0, 60.0), (6000.0, 600.0), (200_000.0, 3600.0)):
        await sweep(database, second, status=status)
        assert await database.read(unknown_runs.due, life.at(second + wait - 1), 10) == []
        assert await database.read(unknown_runs.due, life.at(second + wait), 10) != []


async def test_an_answer_that_concerns_all_runs_ends_the_sweep(database: Database) -> None:
    await database.write(unknown_runs.record, ["run_x"], life.NOW, life.at(60))
    with pytest.raises(errors.UpstreamStatusError, match="429"):
        await sweep(database, 60, status=429)


async def test_a_page_that_fails_keeps_the_place_where_the_last_sweep_was_cut(database: Database) -> None:
    cut = system_state.SweepPosition("run_400", life.at(1), life.at(-100), True)
    await database.write(system_state.save_sweep_position, cut)
    await database.write(system_state.record_sweep, life.at(-DAY))
    with pytest.raises(errors.UpstreamStatusError, match="500"):
        await sweep(database, 60, status=404, behind=500)
    assert await database.read(system_state.sweep_position) == cut


async def test_an_open_run_that_cannot_be_asked_about_gets_its_settle(database: Database) -> None:
    run = await life.running(database, "run_1")
    await sweep(database, 60, status=500)
    assert await life.open_jobs(database, run.id) == ["settle"]


async def test_a_sweep_that_cannot_look_at_a_likely_orphan_does_not_count_as_whole(database: Database) -> None:
    run = await life.accepted(database)
    await database.write(submitting.request_cancel, run.id, "key:backend", life.NOW)
    lines = [{"id": each, "status": "queued", "prompt": run.prompt} for each in ("run_x", "run_y")]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/agent/v1/run":
            return httpx.Response(200, json={"runs": lines, "hasMore": False})
        other = {"id": "run_y", "status": "queued", "prompt": "Something else."}
        return httpx.Response(200, json=other) if "run_y" in request.url.path else httpx.Response(500, json={})

    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.at(5000))])
    async with upstreams.answering(database, answer, now=lambda: life.at(5000)) as context:
        await registry.run(context, await life.claimed(database, states.Kind.SWEEP, now=life.at(5000)))
    assert (await database.read(system_state.read)).swept_at is None
    assert (await life.get_run(database, run.id)).lost_create_since == life.NOW
