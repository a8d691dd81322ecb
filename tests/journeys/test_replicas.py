"""Several servers on one PostgreSQL: they come and go, and together they are one deployment."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx2 as httpx
import pytest

from tests import backend
from tests.journeys import harness
from tests.journeys.conftest import Sites
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Server, answers

pytestmark = pytest.mark.usefixtures("cluster")
#: Leases that lapse soon after their worker.
TIMING: dict[str, Any] = {"lease": 1.0, "heartbeat": 0.2, "sweep": 0.5}


@dataclass(frozen=True)
class Replicas:
    """Servers of one deployment; the first one is the deployment's own."""

    deployment: harness.Deployment
    servers: tuple[Server, ...]

    def start(self, server: Server) -> None:
        """Starts one as it was."""
        server.start(webhook_secrets=harness.secrets_of(self.deployment.secret))

    @contextmanager
    def through(self, server: Server) -> Iterator[harness.Deployment]:
        """The deployment as it is seen through one of its servers."""
        with server.client() as api:
            yield replace(self.deployment, server=server, api=api)


@contextmanager
def opened(sites: Sites, count: int, **options: Any) -> Iterator[Replicas]:
    """So many servers on a fresh database."""
    site, timing = sites("postgresql"), TIMING | options.pop("timing", {})
    with harness.opened(site, timing=timing, **options) as deployment:
        others = tuple(
            Server(site, deployment.sandbox.url, timing, {}, options.get("bounds")) for _ in range(count - 1)
        )
        replicas = Replicas(deployment, (deployment.server, *others))
        try:
            for each in others:
                replicas.start(each)
            yield replicas
        finally:
            for each in others:
                each.kill()


@pytest.fixture(scope="module")
def shared(sites: Sites) -> Iterator[Replicas]:
    with opened(sites, 3) as found:
        yield found


@pytest.fixture
def three(shared: Replicas) -> Iterator[Replicas]:
    """Three replicas on a good day."""
    yield shared
    shared.deployment.script()


def test_of_fifty_identical_callbacks_to_three_replicas_one_is_accepted(three: Replicas, nonce: str) -> None:
    deployment = three.deployment
    deployment.script({"route": "details", "prompt": nonce, "action": "status:503"})
    run = deployment.until_run(deployment.submit(nonce), "running", "queued")
    token = deployment.callback(nonce).rpartition("/callbacks/")[2]
    urls = itertools.islice(itertools.cycle(each.url for each in three.servers), 50)
    with ThreadPoolExecutor(16) as pool, httpx.Client(timeout=60) as client:
        body = {"runId": deployment.until_named(nonce)["id"]}
        answers = list(pool.map(lambda url: client.post(f"{url}/callbacks/{token}", json=body), urls))
    assert [answer.status_code for answer in answers] == [200] * 50
    counted = deployment.server.rows(
        "SELECT verdict, count(*) AS n, sum(repeats) AS repeats FROM deliveries"
        " WHERE run_id = ? AND source = 'watcher' GROUP BY verdict ORDER BY verdict",
        run["id"],
    )
    kept = {row["verdict"]: (row["n"], int(row["repeats"])) for row in counted}
    assert kept["accepted"][0] == 1
    assert kept["duplicate"][0] == 20
    assert sum(n + repeats for n, repeats in kept.values()) >= 50
    receipts = {answer.json()["receipt"] for answer in answers}
    held = deployment.server.rows("SELECT id FROM deliveries WHERE run_id = ?", run["id"])
    assert receipts <= {row["id"] for row in held}
    deployment.script()
    judge(deployment, nonce)


def test_runs_that_are_submitted_everywhere_are_executed_once_each(three: Replicas, nonce: str) -> None:
    for server in three.servers:
        with three.through(server) as deployment:
            for at in range(10):
                deployment.submit(nonce, key=f"{nonce}_{at}")  # the same ten, submitted to each
    judge(three.deployment, nonce, records=10, execs=10)


def test_what_one_replica_numbers_the_others_leave_alone(three: Replicas, nonce: str) -> None:
    for server in three.servers:
        with three.through(server) as deployment:
            deployment.submit(nonce)
    judge(three.deployment, nonce, records=3, execs=3)
    until(lambda: not three.deployment.server.rows("SELECT 1 FROM ledger_entries WHERE leaf_index IS NULL"))
    numbers = three.deployment.server.rows("SELECT leaf_index FROM ledger_entries ORDER BY leaf_index")
    assert [row["leaf_index"] for row in numbers] == list(range(len(numbers)))


