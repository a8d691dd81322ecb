"""What a marked submission takes for its own run upstream, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2 as httpx
import pytest

from receiver import clock
from storage import house as stored
from storage import ids, runs, transitions
from storage.database import Database
from tests import copying, life, sandbox_server
from tests.patience import until
from tests.server import Server, Site, running

T = TypeVar("T")
AD_HOC = {"agent_id": None, "instructions": "You review leases."}


@dataclass
class Stage:
    """A store without a server, and the sandbox behind it, where the store's runs may have been executed."""

    site: Site
    sandbox: sandbox_server.Sandbox
    upstream: httpx.Client
    agent: str
    prompt: str

    def behind(self, story: Callable[[Database], Awaitable[T]]) -> T:
        async def played() -> T:
            async with Database(self.site.url) as database:
                return await story(database)

        return asyncio.run(played())

    def submitted(self, **fields: Any) -> runs.Run:
        now = clock.now()
        whole = {"id": ids.new(now), "accepted_at": now, "expected_by": now, "agent_id": self.agent, **fields}
        return self.behind(lambda database: life.accepted(database, prompt=self.prompt, **whole))

    def restored(self) -> None:
        self.behind(lambda database: database.write(transitions.restored, clock.now()))

    def created(self) -> str:
        """A run upstream that says what all of them ask for."""
        return sandbox_server.new_run(self.upstream, prompt=self.prompt, agentId=self.agent)

    def executed(self, *, to_its_end: bool = True) -> str:
        run = self.created()
        self.upstream.post(f"/agent/v1/run/{run}/exec").raise_for_status()
        if to_its_end:
            self.sandbox.finish(run)
        return run

    def settled(self, stray: float = 60.0) -> list[dict[str, Any]]:
        """The records of all submissions, oldest first, once a server has worked on them."""
        with running(self.site, self.sandbox.url, timing={"sweep": 0.2, "stray": stray}) as server:
            self._finish(server)
            until(lambda: not [run for run in self.sandbox.runs() if run["status"] == "queued"])
            until(lambda: not server.rows("SELECT 1 FROM jobs WHERE kind <> 'sweep' AND last_error IS NULL"))
            return server.rows("SELECT * FROM runs ORDER BY seq")

    def _finish(self, server: Server) -> None:
        def look() -> bool:
            for run in self.sandbox.runs():
                if run["status"] == "running":
                    self.sandbox.finish(run["id"])
            return not server.rows("SELECT 1 FROM runs WHERE settled_at IS NULL")

        until(look, why="not all were settled")

    @property
    def execs(self) -> int:
        return sum(run["execCount"] for run in self.sandbox.runs())


@pytest.fixture
def stage(site: Site, nonce: str) -> Iterator[Stage]:
    with sandbox_server.running(run_seconds=300.0) as sandbox, sandbox.client() as upstream:
        Server(site, sandbox.url, {}, {})  # makes the store
        yield Stage(site, sandbox, upstream, sandbox_server.new_agent(upstream), f"Review the lease. {nonce}")


def test_a_run_that_was_executed_goes_before_one_that_waits(stage: Stage) -> None:
    stray = stage.created()
    executed = stage.executed()
    stage.submitted()
    stage.restored()
    (run,) = stage.settled()
    assert (run["status"], run["upstream_id"], stage.execs) == ("completed", executed, 1)
    assert (stage.sandbox.run(stray)["status"], stage.sandbox.run(stray)["execCount"]) == ("cancelled", 0)


def test_one_that_waits_is_executed(stage: Stage) -> None:
    queued = stage.created()
    stage.submitted()
    stage.restored()
    (run,) = stage.settled()
    assert (run["status"], run["upstream_id"], stage.execs) == ("completed", queued, 1)


def test_equal_submissions_share_no_run(stage: Stage) -> None:
    executed = stage.executed()
    for _ in range(2):
        stage.submitted()
    stage.restored()
    found = stage.settled()
    assert [run["status"] for run in found] == ["completed"] * 2
    assert executed in {run["upstream_id"] for run in found}
    assert stage.execs == 2


def test_a_run_that_may_be_of_another_submission_is_given_to_none_and_not_executed_again(stage: Stage) -> None:
    stage.executed()
    for name in ("obj_1", "obj_2"):
        stage.submitted(object_ids=(name,))
    stage.restored()
    found = stage.settled()
    assert [(run["status"], run["failure_source"]) for run in found] == [("refused", "runledger")] * 2
    assert stage.execs == 1


def test_one_that_was_cancelled_before_it_began_stays_so(stage: Stage) -> None:
    stage.upstream.post(f"/agent/v1/run/{stage.created()}/cancel").raise_for_status()
    stage.submitted()
    stage.restored()
    (run,) = stage.settled()
    assert (run["status"], stage.execs) == ("cancelled", 0)


def cancelled(stage: Stage, run: runs.Run) -> None:
    stage.behind(lambda database: database.write(transitions.request_cancel, run.id, "key:backend", clock.now()))


@pytest.mark.parametrize("fields", [{}, AD_HOC])
def test_what_is_not_wanted_and_not_there_is_cancelled_here(stage: Stage, fields: dict[str, Any]) -> None:
    run = stage.submitted(**fields)
    stage.restored()
    cancelled(stage, run)
    (run_now,) = stage.settled()
    assert (run_now["status"], stage.sandbox.runs()) == ("cancelled", [])


def test_what_is_not_wanted_and_runs_is_cancelled_there(stage: Stage) -> None:
    executed = stage.executed(to_its_end=False)
    run = stage.submitted()
    stage.restored()
    cancelled(stage, run)
    with running(stage.site, stage.sandbox.url) as server:
        until(lambda: server.rows("SELECT 1 FROM runs WHERE settled_at IS NOT NULL"))
    assert stage.sandbox.run(executed)["status"] == "cancelled"
    assert stage.execs == 1


def test_a_call_that_left_no_run_is_not_made_again(stage: Stage) -> None:
    stage.submitted(**AD_HOC)
    stage.restored()
    (run,) = stage.settled(stray=0.5)
    assert (run["status"], run["failure_source"]) == ("refused", "runledger")
    assert stage.sandbox.calls("execute") == []


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_server_that_is_started_on_a_backup_knows_what_it_is(stage: Stage, tmp_path: Path) -> None:
    stage.submitted()
    copying.taken(stage.site, tmp_path / "runledger.db")
    executed = stage.executed()
    (run,) = Stage(Site(tmp_path), stage.sandbox, stage.upstream, stage.agent, stage.prompt).settled()
    assert (run["status"], run["upstream_id"], stage.execs) == ("completed", executed, 1)
    assert "copy_taken_over" in (tmp_path / "server.log").read_text()


def test_no_server_is_started_on_a_store_that_was_moved(stage: Stage) -> None:
    stage.behind(lambda database: database.write(stored.moved, "postgresql://db/runledger"))
    server = Server(stage.site, stage.sandbox.url, {}, {})
    server.start()
    assert server.is_dead()
    assert "this store was moved to postgresql://db/runledger" in server.log.read_text()
