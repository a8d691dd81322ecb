"""SIGKILL before and after every commit and every request of a run's life; then the run must end right."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from storage import ids, states
from storage.engine.database import Database
from storage.repositories import deliveries
from storage.transitions import receiving
from tests import backend, life, sandbox_server, server
from tests.patience import until

#: On a database server the leases of a killed process cannot be freed: they lapse.
HURRIED = {"lease": 1.0, "heartbeat": 0.2}
#: What a server commits at its start on an embedded database alone.
EMBEDDED = ("upgrade", "release_all")
COMMITS = (
    "request_follow_ups",
    "remove_unmatched",
    "enqueue",
    "record_heartbeat",
    "claim[sweep]",
    "finish_sweep",
    "record_use",
    "submit",
    "number",
    "claim[start]",
    "record_created",
    "record_started",
    "accept_delivery",
    "claim[settle]",
    "record_result",
    "add",
)
REQUESTS = ("POST /agent/v1/run", "POST /agent/v1/run/{id}/exec", "GET /agent/v1/run/{id}/details")
#: What a run's life may hold or not, as the sweep and a second callback happen to fall.
SOMETIMES = (
    *(
        "commit record_listed",
        "commit complete",
        "commit reschedule",
        "commit record_alive",
        "commit leave_to_cancel",
    ),
    *("request GET /agent/v1/run", "request GET /agent/v1/run/{id}/status"),
)
CERTAIN = tuple(f"commit {name}" for name in COMMITS) + tuple(f"request {name}" for name in REQUESTS)
#: What is added where a backend is notified.
NOTIFICATION = (
    "commit claim[notify]",
    "commit prepare_notification",
    f"request POST {backend.PATH}",
    "commit complete_notification",
)
SIDES = ("before", "after")


@pytest.fixture
def sandbox() -> Iterator[sandbox_server.Sandbox]:
    with sandbox_server.running(seed=secrets.randbits(30), run_seconds=0.2) as running:
        yield running


async def _reject_one(url: str) -> None:
    """Store a rejected request so old that the server removes it at its start."""
    at = life.at(-400 * 86_400)
    row = deliveries.RejectedRequest(ids.new(at), states.Source.PLATFORM, at, {}, b"", "0" * 64, 0, "no signature")
    async with Database(url) as store:
        await store.write(receiving.store_rejected, [row])


class Scenario:
    """A backend that submits one run and retries, as a careful one does; and the outcome."""

    def __init__(self, sandbox: sandbox_server.Sandbox, deployment: server.Server) -> None:
        self.sandbox, self.deployment = sandbox, deployment
        self.nonce = secrets.token_hex(8)
        with sandbox.client() as api:
            agent = sandbox_server.new_agent(api)
        asyncio.run(_reject_one(deployment.site.url))
        self._body = {"agentId": agent, "prompt": f"Find every force majeure clause. {self.nonce}"}

    def run(self) -> None:
        """Submits until it is acknowledged, and waits for the end; starts the server again where it has died."""
        until(self._submitted, why="never acknowledged")
        until(self._over, why="never settled")

    def _revive(self) -> None:
        if self.deployment.is_dead():
            self.deployment.start()

    def _submitted(self) -> bool:
        self._revive()
        try:
            with self.deployment.client() as client:
                answer = client.post("/v1/runs", json=self._body, headers={"Idempotency-Key": self.nonce})
        except httpx.TransportError:
            return False
        return answer.status_code in (200, 202)

    def _over(self) -> bool:
        self._revive()
        return self.settled() and not self.left_to_do() and not self.unnumbered()

    def settled(self) -> bool:
        return bool(self.deployment.rows("SELECT 1 FROM runs WHERE status = 'completed'"))

    def left_to_do(self) -> list[dict[str, Any]]:
        return self.deployment.rows("SELECT * FROM jobs WHERE kind <> 'sweep'")

    def unnumbered(self) -> list[dict[str, Any]]:
        return self.deployment.rows("SELECT 1 FROM ledger_entries WHERE leaf_index IS NULL")

    def judge(self) -> None:
        """One successful exec for the nonce over all upstream runs, one settled record, nothing lost."""
        upstream = [run for run in self.sandbox.runs() if self.nonce in run["prompt"]]
        assert sum(run["execCount"] for run in upstream) == 1
        assert sorted(run["status"] for run in upstream) == ["cancelled"] * (len(upstream) - 1) + ["completed"]
        runs = self.deployment.rows("SELECT * FROM runs")
        assert [run["status"] for run in runs] == ["completed"]
        assert runs[0]["upstream_id"] in {run["id"] for run in upstream if run["execCount"]}
        ends = self.deployment.rows(
            "SELECT kind FROM ledger_entries WHERE kind IN ('run.completed', 'run.accepted')"
        )
        assert sorted(end["kind"] for end in ends) == ["run.accepted", "run.completed"]
        steps = self.deployment.rows("SELECT count(*) AS n FROM run_steps")[0]["n"]
        assert steps == runs[0]["step_count"] > 0
        acknowledged = sum(1 for sent in self.sandbox.sent("callback") if sent["status"] == 200)
        rows = self.deployment.rows("SELECT 1 + repeats AS n FROM deliveries WHERE verdict <> 'rejected'")
        assert sum(row["n"] for row in rows) >= acknowledged


@pytest.fixture
def scenario(sandbox: sandbox_server.Sandbox, site: server.Site) -> Iterator[Scenario]:
    deployment = server.Server(site, sandbox.url, HURRIED, {})
    try:
        yield Scenario(sandbox, deployment)
    finally:
        deployment.kill()


def test_the_recording_of_a_life_has_no_point_that_is_not_killed_at(scenario: Scenario, kind: str) -> None:
    scenario.deployment.start()
    scenario.run()
    recorded = {line.split(" ", 1)[1] for line in scenario.deployment.points.read_text().splitlines()}
    begin = {f"commit {name}" for name in EMBEDDED if kind == "sqlite"}
    assert recorded <= {*begin, *CERTAIN, *SOMETIMES}
    assert recorded >= {*begin, *CERTAIN}


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_kill_while_an_embedded_database_is_taken_over_loses_nothing(
    scenario: Scenario, name: str, side: str
) -> None:
    scenario.deployment.start(kill=f"{side} commit {name}")
    scenario.run()
    assert scenario.deployment.starts == 2
    scenario.judge()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", CERTAIN)
def test_a_kill_at_any_point_loses_nothing_and_doubles_nothing(scenario: Scenario, point: str, side: str) -> None:
    scenario.deployment.start(kill=f"{side} {point}")
    scenario.run()
    assert f"{side} {point}\n" in scenario.deployment.points.read_text()
    assert scenario.deployment.starts == 2
    scenario.judge()


@pytest.fixture
def notified_scenario(
    sandbox: sandbox_server.Sandbox, site: server.Site
) -> Iterator[tuple[Scenario, backend.Backend]]:
    with backend.listening() as listener:
        deployment = server.Server(site, sandbox.url, HURRIED, backend.settings(listener))
        try:
            yield Scenario(sandbox, deployment), listener
        finally:
            deployment.kill()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", NOTIFICATION)
def test_a_kill_during_a_notification_changes_nothing_of_its_content(
    notified_scenario: tuple[Scenario, backend.Backend], point: str, side: str
) -> None:
    scenario, listener = notified_scenario
    scenario.deployment.start(kill=f"{side} {point}")
    scenario.run()
    assert f"{side} {point}\n" in scenario.deployment.points.read_text()
    scenario.judge()
    assert len({(posted.id, posted.body) for posted in listener.received}) == 1
    assert backend.verified(listener.received[0])["type"] == "run.completed"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", SOMETIMES)
def test_a_kill_at_a_point_that_not_every_run_reaches_loses_and_doubles_nothing(
    scenario: Scenario, point: str, side: str
) -> None:
    scenario.deployment.start(kill=f"{side} {point}")
    scenario.run()
    scenario.judge()
