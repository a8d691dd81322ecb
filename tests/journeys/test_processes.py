"""The process itself: stopped, killed, started twice, and kept from its database."""

from __future__ import annotations

import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2 as httpx
import pytest

from tests import other_client
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Server, Site


def test_a_server_that_is_stopped_drains_and_the_next_one_finishes(site: Site, nonce: str) -> None:
    with harness.opened(site, run_seconds=1.0, timing={"sweep": 0.5}) as deployment:
        deployment.script({"route": "create", "prompt": nonce, "times": 2, "action": "hang:0.7"})
        for _ in range(12):
            deployment.submit(nonce)
        until(lambda: deployment.calls("create", nonce))
        assert deployment.server.stop() in (0, -signal.SIGTERM)
        assert not deployment.server.rows("SELECT 1 FROM jobs WHERE lease_owner IS NOT NULL")
        assert len(deployment.named(nonce)) == len(
            deployment.server.rows("SELECT 1 FROM runs WHERE upstream_id IS NOT NULL")
        )
        deployment.restart()
        judge(deployment, nonce, records=12, execs=12)


def test_a_server_that_was_killed_finishes_after_its_restart(site: Site, kind: str, nonce: str) -> None:
    lease = 60.0 if kind == "sqlite" else 3.0  # where others may hold it, it has to lapse
    with harness.opened(
        site, run_seconds=0.5, timing={"sweep": 0.5, "lease": lease, "heartbeat": 0.5}
    ) as deployment:
        deployment.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hang:5"})
        for _ in range(4):
            deployment.submit(nonce)
        until(lambda: sum(run["execCount"] for run in deployment.named(nonce)) >= 2)
        deployment.server.kill()
        until(lambda: all(run["status"] != "running" for run in deployment.named(nonce)))
        deployment.restart()
        judge(deployment, nonce, records=4, execs=4)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_second_server_on_the_same_file_is_refused(deployment: harness.Deployment) -> None:
    second = Server(deployment.server.site, deployment.sandbox.url, {}, {})
    second.start()
    assert second.is_dead()
    assert "another Runledger server is running on" in deployment.server.log.read_text()
    assert deployment.api.get("/healthz").status_code == 200


@pytest.mark.parametrize("seconds", [1.5, 6.0])
def test_while_another_program_locks_the_database_nothing_is_acknowledged(
    slow_deployment: harness.Deployment, nonce: str, seconds: float
) -> None:
    run = slow_deployment.until_run(slow_deployment.submit(nonce), "running")
    slow_deployment.sandbox.faults(callback_states=[])
    url, answers = slow_deployment.callback(nonce), list[Future[httpx.Response]]()
    with ThreadPoolExecutor(4) as pool, httpx.Client(timeout=60) as client:
        with other_client.locking(slow_deployment.server.site.url, "deliveries"):
            slow_deployment.sandbox.finish(run["upstreamId"])
            answers += [pool.submit(client.post, url, json={"runId": run["upstreamId"]}) for _ in range(8)]
            time.sleep(seconds)
            assert not slow_deployment.deliveries(run)
        answers += [pool.submit(client.post, url, json={"runId": run["upstreamId"]})]
        answered = [each.result() for each in answers]
    assert {answer.status_code for answer in answered} <= {200, 503}
    assert all("retry-after" in answer.headers for answer in answered if answer.status_code == 503)
    promised = {answer.json()["receipt"] for answer in answered if answer.status_code == 200}
    assert promised == {each["id"] for each in slow_deployment.deliveries(run)}
    judge(slow_deployment, nonce, settled_by="watcher")
