"""The work under way, as the API tells it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage import backlog, jobs, states
from tests import life
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio


async def _fail(house: House, run_id: str) -> None:
    claim = await life.claimed(house.database, states.Kind.START, run_id)
    later = life.NOW + timedelta(hours=1)
    await house.database.write(jobs.failed, claim, later, error="503 from the upstream", now=life.NOW)


async def _listed(house: House, query: str = "") -> list[tuple[str, str]]:
    found = (await house.get(f"/v1/jobs{query}")).json()["jobs"]
    return [(job["runId"], job["state"]) for job in found]


async def test_each_job_is_in_the_state_that_it_is_in(house: House) -> None:
    due, failing, leased = [(await life.accepted(house.database)).id for _ in range(3)]
    await _fail(house, failing)
    await life.claimed(house.database, states.Kind.START, leased)
    assert await _listed(house) == [(leased, "leased"), (failing, "failing"), (due, "due")]
    for state, run in (("leased", leased), ("failing", failing), ("due", due)):
        assert await _listed(house, f"?state={state}") == [(run, state)]
    assert await _listed(house, "?state=dead") == []


async def test_a_job_that_is_to_come_waits(house: House) -> None:
    run = await life.settled_run(house.database)
    wish = jobs.Wish(states.Kind.SETTLE, run.id, life.NOW, due_at=life.at(60))
    await house.database.write(jobs.wish, [wish])
    assert await _listed(house) == [(run.id, "waiting")]
    house.clock.tick(60)
    assert await _listed(house) == [(run.id, "due")]


async def test_jobs_are_found_by_kind_and_by_run_under_either_id(house: House) -> None:
    run = await life.running(house.database, "run_up")
    await house.post("/v1/runs/run_up/cancel")
    await life.accepted(house.database)
    for query in ("?kind=cancel", "?run=run_up", f"?run={run.id}&kind=cancel"):
        assert await _listed(house, query) == [(run.id, "due")]


async def test_jobs_come_in_pages(house: House) -> None:
    ids = [(await life.accepted(house.database)).id for _ in range(5)]
    first = (await house.get("/v1/jobs?limit=3")).json()
    second = (await house.get(f"/v1/jobs?limit=3&cursor={first['nextCursor']}")).json()
    assert [job["runId"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert (first["hasMore"], second["hasMore"], second["nextCursor"]) == (True, False, None)


async def test_work_of_the_whole_house_has_no_run(house: House) -> None:
    await house.database.write(jobs.wish, [jobs.Wish(states.Kind.SWEEP, "", life.NOW)])
    assert (await house.get("/v1/jobs")).json()["jobs"][0]["runId"] is None


async def test_a_failing_job_is_tried_again_when_it_is_told_to(house: House) -> None:
    run = await life.accepted(house.database)
    await _fail(house, run.id)
    job = (await house.get("/v1/jobs")).json()["jobs"][0]
    assert (job["attempts"], job["lastError"]) == (1, "503 from the upstream")
    response = await house.post(f"/v1/jobs/{job['id']}/retry", "admin")
    assert response.status_code == 202
    assert (response.json()["attempts"], response.json()["dueAt"]) == (0, "2026-11-23T12:00:00.000000Z")


async def test_a_job_that_is_done_cannot_be_tried_again(house: House) -> None:
    problem(await house.post("/v1/jobs/nothing/retry", "admin"), 404)


async def _died(house: House, run_id: str, error: str) -> None:
    await house.database.write(jobs.wish, [jobs.Wish(states.Kind.NOTIFY, run_id, life.NOW)])
    claim = await life.claimed(house.database, states.Kind.NOTIFY, run_id)
    await house.database.write(jobs.die, claim, error=error, now=life.NOW)


async def test_what_fails_is_told_by_cause_with_how_many_and_since_when(house: House) -> None:
    for _ in range(2):
        await _fail(house, (await life.accepted(house.database)).id)
    await _died(house, "a", "the backend answered 410 Gone")
    causes = (await house.get("/v1/jobs/causes")).json()["causes"]
    assert causes == [
        {
            "kind": "start",
            "state": "failing",
            "cause": "503 from the upstream",
            "count": 2,
            "oldestAt": "2026-11-23T12:00:00.000000Z",
            "dueAt": "2026-11-23T13:00:00.000000Z",
        },
        {
            "kind": "notify",
            "state": "dead",
            "cause": "the backend answered 410 Gone",
            "count": 1,
            "oldestAt": "2026-11-23T12:00:00.000000Z",
            "dueAt": None,
        },
    ]
    chosen = (await house.get("/v1/jobs/causes?kind=start&state=failing&cause=FROM")).json()["causes"]
    assert chosen == causes[:1]


async def test_jobs_are_tried_again_by_cause_and_a_dry_run_changes_nothing(house: House) -> None:
    for run_id in ("a", "b"):
        await _died(house, run_id, "the backend answered 410 Gone")
    await _fail(house, (await life.accepted(house.database)).id)
    body = {"kind": "notify", "state": "dead", "cause": "410"}
    dry = await house.post("/v1/jobs/retry", "admin", json=body | {"dryRun": True})
    assert (dry.status_code, dry.json()["count"], dry.json()["dryRun"]) == (200, 2, True)
    assert len(await _listed(house, "?state=dead")) == 2
    wet = await house.post("/v1/jobs/retry", "admin", json=body)
    assert (wet.status_code, wet.json()["count"], wet.json()["causes"]) == (202, 2, dry.json()["causes"])
    assert await _listed(house, "?state=dead") == []
    assert (await house.post("/v1/jobs/retry", "admin", json={})).json()["count"] == 3


async def test_only_an_administrator_has_jobs_tried_again(house: House) -> None:
    problem(await house.post("/v1/jobs/retry", "submit", json={}), 403)


@pytest.mark.parametrize("body", [{"kind": "notified"}, {"state": "due"}, {"cause": ""}, {"since": "now"}])
async def test_jobs_that_cannot_be_meant_are_named(house: House, body: dict[str, str]) -> None:
    (fault,) = problem(await house.post("/v1/jobs/retry", "admin", json=body), 422)["errors"]
    assert fault["pointer"] == f"#/{next(iter(body))}"


@pytest.mark.parametrize("query", ["kind=notified", "state=done", "run=..", "cursor=x", "after=1"])
async def test_a_parameter_of_jobs_that_cannot_be_read_is_named(house: House, query: str) -> None:
    assert problem(await house.get(f"/v1/jobs?{query}"), 400)["parameter"] == query.partition("=")[0]


async def test_due_jobs_are_counted_by_kind_with_the_age_of_the_oldest(house: House) -> None:
    await life.accepted(house.database)
    failing, leased = await life.accepted(house.database), await life.accepted(house.database)
    await _fail(house, failing.id)
    await life.claimed(house.database, states.Kind.START, leased.id)
    assert await house.database.read(backlog.due_counts, life.at(1)) == ({"start": 1}, life.NOW)
    assert await house.database.read(backlog.due_counts, life.at(-1)) == ({}, None)
    assert await house.database.read(backlog.failing) == 1
