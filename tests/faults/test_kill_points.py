"""SIGKILL before and after every commit and every request of a run's life; then the run must end right."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2 as httpx
import pytest

from storage import ids, states
from storage.engine.database import Database
from storage.repositories import deliveries
from storage.transitions import receiving
from tests import backend, life, sandbox_server, server
from tests.faults.conftest import Sites
from tests.journeys import harness
from tests.patience import until

#: On a database server the leases of a killed process cannot be freed: they lapse.
SHORT_LEASE = {"lease": 1.0, "heartbeat": 0.2}
#: What a server commits at its start on an embedded database alone.
EMBEDDED = ("upgrade", "release_all")
#: What a server commits in a run's life on a database server alone: a file numbers entries as it inserts them.
NUMBERING = "commit number"
#: What a server commits at its first start, or for the first request of a key, and not again.
AT_START = tuple(
    f"commit {name}" for name in ("request_follow_ups", "remove_unmatched", "enqueue", "record_use", "keep")
)
COMMITS = (
    "record_heartbeat",
    "claim[sweep]",
    "finish_sweep",
    "submit",
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
        "commit leave_to",
        "commit sign_next",
        "commit reached",
    ),
    *("request GET /agent/v1/run", "request GET /agent/v1/run/{id}/status", "request GET /agent/v1/agents"),
)
IN_LIFE = tuple(f"commit {name}" for name in COMMITS) + tuple(f"request {name}" for name in REQUESTS)
#: What is added where a backend is notified.
NOTIFICATION = (
    "commit claim[notify]",
    "commit prepare_notification",
    f"request POST {backend.PATH}",
    "commit complete_notification",
)
SIDES = ("before", "after")
#: Whether something is left to be done for a run: one statement, since each look makes a connection.
UNFINISHED = """
    SELECT 1 FROM runs WHERE idempotency_key = ? AND (EXISTS (SELECT 1 FROM jobs WHERE run_id = runs.id)
    OR EXISTS (SELECT 1 FROM ledger_entries WHERE leaf_index IS NULL AND run_id = runs.id))
"""


@dataclass
class Survivor:
    """A server that dies and lives on, and its upstream. `listener` is the backend that it notifies."""

    sandbox: sandbox_server.Sandbox
    server: server.Server
    agent: str
    listener: backend.Backend | None = None

    def revive(self) -> None:
        """Start the server where it is dead."""
        if self.server.is_dead():
            self.server.start()


@contextmanager
def surviving(site: server.Site, *, notified: bool = False) -> Iterator[Survivor]:
    """Yield a server on this site that is not started yet."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(sandbox_server.running(seed=secrets.randbits(30), run_seconds=0.2))
        listener = stack.enter_context(backend.listening()) if notified else None
        with sandbox.client() as api:
            agent = sandbox_server.new_agent(api)
        settings = backend.settings(listener) if listener else {}
        made = server.Server(site, sandbox.url, SHORT_LEASE, settings)
        stack.callback(made.kill)
        yield Survivor(sandbox, made, agent, listener)


