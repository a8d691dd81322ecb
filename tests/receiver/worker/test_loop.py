"""The worker's boundary: whatever a task does, its job is not lost and the worker goes on."""

from __future__ import annotations

import asyncio

import httpx2 as httpx
import pytest

from receiver import clock
from receiver.worker import loop
from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import job_list, jobs, system_state
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio


def broken(_request: httpx.Request) -> httpx.Response:
    """Raise as a defect would."""
    raise RuntimeError("a defect")


async def failures(database: Database) -> dict[str, str]:
    """Return the errors of jobs by their runs."""
    listed, _ = await database.read(job_list.page, job_list.Query(kind=states.Kind.SETTLE), clock.now())
    return {job.run_id: job.last_error for job in listed if job.last_error is not None}


async def test_a_defect_in_a_task_is_written_to_its_job_and_the_worker_goes_on(database: Database) -> None:
    first, second = await life.running(database, "run_1"), await life.running(database, "run_2")
    requests = [jobs.JobRequest(states.Kind.SETTLE, run.id, life.NOW) for run in (first, second)]
    await database.write(jobs.enqueue, requests)
    async with upstreams.answering(database, broken) as context:
        working = loop.Worker(context, 1)
        task = asyncio.create_task(working.run())
        while not task.done() and len(found := await failures(database)) < 2:
            await asyncio.sleep(0.01)
        working.stop()
        await task
    assert found == dict.fromkeys((first.id, second.id), "RuntimeError: a defect")


async def test_every_kind_of_job_has_a_task() -> None:
    assert set(registry.KINDS) == set(states.Kind)


async def test_the_sweep_goes_on_while_runs_take_every_slot(database: Database) -> None:
    """However many runs wait, only the sweep finds an end without a callback."""
    runs = [await life.running(database, f"run_{number}") for number in range(3)]
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SETTLE, run.id, life.NOW) for run in runs])
    swept, asked = asyncio.Event(), []

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/details"):
            asked.append(request.url.path)
            await swept.wait()
        elif request.url.path == "/agent/v1/run":
            swept.set()
        return httpx.Response(503)

    async with upstreams.answering(database, slow) as context, asyncio.timeout(30):
        working = loop.Worker(context, 1)
        task = asyncio.create_task(working.run())
        await swept.wait()
        assert len(asked) <= 1  # each of the others waits for its place
        working.stop()
        await task


async def test_a_worker_that_stops_by_itself_is_listed_no_longer(database: Database) -> None:
    async with upstreams.answering(database, broken) as context, asyncio.timeout(30):
        working = loop.Worker(context, 1)
        task = asyncio.create_task(working.run())
        while not await database.read(system_state.workers):
            await asyncio.sleep(0.01)
        working.stop()
        await task
    assert await database.read(system_state.workers) == []
