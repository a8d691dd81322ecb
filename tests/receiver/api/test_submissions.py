"""Submitting, watching, cancelling, refreshing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from receiver.api import submissions
from storage import states
from storage.repositories import job_list
from storage.transitions import starting
from tests import life
from tests.receiver.api.app_fixture import SUBMISSION, Deployment, problem

pytestmark = pytest.mark.anyio


async def test_a_submission_is_accepted_with_the_address_of_its_run(deployment: Deployment) -> None:
    response = await deployment.submit(guidance="Be brief.", model="m-1", objectIds=["o1"], tags={"case": "7"})
    run = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/runs/{run['id']}"
    assert (await deployment.get(response.headers["location"])).json() == run
    assert run["status"] == "accepted"
    assert run["submittedBy"] == "backend-submit"
    assert (run["guidance"], run["objectIds"], run["tags"]) == ("Be brief.", ["o1"], {"case": "7"})


async def test_a_submission_is_a_row_with_its_job_before_it_is_answered(deployment: Deployment) -> None:
    run = (await deployment.submit()).json()
    assert await life.open_jobs(deployment.database, run["id"]) == ["start"]
    assert await life.ledger_kinds(deployment.database, run["id"]) == ["run.accepted"]


async def test_instants_are_in_utc_to_the_microsecond(deployment: Deployment) -> None:
    run = (await deployment.submit()).json()
    assert run["acceptedAt"] == "2026-11-23T12:00:00.000000Z"
    assert run["expectedBy"] == "2026-11-23T12:35:00.000000Z"
    assert run["settledAt"] is None


async def test_two_submissions_without_a_key_are_two_runs(deployment: Deployment) -> None:
    first, second = (await deployment.submit()).json(), (await deployment.submit()).json()
    assert first["id"] != second["id"]


async def test_the_same_idempotency_key_and_content_is_the_same_run(deployment: Deployment) -> None:
    first = await deployment.submit({"idempotency-key": "once"}, tags={"a": "1", "b": "2"})
    again = await deployment.submit({"idempotency-key": "once"}, tags={"b": "2", "a": "1"}, guidance=None)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()


async def test_absent_empty_and_null_tags_are_the_same_content(deployment: Deployment) -> None:
    first = await deployment.submit({"idempotency-key": "once"})
    empty = await deployment.submit({"idempotency-key": "once"}, tags={})
    null = await deployment.submit({"idempotency-key": "once"}, tags=None)
    assert first.json()["id"] == empty.json()["id"] == null.json()["id"]


async def test_the_same_idempotency_key_with_other_content_is_refused_by_name(deployment: Deployment) -> None:
    first = (await deployment.submit({"idempotency-key": "once"})).json()
    answer = problem(await deployment.submit({"idempotency-key": "once"}, prompt="Another one."), 409)
    assert answer["type"] == "urn:runledger:problem:idempotency-key-reused"
    assert answer["runId"] == first["id"]


async def test_idempotency_keys_of_two_submitters_are_apart(deployment: Deployment) -> None:
    first = await deployment.submit({"idempotency-key": "once"})
    options: dict[str, Any] = {"json": SUBMISSION, "headers": {"idempotency-key": "once"}}
    second = await deployment.post("/v1/runs", "admin", **options)
    assert second.status_code == 202
    assert first.json()["id"] != second.json()["id"]


async def test_twenty_submissions_at_once_under_one_key_are_one_run(deployment: Deployment) -> None:
    answers = await asyncio.gather(*(deployment.submit({"idempotency-key": "once"}) for _ in range(20)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]


async def test_an_idempotency_key_is_printable_and_not_too_long(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for key in ["", "é", "tab\there", "k" * 256]:
        with subtests.test(f"{key!r:.60}"):
            headers = [*deployment.bearer("submit").items(), ("idempotency-key", key.encode())]
            answer = problem(await deployment.client.post("/v1/runs", json=SUBMISSION, headers=headers), 400)  # type: ignore[arg-type]
            assert answer["header"] == "Idempotency-Key"


async def test_two_idempotency_keys_are_none(deployment: Deployment) -> None:
    headers = [*deployment.bearer("submit").items(), ("idempotency-key", "a"), ("idempotency-key", "b")]
    problem(await deployment.client.post("/v1/runs", json=SUBMISSION, headers=headers), 400)


async def test_a_wait_ends_with_the_run(deployment: Deployment) -> None:
    key = {"idempotency-key": "once", "prefer": "wait=30"}
    waiting = asyncio.create_task(deployment.submit(key))
    run_id = await _submitted(deployment)
    await _end(deployment, run_id)
    started = time.monotonic()
    response = await waiting
    assert time.monotonic() - started < 25
    assert response.status_code == 200
    assert response.headers["preference-applied"] == "wait=30"
    assert (response.json()["status"], response.json()["output"]) == ("completed", "The lease is void.")


async def _submitted(deployment: Deployment) -> str:
    """Return the id of the only run, as soon as it exists."""
    while True:
        found: list[dict[str, str]] = (await deployment.get("/v1/runs")).json()["runs"]
        if found:
            return found[0]["id"]
        await asyncio.sleep(0.01)


async def _end(deployment: Deployment, run_id: str) -> None:
    start = await life.claimed(deployment.database, states.Kind.START, run_id)
    made = starting.CreatedRun("run_up", life.at(1), watched=True)
    await deployment.database.write(starting.record_created, start, made, life.at(1))
    await deployment.database.write(starting.record_started, start, "exec", life.at(2), life.at(3600))
    await life.settle(deployment.database, await life.get_run(deployment.database, run_id), life.result())


async def test_a_wait_that_is_over_returns_the_run_as_it_is(deployment: Deployment) -> None:
    started = time.monotonic()
    response = await deployment.submit({"prefer": "respond-async, wait=1"})
    assert time.monotonic() - started > 0.9
    assert (response.status_code, response.json()["status"]) == (202, "accepted")
    assert response.headers["preference-applied"] == "wait=1"


async def test_a_wait_for_a_run_that_has_ended_is_none(deployment: Deployment) -> None:
    run = (await deployment.submit({"idempotency-key": "once"})).json()
    await deployment.post(f"/v1/runs/{run['id']}/cancel")
    again = await deployment.submit({"idempotency-key": "once", "prefer": "wait=30"})
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_nobody_waits_for_a_client_that_went_away(deployment: Deployment) -> None:
    body = json.dumps(SUBMISSION).encode()
    messages = iter([{"type": "http.request", "body": body}, {"type": "http.disconnect"}])
    given = {**deployment.bearer("submit"), "content-type": "application/json", "prefer": "wait=30"}
    headers = [(name.encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/runs", "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return next(messages)

    async def send(_: Any) -> None:
        """Send to a client that is gone."""

    async with asyncio.timeout(5):
        await deployment.app(scope, receive, send)


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        (["wait=10"], 10),
        (["Wait = 10"], 10),
        (['wait="10"'], 10),
        (["respond-async, wait=10; foo=bar"], 10),
        (["respond-async", "wait=7"], 7),
        (["wait=5, wait=9"], 5),
        (["wait=0"], 0),
        (["wait=4000000"], 60),
        (["wait=-1"], None),
        (["wait=soon"], None),
        (["wait=1.5"], None),
        (["wait=１"], None),
        (["wait=" + "9" * 5000], None),
        (['wait="5'], None),
        (["return=minimal"], None),
        ([], None),
    ],
)
def test_what_a_preference_to_wait_means(preferences: list[str], seconds: int | None) -> None:
    assert submissions.wait(preferences) == seconds


async def test_a_run_from_elsewhere_is_watched_once(deployment: Deployment) -> None:
    first = await deployment.post("/v1/watch", json={"runId": "run_theirs"})
    again = await deployment.post("/v1/watch", json={"runId": "run_theirs"})
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    assert (first.json()["origin"], first.json()["upstreamId"]) == ("adopted", "run_theirs")
    assert await life.open_jobs(deployment.database, first.json()["id"]) == ["adopt"]


async def test_watching_a_run_of_ours_answers_its_record(deployment: Deployment) -> None:
    run = (await deployment.submit()).json()
    response = await deployment.post("/v1/watch", json={"runId": run["id"]})
    assert (response.status_code, response.json()) == (200, run)


async def test_a_cancel_before_the_create_ends_the_run_at_once(deployment: Deployment) -> None:
    run = (await deployment.submit()).json()
    response = await deployment.post(f"/v1/runs/{run['id']}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert "run.cancel_requested" in await life.ledger_kinds(deployment.database, run["id"])


async def test_a_cancel_of_a_running_run_is_a_job(deployment: Deployment) -> None:
    run = await life.running(deployment.database, "run_up")
    response = await deployment.post("/v1/runs/run_up/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "running")
    assert response.json()["cancelRequestedAt"] is not None
    assert await life.open_jobs(deployment.database, run.id) == ["cancel"]


async def test_a_cancel_of_a_run_that_has_ended_changes_nothing(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    response = await deployment.post(f"/v1/runs/{run.id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "completed")
    assert response.json()["cancelRequestedAt"] is None


async def test_a_refresh_is_a_job_also_for_a_run_that_has_ended(deployment: Deployment) -> None:
    run = await life.settled_run(deployment.database)
    response = await deployment.post(f"/v1/runs/{run.id}/refresh")
    assert response.status_code == 202
    listed, _ = await deployment.database.read(job_list.page, job_list.Query(run_id=run.id), life.NOW)
    assert [(job.kind, job.trigger) for job in listed] == [(states.Kind.SETTLE, states.Source.REQUEST)]


async def test_a_run_that_is_not_created_yet_cannot_be_refreshed(deployment: Deployment) -> None:
    run = (await deployment.submit()).json()
    answer = problem(await deployment.post(f"/v1/runs/{run['id']}/refresh"), 409)
    assert (answer["type"], answer["runId"]) == ("urn:runledger:problem:not-created-yet", run["id"])


async def test_what_is_asked_of_an_unknown_run_is_not_found(
    deployment: Deployment, subtests: pytest.Subtests
) -> None:
    for verb in ["cancel", "refresh"]:
        with subtests.test(f"{verb!r:.60}"):
            problem(await deployment.post(f"/v1/runs/run_nobody/{verb}"), 404)