class Submission:
    """A backend that submits one run and retries, as a careful one does; and the outcome."""

    def __init__(self, survivor: Survivor) -> None:
        self.survivor, self.sandbox, self.server = survivor, survivor.sandbox, survivor.server
        self.nonce = secrets.token_hex(8)
        self.body = {"agentId": survivor.agent, "prompt": f"Find every force majeure clause. {self.nonce}"}

    def run(self) -> None:
        """Submit until it is acknowledged, and wait for the end; start the server again where it has died."""
        until(self._is_acknowledged, why="never acknowledged")
        until(self._is_over, why="never settled")

    def die_at(self, point: str) -> None:
        """Submit the run to a server that dies at the point, start it again, and wait for the end."""
        starts = self.server.starts
        self.server.die_at(point)
        self.run()
        until(lambda: self.server.is_dead() or self.server.starts > starts, why=f"never reached {point}")
        self.run()
        assert self.server.starts == starts + 1

    def _is_acknowledged(self) -> bool:
        self.survivor.revive()
        try:
            with self.server.client() as client:
                answer = client.post("/v1/runs", json=self.body, headers={"Idempotency-Key": self.nonce})
        except httpx.TransportError:
            return False
        return answer.status_code in (200, 202)

    def _is_over(self) -> bool:
        self.survivor.revive()
        return not self.server.rows(UNFINISHED, self.nonce) and self.is_settled()

    def is_settled(self) -> bool:
        return bool(self.record()["status"] == "completed")

    def record(self) -> dict[str, Any]:
        (found,) = self.server.rows("SELECT * FROM runs WHERE idempotency_key = ?", self.nonce)
        return found

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return rows about the run, whose id stands for the `?`."""
        return self.server.rows(statement, self.record()["id"])

    def judge(self) -> None:
        """One successful exec for the nonce over all upstream runs, one settled record, nothing lost."""
        upstream = {run["id"]: run for run in self.sandbox.runs() if self.nonce in run["prompt"]}
        assert sum(run["execCount"] for run in upstream.values()) == 1
        statuses = sorted(run["status"] for run in upstream.values())
        assert statuses == ["cancelled"] * (len(upstream) - 1) + ["completed"]
        run = self.record()
        assert run["status"] == "completed"
        assert upstream[run["upstream_id"]]["execCount"] == 1
        ends = self.rows(
            "SELECT kind FROM ledger_entries WHERE kind IN ('run.completed', 'run.accepted') AND run_id = ?"
        )
        assert sorted(end["kind"] for end in ends) == ["run.accepted", "run.completed"]
        steps = self.rows("SELECT count(*) AS n FROM run_steps WHERE run_id = ?")[0]["n"]
        assert steps == run["step_count"] > 0
        callbacks = [sent for sent in self.sandbox.sent("callback") if sent["run"] in upstream]
        acknowledged = sum(sent["status"] == 200 for sent in callbacks)
        rows = self.rows("SELECT 1 + repeats AS n FROM deliveries WHERE verdict <> 'rejected' AND run_id = ?")
        assert sum(row["n"] for row in rows) >= acknowledged


Survivors = Callable[[str], Survivor]


@pytest.fixture(scope="module")
def survivors(sites: Sites) -> Iterator[Survivors]:
    with harness.shared(sites, surviving) as opened:
        yield opened


@pytest.fixture(scope="module")
def notifying_survivors(sites: Sites) -> Iterator[Survivors]:
    with harness.shared(sites, partial(surviving, notified=True)) as opened:
        yield opened


@pytest.fixture
def submission(survivors: Survivors, kind: str) -> Submission:
    """A run of its own, for a server that is up."""
    survivor = survivors(kind)
    survivor.revive()
    return Submission(survivor)


@pytest.fixture
def new_submission(site: server.Site) -> Iterator[Submission]:
    """A run for a server that has never been up, and that finds a request to remove."""
    with surviving(site) as survivor:
        asyncio.run(_reject_one(site.url))
        yield Submission(survivor)


async def _reject_one(url: str) -> None:
    """Store a rejected request so old that the server removes it at its start."""
    at = life.at(-400 * 86_400)
    row = deliveries.RejectedRequest(ids.new(at), states.Source.PLATFORM, at, {}, b"", "0" * 64, 0, "no signature")
    async with Database(url) as store:
        await store.write(receiving.store_rejected, [row])


def points(of: server.Server) -> str:
    """Return the points that the server passed, one a line."""
    return of.points.read_text()


def test_every_point_that_a_run_passes_is_listed_here(new_submission: Submission, kind: str) -> None:
    new_submission.run()
    recorded = {line.split(" ", 1)[1] for line in points(new_submission.server).splitlines()}
    of_kind = {f"commit {name}" for name in EMBEDDED} if kind == "sqlite" else {NUMBERING}
    assert recorded <= {*of_kind, *AT_START, *IN_LIFE, *SOMETIMES}
    assert recorded >= {*of_kind, *AT_START, *IN_LIFE}


def die_at_start(new_submission: Submission, point: str) -> None:
    new_submission.server.start(kill=point)
    new_submission.run()
    assert f"{point}\n" in points(new_submission.server)
    assert new_submission.server.starts == 2
    new_submission.judge()


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", EMBEDDED)
def test_a_kill_while_an_embedded_database_is_taken_over_loses_nothing(
    new_submission: Submission, name: str, side: str
) -> None:
    die_at_start(new_submission, f"{side} commit {name}")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", AT_START)
def test_a_kill_at_the_first_start_loses_and_duplicates_nothing(
    new_submission: Submission, point: str, side: str
) -> None:
    die_at_start(new_submission, f"{side} {point}")


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", IN_LIFE)
def test_a_kill_at_any_point_loses_and_duplicates_nothing(submission: Submission, point: str, side: str) -> None:
    submission.die_at(f"{side} {point}")
    submission.judge()


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("side", SIDES)
def test_a_kill_while_a_database_server_numbers_entries_leaves_no_gap(submission: Submission, side: str) -> None:
    submission.die_at(f"{side} {NUMBERING}")
    submission.judge()
    numbers = [
        row["leaf_index"]
        for row in submission.server.rows("SELECT leaf_index FROM ledger_entries WHERE leaf_index IS NOT NULL")
    ]
    assert sorted(numbers) == list(range(len(numbers)))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", NOTIFICATION)
def test_a_kill_during_a_notification_changes_nothing_of_its_content(
    notifying_survivors: Survivors, kind: str, point: str, side: str
) -> None:
    survivor = notifying_survivors(kind)
    survivor.revive()
    submission = Submission(survivor)
    submission.die_at(f"{side} {point}")
    submission.judge()
    assert survivor.listener is not None
    posted = survivor.listener.of(submission.record()["id"])
    assert len({(each.id, each.body) for each in posted}) == 1
    assert backend.verified(posted[0])["type"] == "run.completed"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("point", SOMETIMES)
def test_a_kill_at_a_point_that_not_every_run_passes_loses_and_duplicates_nothing(
    submission: Submission, point: str, side: str
) -> None:
    submission.server.die_at(f"{side} {point}")
    submission.run()
    submission.server.die_at(None)
    submission.judge()
