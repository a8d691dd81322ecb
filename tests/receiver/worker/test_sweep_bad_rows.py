"""A run that the sweep cannot handle is named, and the others are handled."""

from __future__ import annotations

from dataclasses import replace

import httpx2 as httpx
import pytest
from sqlalchemy import Connection, text

from receiver.worker.tasks import registry
from storage import states
from storage.engine.database import Database
from storage.repositories import job_counts, job_list, jobs, runs, system_state, unknown_runs, upstream_links
from tests import life
from tests.journeys import upstreams

pytestmark = pytest.mark.anyio

#: What a database says to every change of one row, by its dialect.
FORBID = {
    "sqlite": [
        "CREATE TRIGGER no BEFORE UPDATE ON runs WHEN NEW.id = '{id}' BEGIN SELECT RAISE(ABORT, 'no'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'",
        "CREATE TRIGGER no BEFORE UPDATE ON runs FOR EACH ROW WHEN (NEW.id = '{id}') EXECUTE FUNCTION no()",
    ],
}


def listing(*upstream_ids: str) -> httpx.Response:
    lines = [
        {"id": each, "status": "completed", "prompt": "p", "createdAt": "2026-11-23T12:00:00Z"}
        for each in upstream_ids
    ]
    return httpx.Response(200, json={"runs": lines, "hasMore": False})


async def forbid(database: Database, run: runs.Run) -> None:
    """Have the database refuse every change of one run."""
    dialect = "sqlite" if database.url.startswith("sqlite") else "postgresql"
    statements = [text(each.format(id=run.id)) for each in FORBID[dialect]]

    def change(connection: Connection) -> None:
        for each in statements:
            connection.execute(each)

    await database.write(change)


async def sweep(database: Database, answer: object, *, adopts: bool = False) -> job_list.Job:
    await database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.at(60))])
    async with upstreams.answering(database, answer, now=lambda: life.at(60)) as context:  # type: ignore[arg-type]
        claim = await life.claimed(database, states.Kind.SWEEP, now=life.at(60))
        await registry.run(replace(context, adopt_all=adopts), claim)
    (job,), _ = await database.read(job_list.page, job_list.Query(kind=states.Kind.SWEEP), life.at(60))
    return job


async def test_a_run_that_cannot_be_changed_costs_no_other_its_sweep(spoiled: Database) -> None:
    first, bad, last = [await life.running(spoiled, name) for name in ("run_1", "run_2", "run_3")]
    await forbid(spoiled, bad)
    job = await sweep(spoiled, lambda _: listing("run_1", "run_2", "run_3"))
    settles, _ = await spoiled.read(job_list.page, job_list.Query(kind=states.Kind.SETTLE), life.at(60))
    assert {each.run_id for each in settles} == {first.id, last.id}
    assert (job.state, "run_2" in (job.last_error or "")) == (states.JobState.FAILING, True)
    assert (await spoiled.read(system_state.read)).swept_at == life.at(60)


async def test_an_unknown_run_that_cannot_be_adopted_costs_no_other_its_adoption(embedded: Database) -> None:
    forbidden = "BEFORE INSERT ON runs WHEN NEW.upstream_id = 'run_2' BEGIN SELECT RAISE(ABORT, 'no'); END"
    await embedded.write(lambda connection: connection.execute(text(f"CREATE TRIGGER no {forbidden}")).close())
    job = await sweep(embedded, lambda _: listing("run_1", "run_2", "run_3"), adopts=True)
    adopted, _ = await embedded.read(job_list.page, job_list.Query(kind=states.Kind.ADOPT), life.at(60))
    assert len(adopted) == 2
    assert "run_2" in (job.last_error or "")


async def test_an_instant_that_is_none_does_not_end_the_sweep(embedded: Database) -> None:
    lost, other = await life.accepted(embedded), await life.running(embedded, "run_1")
    spoil = (
        "UPDATE runs SET accepted_at = 'never', lost_create_since = '2026-11-23T12:00:00.000000Z' WHERE id = :id"
    )
    await embedded.write(lambda connection: connection.execute(text(spoil), {"id": lost.id}).close())
    assert (await sweep(embedded, lambda _: listing("run_1"))).last_error is None
    assert await embedded.read(job_counts.count_open, states.Kind.SETTLE) == 1
    assert (await life.get_run(embedded, other.id)).asked_at == life.at(60)


def _unreadable(request: httpx.Request) -> httpx.Response:
    """Answer that run_bad runs, with details that nest too deep, and that run_good runs."""
    if request.url.path == "/agent/v1/run":
        return listing()
    run_id, what = request.url.path.removeprefix("/agent/v1/run/").split("/")
    if (run_id, what) == ("run_bad", "details"):
        return httpx.Response(200, content=b"[" * 100_000 + b"]" * 100_000)
    return httpx.Response(200, json={"id": run_id, "status": "running", "prompt": "p"})


async def test_a_waiting_unknown_run_without_readable_details_is_adopted_by_its_state(database: Database) -> None:
    await database.write(unknown_runs.record, ["run_bad", "run_good"], life.at(0), life.at(60))
    job = await sweep(database, _unreadable, adopts=True)
    assert sorted(await database.read(upstream_links.linked_runs, ["run_bad", "run_good"])) == [
        "run_bad",
        "run_good",
    ]
    assert job.last_error is None


async def test_a_run_that_may_be_an_orphan_is_postponed_and_stops_no_other(database: Database) -> None:
    await life.accepted(database)
    await database.write(unknown_runs.record, ["run_bad"], life.at(0), life.at(60))
    job = await sweep(database, _unreadable, adopts=True)
    assert (await database.read(upstream_links.linked_runs, ["run_bad"]), job.last_error) == ({}, None)
    assert not await database.read(unknown_runs.due, life.at(60), 10)
    (waiting,) = await database.read(unknown_runs.due, life.at(100_000), 10)
    assert (waiting.upstream_id, waiting.missing_since) == ("run_bad", None)
