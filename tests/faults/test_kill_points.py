"""SIGKILL before and after every commit and every request of a run's life; then the story must end right."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests import backend, sandbox_server, server
from tests.patience import until

#: On a database server nobody can free the leases of who was killed: they lapse.
HURRIED = {"lease": 1.0, "heartbeat": 0.2}
#: What a server commits at its start on an embedded database alone.
EMBEDDED = ("upgrade", "free_all")
COMMITS = (
    "follow",
    "wish",
    "beat",
    "claim[sweep]",
    "swept",
    "used",
    "submit",
    "number",
    "claim[start]",
    "created",
    "started",
    "accept_delivery",
    "claim[settle]",
    "record",
    "index",
)
REQUESTS = ("POST /agent/v1/run", "POST /agent/v1/run/{id}/exec", "GET /agent/v1/run/{id}/details")
#: What a run's life may hold or not, as the sweep and a second callback happen to fall.
SOMETIMES = (
    *("commit observe", "commit done", "commit again", "commit seen_alive", "commit leave_to_cancel"),
    *("request GET /agent/v1/run", "request GET /agent/v1/run/{id}/status"),
)
CERTAIN = tuple(f"commit {name}" for name in COMMITS) + tuple(f"request {name}" for name in REQUESTS)
#: What comes to it where the backend is told.
TOLD = ("commit claim[notify]", "commit prepare", f"request POST {backend.PATH}", "commit notified")
SIDES = ("before", "after")


@pytest.fixture
def sandbox() -> Iterator[sandbox_server.Sandbox]:
    with sandbox_server.running(seed=secrets.randbits(30), run_seconds=0.2) as running:
        yield running


class Story:
    """A backend that submits one run and insists, as a careful one does; and what became of it."""

    def __init__(self, sandbox: sandbox_server.Sandbox, house: server.Server) -> None:
        self.sandbox, self.house = sandbox, house
        self.nonce = secrets.token_hex(8)
        with sandbox.client() as api:
            agent = sandbox_server.new_agent(api)
        self._wish = {"agentId": agent, "prompt": f"Find every force majeure clause. {self.nonce}"}

    def run(self) -> None:
        """Submits until it is acknowledged, and waits for the end; starts the server again where it has died."""
        until(self._submitted, why="never acknowledged")
        until(self._over, why="never settled")

    def _revive(self) -> None:
        if self.house.is_dead():
            self.house.start()

    def _submitted(self) -> bool:
        self._revive()
        try:
            with self.house.client() as client:
                answer = client.post("/v1/runs", json=self._wish, headers={"Idempotency-Key": self.nonce})
        except httpx.TransportError:
            return False
        return answer.status_code in (200, 202)

    def _over(self) -> bool:
        self._revive()
        return self.settled() and not self.left_to_do() and not self.unnumbered()

    def settled(self) -> bool:
        return bool(self.house.rows("SELECT 1 FROM runs WHERE status = 'completed'"))

    def left_to_do(self) -> list[dict[str, Any]]:
        return self.house.rows("SELECT * FROM jobs WHERE kind <> 'sweep'")

    def unnumbered(self) -> list[dict[str, Any]]:
        return self.house.rows("SELECT 1 FROM ledger_entries WHERE leaf_index IS NULL")

    def judge(self) -> None:
        """One successful exec for the nonce over all upstream runs, one settled record, nothing lost."""
        upstream = [run for run in self.sandbox.runs() if self.nonce in run["prompt"]]
        assert sum(run["execCount"] for run in upstream) == 1
        assert sorted(run["status"] for run in upstream) == ["cancelled"] * (len(upstream) - 1) + ["completed"]
        runs = self.house.rows("SELECT * FROM runs")
        assert [run["status"] for run in runs] == ["completed"]
        assert runs[0]["upstream_id"] in {run["id"] for run in upstream if run["execCount"]}
        ends = self.house.rows("SELECT kind FROM ledger_entries WHERE kind IN ('run.completed', 'run.accepted')")
        assert sorted(end["kind"] for end in ends) == ["run.accepted", "run.completed"]
        steps = self.house.rows("SELECT count(*) AS n FROM run_steps")[0]["n"]
        assert steps == runs[0]["step_count"] > 0
        acknowledged = sum(1 for sent in self.sandbox.sent("callback") if sent["status"] == 200)
        rows = self.house.rows("SELECT 1 + repeats AS n FROM deliveries WHERE verdict <> 'rejected'")
        assert sum(row["n"] for row in rows) >= acknowledged


@pytest.fixture
def story(sandbox: sandbox_server.Sandbox, site: server.Site) -> Iterator[Story]:
    house = server.Server(site, sandbox.url, HURRIED, {})
    try:
        yield Story(sandbox, house)
    finally:
        house.kill()


def test_the_recording_of_a_life_has_no_point_that_is_not_killed_at(story: Story, kind: str) -> None:
    story.house.start()
    story.run()
    recorded = {line.split(" ", 1)[1] for line in story.house.points.read_text().splitlines()}
    begin = {f"commit {name}" for name in EMBEDDED if kind == "sqlite"}
    assert recorded <= {*begin, *CERTAIN, *SOMETIMES}
    assert recorded >= {*begin, *CERTAIN}


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_kill_while_an_embedded_database_is_taken_over_loses_nothing(story: Story, name: str, side: str) -> None:
    story.house.start(kill=f"{side} commit {name}")
    story.run()
    assert story.house.starts == 2
    story.judge()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", CERTAIN)
def test_a_kill_at_any_point_loses_nothing_and_doubles_nothing(story: Story, point: str, side: str) -> None:
    story.house.start(kill=f"{side} {point}")
    story.run()
    assert f"{side} {point}\n" in story.house.points.read_text()
    assert story.house.starts == 2
    story.judge()


@pytest.fixture
def told_story(sandbox: sandbox_server.Sandbox, site: server.Site) -> Iterator[tuple[Story, backend.Backend]]:
    with backend.listening() as told:
        house = server.Server(site, sandbox.url, HURRIED, backend.settings(told))
        try:
            yield Story(sandbox, house), told
        finally:
            house.kill()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", TOLD)
def test_a_kill_while_the_backend_is_told_changes_nothing_of_what_it_is_told(
    told_story: tuple[Story, backend.Backend], point: str, side: str
) -> None:
    story, told = told_story
    story.house.start(kill=f"{side} {point}")
    story.run()
    assert f"{side} {point}\n" in story.house.points.read_text()
    story.judge()
    assert len({(posted.id, posted.body) for posted in told.received}) == 1
    assert backend.verified(told.received[0])["type"] == "run.completed"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", SOMETIMES)
def test_nor_does_one_where_a_life_does_not_always_come(story: Story, point: str, side: str) -> None:
    story.house.start(kill=f"{side} {point}")
    story.run()
    story.judge()
