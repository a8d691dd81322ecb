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
from storage import ids
from storage.engine.database import Database
from storage.repositories import runs, system_state
from storage.transitions import restoring, submitting
from tests import copying, life, sandbox_server
from tests.patience import until
from tests.server import Server, Site, running

T = TypeVar("T")
AD_HOC = {"agent_id": None, "instructions": "You review leases."}


@dataclass
class RestoreCase:
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
        self.behind(lambda database: database.write(restoring.mark_restored, clock.now()))

    def created(self) -> str:
        """A run upstream that asks for the same as all submissions."""
        return sandbox_server.new_run(self.upstream, prompt=self.prompt, agentId=self.agent)

    def executed(self, *, to_its_end: bool = True) -> str:
        run = self.created()
        self.upstream.post(f"/agent/v1/run/{run}/exec").raise_for_status()
        if to_its_end:
            self.sandbox.finish(run)
        return run

    def settled(self, lost_create: float = 60.0) -> list[dict[str, Any]]:
        """The records of all submissions, oldest first, once a server has worked on them."""
        with running(self.site, self.sandbox.url, timing={"sweep": 0.2, "lost_create": lost_create}) as server:
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
def case(site: Site, nonce: str) -> Iterator[RestoreCase]:
    with sandbox_server.running(run_seconds=300.0) as sandbox, sandbox.client() as upstream:
        Server(site, sandbox.url, {}, {})  # makes the store
        yield RestoreCase(
            site, sandbox, upstream, sandbox_server.new_agent(upstream), f"Review the lease. {nonce}"
        )


def test_a_run_that_was_executed_goes_before_one_that_waits(case: RestoreCase) -> None:
    leftover = case.created()
    executed = case.executed()
    case.submitted()
    case.restored()
    (run,) = case.settled()
    assert (run["status"], run["upstream_id"], case.execs) == ("completed", executed, 1)
    assert (case.sandbox.run(leftover)["status"], case.sandbox.run(leftover)["execCount"]) == ("cancelled", 0)


def test_one_that_waits_is_executed(case: RestoreCase) -> None:
    queued = case.created()
    case.submitted()
    case.restored()
    (run,) = case.settled()
    assert (run["status"], run["upstream_id"], case.execs) == ("completed", queued, 1)


def test_equal_submissions_share_no_run(case: RestoreCase) -> None:
    executed = case.executed()
    for _ in range(2):
        case.submitted()
    case.restored()
    found = case.settled()
    assert [run["status"] for run in found] == ["completed"] * 2
    assert executed in {run["upstream_id"] for run in found}
    assert case.execs == 2


def test_a_run_that_may_be_of_another_submission_is_given_to_none_and_not_executed_again(
    case: RestoreCase,
) -> None:
    case.executed()
    for name in ("obj_1", "obj_2"):
        case.submitted(object_ids=(name,))
    case.restored()
    found = case.settled()
    assert [(run["status"], run["failure_source"]) for run in found] == [("refused", "runledger")] * 2
    assert case.execs == 1


def test_one_that_was_cancelled_before_it_began_stays_so(case: RestoreCase) -> None:
    case.upstream.post(f"/agent/v1/run/{case.created()}/cancel").raise_for_status()
    case.submitted()
    case.restored()
    (run,) = case.settled()
    assert (run["status"], case.execs) == ("cancelled", 0)


def cancelled(case: RestoreCase, run: runs.Run) -> None:
    case.behind(lambda database: database.write(submitting.request_cancel, run.id, "key:backend", clock.now()))


@pytest.mark.parametrize("fields", [{}, AD_HOC])
def test_what_is_not_wanted_and_not_there_is_cancelled_here(case: RestoreCase, fields: dict[str, Any]) -> None:
    run = case.submitted(**fields)
    case.restored()
    cancelled(case, run)
    (run_now,) = case.settled()
    assert (run_now["status"], case.sandbox.runs()) == ("cancelled", [])


def test_what_is_not_wanted_and_runs_is_cancelled_there(case: RestoreCase) -> None:
    executed = case.executed(to_its_end=False)
    run = case.submitted()
    case.restored()
    cancelled(case, run)
    with running(case.site, case.sandbox.url) as server:
        until(lambda: server.rows("SELECT 1 FROM runs WHERE settled_at IS NOT NULL"))
    assert case.sandbox.run(executed)["status"] == "cancelled"
    assert case.execs == 1


def test_a_call_that_left_no_run_is_not_made_again(case: RestoreCase) -> None:
    case.submitted(**AD_HOC)
    case.restored()
    (run,) = case.settled(lost_create=0.5)
    assert (run["status"], run["failure_source"]) == ("refused", "runledger")
    assert case.sandbox.calls("execute") == []


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_server_that_is_started_on_a_backup_detects_it(case: RestoreCase, tmp_path: Path) -> None:
    case.submitted()
    copying.back_up(case.site, tmp_path / "runledger.db")
    executed = case.executed()
    (run,) = RestoreCase(Site(tmp_path), case.sandbox, case.upstream, case.agent, case.prompt).settled()
    assert (run["status"], run["upstream_id"], case.execs) == ("completed", executed, 1)
    assert "store_marked_restored" in (tmp_path / "server.log").read_text()


def test_no_server_is_started_on_a_store_that_was_moved(case: RestoreCase) -> None:
    case.behind(lambda database: database.write(system_state.mark_moved, "postgresql://db/runledger"))
    server = Server(case.site, case.sandbox.url, {}, {})
    server.start()
    assert server.is_dead()
    assert "this store was moved to postgresql://db/runledger" in server.log.read_text()
