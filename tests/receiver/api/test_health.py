"""Health, readiness, metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest

from receiver import timeouts
from storage import states
from storage.engine.database import Database
from storage.repositories import jobs, system_state
from tests import life
from tests.receiver.api import app_fixture
from tests.receiver.api.app_fixture import Deployment, problem

pytestmark = pytest.mark.anyio


@pytest.fixture
async def open_deployment(database: Database) -> AsyncIterator[Deployment]:
    """Yield a deployment whose metrics need no key."""
    async for made in app_fixture.opened(database, metrics_open=True):
        yield made


async def _readiness(deployment: Deployment, status: int) -> dict[str, Any]:
    response = await deployment.get("/readyz")
    assert response.status_code == status
    body: dict[str, Any] = response.json()
    assert body["ready"] is (status == 200)
    return body


async def test_the_process_is_healthy_whatever_the_database_does(deployment: Deployment) -> None:
    await deployment.database.__aexit__()
    response = await deployment.client.get("/healthz", headers=deployment.bearer("read"))
    assert response.status_code == 200
    assert response.json()["ok"] is True
    assert response.json()["version"]


async def test_a_deployment_with_a_worker_is_ready(deployment: Deployment) -> None:
    await deployment.database.write(system_state.record_heartbeat, life.NOW, life.at(-5))
    body = await _readiness(deployment, 200)
    assert body["reasons"] == []
    assert (body["workerSeconds"], body["upstreamOkAt"]) == (0, "2026-11-23T11:59:55.000000Z")


async def test_a_server_is_not_ready_from_the_signal_to_stop_on(database: Database) -> None:
    stopping = asyncio.Event()
    async for deployment in app_fixture.opened(database, stopping=stopping):
        assert (await deployment.client.get("/healthz")).status_code == 200
        stopping.set()
        answer = await deployment.client.get("/healthz")
        assert (answer.status_code, answer.json()["ok"]) == (503, False)
        assert "the server stops" in (await _readiness(deployment, 503))["reasons"]


async def test_a_deployment_without_a_worker_is_not_ready(deployment: Deployment) -> None:
    assert (await _readiness(deployment, 503))["reasons"] == ["no worker was seen lately"]
    await deployment.database.write(system_state.record_heartbeat, life.NOW)
    deployment.clock.tick(timeouts.Timing().worker_gone_after)
    await _readiness(deployment, 200)
    deployment.clock.tick(1)
    await _readiness(deployment, 503)


async def test_the_shared_pause_makes_the_deployment_not_ready_with_its_reason(deployment: Deployment) -> None:
    await deployment.database.write(system_state.record_heartbeat, life.NOW)
    await deployment.database.write(system_state.pause, life.at(60), "401 from GET /agent/v1/run", life.NOW)
    body = await _readiness(deployment, 503)
    assert body["reasons"] == ["the upstream is not asked now: 401 from GET /agent/v1/run"]


async def test_one_bad_run_is_named_and_does_not_stop_the_deployment(deployment: Deployment) -> None:
    await deployment.database.write(system_state.record_heartbeat, life.NOW)
    run = await life.accepted(deployment.database, expected_by=life.at(-1))
    claim = await life.claimed(deployment.database, states.Kind.START, run.id)
    await deployment.database.write(jobs.fail, claim, life.NOW + timedelta(hours=1), error="500", now=life.NOW)
    body = await _readiness(deployment, 200)
    assert (body["overdueRuns"], body["failingJobs"]) == (1, 1)
    assert [(job["runId"], job["lastError"]) for job in body["failing"]] == [(run.id, "500")]


async def test_what_was_given_up_is_a_warning_with_what_to_do(deployment: Deployment) -> None:
    await deployment.database.write(system_state.record_heartbeat, life.NOW)
    assert (await _readiness(deployment, 200))["warnings"] == []
    await deployment.database.write(jobs.enqueue, [jobs.JobRequest(states.Kind.NOTIFY, "a", life.NOW)])
    claim = await life.claimed(deployment.database, states.Kind.NOTIFY, "a")
    await deployment.database.write(jobs.bury, claim, error="410 Gone", now=life.NOW)
    body = await _readiness(deployment, 200)
    assert body["warnings"] == [
        "1 notify job was given up: `runledger jobs --by cause` tells why, "
        "`runledger jobs retry --kind notify` tries again"
    ]
    assert body["failingJobs"] == 0


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer rl_x_y"}, {"authorization": "nonsense"}])
async def test_a_caller_without_a_key_gets_no_more_than_whether_it_is_ready(
    deployment: Deployment, headers: dict[str, str]
) -> None:
    await deployment.database.write(system_state.pause, life.at(60), "401", life.NOW)
    response = await deployment.client.get("/readyz", headers=headers)
    assert (response.status_code, response.json()) == (503, {"ready": False})


async def test_a_deployment_without_its_database_is_not_ready() -> None:
    async with Database("sqlite:////nowhere/at/all.db") as nothing:
        response = await _asked(nothing, "/readyz")
        assert (response.status_code, response.json()) == (503, {"ready": False})


async def test_a_deployment_whose_database_hangs_is_not_ready(database: Database) -> None:
    answered = threading.Event()
    reads = [asyncio.ensure_future(database.read(lambda _: answered.wait(60))) for _ in range(2)]
    await asyncio.sleep(0)
    response = await _asked(database, "/readyz", timing=timeouts.Timing(readiness=0.05))
    assert (response.status_code, response.json()) == (503, {"ready": False})
    answered.set()
    await asyncio.gather(*reads)


async def test_a_list_without_a_database_may_be_requested_again() -> None:
    async with Database("sqlite:////nowhere/at/all.db") as nothing:
        response = await _asked(nothing, "/v1/runs")
        assert problem(response, 503)["type"] == "urn:runledger:problem:unavailable"
        assert response.headers["retry-after"] == "5"


async def _asked(database: Database, path: str, **changes: Any) -> httpx.Response:
    """Return the answer over a database that may not be there, to a request whose key has the right form."""
    transport = httpx.ASGITransport(
        app_fixture.Served(app_fixture.context(database, app_fixture.Clock(), **changes))
    )
    key = {"authorization": f"Bearer rl_0_{'x' * 43}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://runledger.test", headers=key) as client:
        return await client.get(path)


async def test_metrics_need_a_key(deployment: Deployment) -> None:
    problem(await deployment.client.get("/metrics"), 401)
    problem(await deployment.get("/metrics", "submit"), 403)
    response = await deployment.get("/metrics")
    assert (response.status_code, response.text) == (200, "runledger_up 1\n")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_metrics_can_be_opened(open_deployment: Deployment) -> None:
    assert (await open_deployment.client.get("/metrics")).status_code == 200
