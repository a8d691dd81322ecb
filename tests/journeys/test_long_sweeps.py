"""Sweeps of a list that is longer than one pass, or leads nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import httpx2 as httpx
import pytest

from receiver.worker.tasks import registry
from receiver.worker.tasks import sweep as tasks_sweep
from storage import states
from storage.engine.database import Database
from storage.repositories import job_list, jobs, system_state, upstream_links
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio


class Upstream:
    """A list of so many runs, newest first, one a second; pages of fifty. `states` gives the state of each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.states: dict[str, str] = {}
        self.dates: dict[str, str] = {}
        self.gone: set[str] = set()
        self.leads_to: dict[str, str] = {}
        self.asked: list[str | None] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/agent/v1/run":
            run_id, _, what = request.url.path.removeprefix("/agent/v1/run/").partition("/")
            return httpx.Response(200, json=self._line(int(run_id.removeprefix("run_"))) | {"prompt": what})
        cursor = request.url.params.get("cursor")
        self.asked.append(cursor)
        if cursor in self.gone:
            return httpx.Response(400, json={"error": "Invalid cursor"})
        first = self.count - 1 if cursor is None else int(cursor.removeprefix("run_")) - 1
        page = [self._line(number) for number in range(first, max(-1, first - 50), -1)]
        last = str(page[-1]["id"])
        behind = {"hasMore": first - 50 >= 0, "nextCursor": self.leads_to.get(last, last)}
        return httpx.Response(200, json={"runs": page, **behind})

    def _line(self, number: int) -> dict[str, object]:
        run_id = f"run_{number}"
        created_at = self.dates.get(run_id, life.at(number - self.count).isoformat())
        return {"id": run_id, "status": self.states.get(run_id, "queued"), "createdAt": created_at}


async def sweep(database: Database, upstream: Upstream, at: datetime) -> job_list.Job:
    """One pass of a deployment that adopts all; the job behind it."""
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", at)])
    async with upstreams.answering(database, upstream.answer, now=lambda: at) as context:
        claim = await life.claimed(database, states.Kind.SWEEP, now=at)
        await registry.run(replace(context, adopt_all=True), claim)
    (job,), _ = await database.read(job_list.page, job_list.Query(kind=states.Kind.SWEEP), at)
    return job


async def ours(database: Database, *upstream_ids: str) -> Sequence[str]:
    return sorted(await database.read(upstream_links.linked_runs, list(upstream_ids)))


async def test_a_pass_goes_on_where_it_was_cut_until_all_was_seen(embedded: Database) -> None:
    upstream = Upstream(50 * (tasks_sweep.MAX_PAGES + 5))
    upstream.states = {"run_3": "completed"}
    await embedded.write(system_state.record_sweep, life.at(-100_000))
    await sweep(embedded, upstream, life.at(60))
    assert (await embedded.read(system_state.read)).swept_at == life.at(-100_000)
    assert not await ours(embedded, "run_3")
    await sweep(embedded, upstream, life.at(120))
    assert (await embedded.read(system_state.read)).swept_at == life.at(60)
    assert await embedded.read(system_state.sweep_position) is None
    assert await ours(embedded, "run_3") == ["run_3"]


async def test_a_position_that_is_gone_upstream_restarts_the_pass(database: Database) -> None:
    upstream = Upstream(50 * (tasks_sweep.MAX_PAGES + 5))
    await database.write(
        system_state.save_sweep_position, system_state.SweepPosition("run_400", life.at(1), life.at(-100), True)
    )
    await database.write(system_state.record_sweep, life.at(-100_000))
    upstream.gone = {"run_400"}
    await sweep(database, upstream, life.at(60))
    assert upstream.asked == [None, "run_400"]
    assert await database.read(system_state.sweep_position) is None


@pytest.mark.parametrize("leads_to", ["run_150", "run_100", "run_200"])
async def test_a_list_in_a_circle_ends_the_pass_and_is_reported(database: Database, leads_to: str) -> None:
    upstream = Upstream(200)
    upstream.leads_to = {"run_50": leads_to}
    await database.write(system_state.record_sweep, life.at(-100_000))
    job = await sweep(database, upstream, life.at(60))
    assert len(upstream.asked) <= 4
    assert job.state is states.JobState.FAILING
    assert "the list" in (job.last_error or "")
    assert (await database.read(system_state.read)).swept_at == life.at(-100_000)


async def test_what_waits_far_behind_is_adopted_once_it_runs(database: Database) -> None:
    upstream = Upstream(60)
    upstream.states = {f"run_{number}": "completed" for number in range(1, 60)}
    await database.write(system_state.record_sweep, life.at(-100_000))
    await sweep(database, upstream, life.at(60))
    assert not await ours(database, "run_0")
    await sweep(database, upstream, life.at(5000))
    upstream.states["run_0"], upstream.asked = "running", []
    await sweep(database, upstream, life.at(10_000))
    assert await ours(database, "run_0") == ["run_0"]


async def test_one_wrong_date_does_not_end_a_pass(database: Database) -> None:
    upstream = Upstream(120)
    upstream.states = {"run_2": "completed"}
    upstream.dates = {"run_100": "2001-01-01T00:00:00Z"}
    await database.write(system_state.record_sweep, life.at(-100_000 // 100))
    await sweep(database, upstream, life.at(60))
    assert await ours(database, "run_2") == ["run_2"]


async def test_a_sweep_goes_no_further_back_than_its_horizon(embedded: Database) -> None:
    upstream = Upstream(1000)
    await embedded.write(system_state.record_sweep, life.NOW)
    await sweep(embedded, upstream, life.at(60))
    assert len(upstream.asked) == 13  # ten minutes of runs, and one page that shows two from before


async def test_a_sweep_that_goes_on_looks_at_the_newest_runs_as_well(embedded: Database) -> None:
    upstream = Upstream(50 * (tasks_sweep.MAX_PAGES + 5))
    upstream.states = {f"run_{upstream.count - 1}": "completed"}
    await embedded.write(
        system_state.save_sweep_position, system_state.SweepPosition("run_400", life.at(1), life.at(-850), True)
    )
    await embedded.write(system_state.record_sweep, life.at(-100_000))
    await sweep(embedded, upstream, life.at(60))
    assert await ours(embedded, *upstream.states) == list(upstream.states)


async def test_a_sweep_that_is_cut_again_goes_on_further_back(embedded: Database) -> None:
    upstream = Upstream(50 * (tasks_sweep.MAX_PAGES * 2 + 5))
    await embedded.write(system_state.record_sweep, life.at(-100_000))
    places: list[system_state.SweepPosition] = []
    for second in (60, 120):
        job = await sweep(embedded, upstream, life.at(second))
        cut = await embedded.read(system_state.sweep_position)
        assert job.last_error is None
        assert cut is not None
        places.append(cut)
    before, after = (each.reached_at for each in places)
    assert before is not None
    assert after is not None
    assert after < before


async def test_a_list_that_comes_no_further_ends_the_sweep_with_an_error(embedded: Database) -> None:
    upstream = Upstream(50 * (tasks_sweep.MAX_PAGES * 2 + 5))
    await embedded.write(
        system_state.save_sweep_position,
        system_state.SweepPosition("run_1900", life.at(1), life.at(-90_000), True),
    )
    await embedded.write(system_state.record_sweep, life.at(-100_000))
    job = await sweep(embedded, upstream, life.at(60))
    assert "no progress" in (job.last_error or "")
    assert await embedded.read(system_state.sweep_position) is None
    assert (await embedded.read(system_state.read)).swept_at == life.at(-100_000)
