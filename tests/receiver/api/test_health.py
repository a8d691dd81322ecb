"""Health, readiness, metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest

from receiver import backoff
from storage import house as shared
from storage import jobs, states
from storage.database import Database
from tests import life
from tests.receiver.api import house as houses
from tests.receiver.api.house import House, problem

pytestmark = pytest.mark.anyio


@pytest.fixture
async def open_house(database: Database) -> AsyncIterator[House]:
    """A house whose metrics are open."""
    async for made in houses.opened(database, metrics_open=True):
        yield made


async def _readiness(house: House, status: int) -> dict[str, Any]:
    response = await house.get("/readyz")
    assert response.status_code == status
    told: dict[str, Any] = response.json()
    assert told["ready"] is (status == 200)
    return told


async def test_the_process_is_healthy_whatever_the_database_does(house: House) -> None:
    await house.database.__aexit__()
    response = await house.client.get("/healthz", headers=house.bearer("read"))
    assert response.status_code == 200
    assert response.json()["ok"] is True
    assert response.json()["version"]


async def test_a_house_with_a_worker_is_ready(house: House) -> None:
    await house.database.write(shared.beat, life.NOW, life.at(-5))
    told = await _readiness(house, 200)
    assert told["reasons"] == []
    assert (told["workerSeconds"], told["upstreamOkAt"]) == (0, "2026-11-23T11:59:55.000000Z")


async def test_a_server_that_is_told_to_stop_says_so_before_it_does(database: Database) -> None:
    stopping = asyncio.Event()
    async for house in houses.opened(database, stopping=stopping):
        assert (await house.client.get("/healthz")).status_code == 200
        stopping.set()
        answer = await house.client.get("/healthz")
        assert (answer.status_code, answer.json()["ok"]) == (503, False)
        assert "the server stops" in (await _readiness(house, 503))["reasons"]


async def test_a_house_without_a_worker_is_not_ready(house: House) -> None:
    assert (await _readiness(house, 503))["reasons"] == ["no worker was seen lately"]
    await house.database.write(shared.beat, life.NOW)
    house.clock.tick(backoff.Timing().absent)
    await _readiness(house, 200)
    house.clock.tick(1)
    await _readiness(house, 503)


async def test_the_shared_pause_makes_the_house_not_ready_and_says_why(house: House) -> None:
    await house.database.write(shared.beat, life.NOW)
    await house.database.write(shared.pause, life.at(60), "401 from GET /agent/v1/run", life.NOW)
    told = await _readiness(house, 503)
    assert told["reasons"] == ["the upstream is not asked now: 401 from GET /agent/v1/run"]


async def test_one_bad_run_is_named_and_does_not_stop_the_house(house: House) -> None:
    await house.database.write(shared.beat, life.NOW)
    run = await life.accepted(house.database, expected_by=life.at(-1))
    claim = await life.claimed(house.database, states.Kind.START, run.id)
    await house.database.write(jobs.failed, claim, life.NOW + timedelta(hours=1), error="500", now=life.NOW)
    told = await _readiness(house, 200)
    assert (told["overdueRuns"], told["failingJobs"]) == (1, 1)
    assert [(job["runId"], job["lastError"]) for job in told["failing"]] == [(run.id, "500")]


async def test_what_was_given_up_is_a_warning_with_what_to_do(house: House) -> None:
    await house.database.write(shared.beat, life.NOW)
    assert (await _readiness(house, 200))["warnings"] == []
    await house.database.write(jobs.wish, [jobs.Wish(states.Kind.NOTIFY, "a", life.NOW)])
    claim = await life.claimed(house.database, states.Kind.NOTIFY, "a")
    await house.database.write(jobs.die, claim, error="410 Gone", now=life.NOW)
    told = await _readiness(house, 200)
    assert told["warnings"] == [
        "1 notify job was given up: `runledger jobs --by cause` tells why, "
        "`runledger jobs retry --kind notify` tries again"
    ]
    assert told["failingJobs"] == 0


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer rl_x_y"}, {"authorization": "nonsense"}])
async def test_strangers_are_told_no_more_than_whether(house: House, headers: dict[str, str]) -> None:
    await house.database.write(shared.pause, life.at(60), "401", life.NOW)
    response = await house.client.get("/readyz", headers=headers)
    assert (response.status_code, response.json()) == (503, {"ready": False})


async def test_a_house_without_its_database_is_not_ready() -> None:
    async with Database("sqlite:////nowhere/at/all.db") as nothing:
        response = await _asked(nothing, "/readyz")
        assert (response.status_code, response.json()) == (503, {"ready": False})


async def test_a_house_whose_database_hangs_is_not_ready(database: Database) -> None:
    answered = threading.Event()
    reads = [asyncio.ensure_future(database.read(lambda _: answered.wait(60))) for _ in range(2)]
    await asyncio.sleep(0)
    response = await _asked(database, "/readyz", timing=backoff.Timing(readiness=0.05))
    assert (response.status_code, response.json()) == (503, {"ready": False})
    answered.set()
    await asyncio.gather(*reads)


async def test_a_list_without_a_database_may_be_asked_for_again() -> None:
    async with Database("sqlite:////nowhere/at/all.db") as nothing:
        response = await _asked(nothing, "/v1/runs")
        assert problem(response, 503)["type"] == "urn:runledger:problem:unavailable"
        assert response.headers["retry-after"] == "5"


async def _asked(database: Database, path: str, **changes: Any) -> httpx.Response:
    """The answer of a house over a database that may not be there, to someone whose key has the right form."""
    transport = httpx.ASGITransport(houses.app(houses.context(database, houses.Clock(), **changes)))
    key = {"authorization": f"Bearer rl_0_{'x' * 43}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://runledger.test", headers=key) as client:
        return await client.get(path)


async def test_metrics_need_a_key(house: House) -> None:
    problem(await house.client.get("/metrics"), 401)
    problem(await house.get("/metrics", "submit"), 403)
    response = await house.get("/metrics")
    assert (response.status_code, response.text) == (200, "runledger_up 1\n")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_metrics_can_be_opened(open_house: House) -> None:
    assert (await open_house.client.get("/metrics")).status_code == 200
