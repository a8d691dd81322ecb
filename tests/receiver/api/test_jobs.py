"""Jobs in the API."""

from __future__ import annotations

from datetime import timedelta

import pytest

from storage import states
from storage.repositories import job_counts, jobs
from tests import life
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


async def _fail(deployment: Deployment, run_id: str) -> None:
    claim = await life.claimed(deployment.database, states.Kind.START, run_id)
    later = life.NOW + timedelta(hours=1)
    await deployment.database.write(jobs.fail, claim, later, error="503 from the upstream", now=life.NOW)


async def _listed(deployment: Deployment, query: str = "") -> list[tuple[str, str]]:
    found = (await deployment.get(f"/v1/jobs{query}")).json()["jobs"]
    return [(job["runId"], job["state"]) for job in found]


async def test_each_job_is_in_the_state_that_it_is_in(deployment: Deployment) -> None:
    due, failing, leased = [(await life.accepted(deployment.database)).id for _ in range(3)]
    await _fail(deployment, failing)
    await life.claimed(deployment.database, states.Kind.START, leased)
    assert await _listed(deployment) == [(leased, "leased"), (failing, "failing"), (due, "due")]
    for state, run in (("leased", leased), ("failing", failing), ("due", due)):
        assert await _listed(deployment, f"?state={state}") == [(run, state)]
    assert await _listed(deployment, "?state=dead") == []


async def test_a_job_that_is_to_come_waits(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    request = jobs.JobRequest(states.Kind.SETTLE, run.id, life.NOW, due_at=life.at(60))
    await deployment.database.write(jobs.enqueue, [request])
    assert await _listed(deployment) == [(run.id, "waiting")]
    deployment.clock.tick(60)
    assert await _listed(deployment) == [(run.id, "due")]


async def test_jobs_are_found_by_kind_and_by_run_under_either_id(deployment: Deployment) -> None:
    run = await life.running(deployment.database, "run_up")
    await deployment.post("/v1/runs/run_up/cancel")
    await life.accepted(deployment.database)
    for query in ("?kind=cancel", "?run=run_up", f"?run={run.id}&kind=cancel"):
        assert await _listed(deployment, query) == [(run.id, "due")]


async def test_jobs_come_in_pages(deployment: Deployment) -> None:
    ids = [(await life.accepted(deployment.database)).id for _ in range(5)]
    first = (await deployment.get("/v1/jobs?limit=3")).json()
    second = (await deployment.get(f"/v1/jobs?limit=3&cursor={first['nextCursor']}")).json()
    assert [job["runId"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert (first["hasMore"], second["hasMore"], second["nextCursor"]) == (True, False, None)


async def test_work_of_the_whole_deployment_has_no_run(deployment: Deployment) -> None:
    await deployment.database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.SWEEP, "", life.NOW)])
    assert (await deployment.get("/v1/jobs")).json()["jobs"][0]["runId"] is None


async def test_a_failing_job_is_tried_again_on_request(deployment: Deployment) -> None:
    run = await life.accepted(deployment.database)
    await _fail(deployment, run.id)
    job = (await deployment.get("/v1/jobs")).json()["jobs"][0]
    assert (job["attempts"], job["lastError"]) == (1, "503 from the upstream")
    response = await deployment.post(f"/v1/jobs/{job['id']}/retry", "admin")
    assert response.status_code == 202
    assert (response.json()["attempts"], response.json()["dueAt"]) == (0, "2026-11-23T12:00:00.000000Z")


async def test_a_job_that_is_done_cannot_be_tried_again(deployment: Deployment) -> None:
    problem(await deployment.post("/v1/jobs/nothing/retry", "admin"), 404)


async def _died(deployment: Deployment, run_id: str, error: str) -> None:
    await deployment.database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.NOTIFY, run_id, life.NOW)])
    claim = await life.claimed(deployment.database, states.Kind.NOTIFY, run_id)
    await deployment.database.write(jobs.bury, claim, error=error, now=life.NOW)


async def test_failing_jobs_are_listed_by_cause_with_their_number_and_start(deployment: Deployment) -> None:
    for _ in range(2):
        await _fail(deployment, (await life.accepted(deployment.database)).id)
    await _died(deployment, "a", "the backend answered 410 Gone")
    causes = (await deployment.get("/v1/jobs/causes")).json()["causes"]
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
    chosen = (await deployment.get("/v1/jobs/causes?kind=start&state=failing&cause=FROM")).json()["causes"]
    assert chosen == causes[:1]


async def test_jobs_are_tried_again_by_cause_and_a_dry_run_changes_nothing(deployment: Deployment) -> None:
    for run_id in ("a", "b"):
        await _died(deployment, run_id, "the backend answered 410 Gone")
    await _fail(deployment, (await life.accepted(deployment.database)).id)
    body = {"kind": "notify", "state": "dead", "cause": "410"}
    dry = await deployment.post("/v1/jobs/retry", "admin", json=body | {"dryRun": True})
    assert (dry.status_code, dry.json()["count"], dry.json()["dryRun"]) == (200, 2, True)
    assert len(await _listed(deployment, "?state=dead")) == 2
    wet = await deployment.post("/v1/jobs/retry", "admin", json=body)
    assert (wet.status_code, wet.json()["count"], wet.json()["causes"]) == (202, 2, dry.json()["causes"])
    assert await _listed(deployment, "?state=dead") == []
    assert (await deployment.post("/v1/jobs/retry", "admin", json={})).json()["count"] == 3


async def test_only_an_administrator_has_jobs_tried_again(deployment: Deployment) -> None:
    problem(await deployment.post("/v1/jobs/retry", "submit", json={}), 403)


async def test_jobs_that_cannot_be_meant_are_named(deployment: Deployment, subtests: pytest.Subtests) -> None:
    for body in [{"kind": "notified"}, {"state": "due"}, {"cause": ""}, {"since": "now"}]:
        with subtests.test(f"{body!r:.60}"):
            (fault,) = problem(await deployment.post("/v1/jobs/retry", "admin", json=body), 422)["errors"]
            assert fault["pointer"] == f"#/{next(iter(body))}"


async def test_a_parameter_of_jobs_that_cannot_be_read_is_named(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for query in ["kind=notified", "state=done", "run=..", "cursor=x", "after=1"]:
        with subtests.test(f"{query!r:.60}"):
            assert problem(await deployment.get(f"/v1/jobs?{query}"), 400)["parameter"] == query.partition("=")[0]


async def test_due_jobs_are_counted_by_kind_with_the_age_of_the_oldest(deployment: Deployment) -> None:
    await life.accepted(deployment.database)
    failing, leased = await life.accepted(deployment.database), await life.accepted(deployment.database)
    await _fail(deployment, failing.id)
    await life.claimed(deployment.database, states.Kind.START, leased.id)
    assert await deployment.database.read(job_counts.count_due, life.at(1)) == ({"start": 1}, life.NOW)
    assert await deployment.database.read(job_counts.count_due, life.at(-1)) == ({}, None)
    assert await deployment.database.read(job_counts.count_failing) == 1