def test_a_rate_limit_for_one_replica_is_obeyed_by_all(three: Replicas, nonce: str) -> None:
    three.deployment.sandbox.faults(
        script=[{"route": each, "action": "status:429"} for each in ("create", "list")]
    )
    three.deployment.submit(nonce)
    for server in three.servers:
        with three.through(server) as deployment:
            deployment.until_unready("429")
    three.deployment.script()
    judge(three.deployment, nonce)
    for server in three.servers:
        with three.through(server) as deployment:
            until(partial(_is_well, deployment), why="it stayed troubled")


def _is_well(deployment: harness.Deployment) -> bool:
    return deployment.ready() == (200, [])


def test_a_killed_replica_leaves_its_jobs_its_sweep_and_the_ledger_to_the_other(sites: Sites, nonce: str) -> None:
    with opened(sites, 2, switches=harness.NO_FAULTS) as pair:
        deployment, (first, second) = pair.deployment, pair.servers
        second.kill()
        deployment.sandbox.faults(callback_states=[])
        deployment.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold_answer"})
        deployment.submit(nonce)
        deployment.until_held("exec", nonce)
        first.kill()
        pair.start(second)
        deployment.sandbox.release("exec")
        with pair.through(second) as seen:
            before = second.rows("SELECT swept_at FROM system_state")
            judge(seen, nonce)
            until(lambda: second.rows("SELECT swept_at FROM system_state") != before, why="nobody sweeps")
            until(lambda: not second.rows("SELECT 1 FROM ledger_entries WHERE leaf_index IS NULL"))


def test_a_rolling_restart_under_load_costs_retries_and_nothing_else(sites: Sites, nonce: str) -> None:
    notice = {"notice": 1.0}
    with opened(sites, 3, run_seconds=0.2, bounds=notice) as replicas, ThreadPoolExecutor(1) as aside:
        restarting = aside.submit(_restart_each, replicas)
        submitted, odd = 0, list[str]()
        while not restarting.done() or submitted < 30:
            odd += _insist(replicas, f"{nonce}_{submitted}")
            submitted += 1
        assert set(restarting.result()) <= {0, -signal.SIGTERM}  # uvicorn takes it again once all has ended well
        assert set(odd) <= {"503"}
        judge(replicas.deployment, nonce, records=submitted, execs=submitted)


def _restart_each(replicas: Replicas) -> list[int]:
    """One after the other, as an upgrade does; their exit codes."""
    codes = []
    for server in replicas.servers:
        codes.append(server.stop())
        replicas.start(server)
    return codes


def _insist(replicas: Replicas, name: str) -> list[str]:
    """Submits a run as a careful backend does, through a balancer that checks health; what went wrong."""
    odd: list[str] = []
    for server in filter(lambda each: answers(each.url), itertools.cycle(replicas.servers)):
        try:
            with replicas.through(server) as deployment:
                body = {"agentId": deployment.agent, "prompt": f"Review the lease. {name}"}
                answer = deployment.api.post("/v1/runs", json=body, headers={"Idempotency-Key": name})
                if answer.status_code in (200, 202):
                    return odd
                odd.append(str(answer.status_code))
        except httpx.TransportError as error:
            odd.append(type(error).__name__)
    raise AssertionError("cycles do not end")


def test_a_replica_without_a_backend_leaves_notifications_to_those_with_one(sites: Sites, nonce: str) -> None:
    """It starts last and ends the run: nothing is given up, and the readiness names what is missing."""
    with backend.listening() as listener, opened(sites, 2, **backend.settings(listener)) as pair:
        deployment, (knows, knows_not) = pair.deployment, pair.servers
        knows.stop()
        with pair.through(knows_not) as seen:
            run = seen.submit(nonce)
            seen.until_run(run, "completed")
            until(lambda: "notify job(s) wait" in " ".join(seen.api.get("/readyz").json()["warnings"]))
            assert seen.run(run)["notification"] is None
        deployment.restart()
        deployment.until_shown(run, lambda shown: (shown["notification"] or {}).get("state") == "delivered")
        assert "notify job" not in " ".join(deployment.api.get("/readyz").json()["warnings"])
