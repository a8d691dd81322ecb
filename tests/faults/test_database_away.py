"""The connection to the database is slow, hangs, breaks, or breaks in a commit: only commits are acknowledged."""

from __future__ import annotations

import time

import httpx2 as httpx
import pytest

from tests.faults import deployments, proxy
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until

#: SQLite has no connection that can break.
pytestmark = pytest.mark.parametrize("kind", ["postgresql"])


@pytest.fixture
def database_proxy(proxied: deployments.ProxiedDeployment) -> proxy.Proxy:
    """Return the proxy between the server and its database."""
    assert proxied.database_proxy is not None
    return proxied.database_proxy


def test_runs_end_over_a_slow_connection_to_the_database(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str
) -> None:
    database_proxy.delay, database_proxy.rate = 0.002, 1_000_000
    for _ in range(2):
        proxied.submit(nonce)
    judge(proxied, nonce, records=2, execs=2)
    proxied.until_ready()


@pytest.mark.parametrize("how", ["blackhole", "refusing"])
def test_while_the_database_hangs_or_is_gone_nothing_is_acknowledged(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str, how: str
) -> None:
    run = proxied.submit(nonce)
    judge(proxied, nonce)
    until(lambda: proxied.deliveries(run))  # the sweep may have been first
    callback = proxied.callback(nonce)
    setattr(database_proxy, how, True)
    if how == "refusing":
        database_proxy.reset()
    deployments.until_not_ready(proxied)
    assert httpx.get(f"{proxied.server.url}/healthz", timeout=60).status_code == 200
    refused = deployments.simultaneously(
        lambda: httpx.post(callback, json={"runId": run["upstreamId"]}, timeout=60),
        lambda: proxied.api.post("/v1/runs", json={"agentId": proxied.agent, "prompt": nonce}),
        lambda: proxied.api.get(f"/v1/runs/{run['id']}"),
    )
    assert [(each.status_code, "retry-after" in each.headers) for each in refused] == [(503, True)] * 3
    database_proxy.clear_faults()
    proxied.until_ready()
    assert httpx.post(callback, json={"runId": run["upstreamId"]}, timeout=60).status_code == 200


def test_while_the_database_hangs_under_load_nothing_is_lost(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str
) -> None:
    with deployments.under_load(proxied, nonce) as load:
        database_proxy.blackhole = True
        until(lambda: load.answers[503])
        assert deployments.readiness(proxied) == 503
        database_proxy.clear_faults()
    load.judge()
    proxied.until_ready()


@pytest.mark.parametrize("ending", ["reset", "cut"])
def test_connections_to_the_database_that_break_all_the_time_lose_nothing(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str, ending: str
) -> None:
    with deployments.under_load(proxied, nonce) as load:
        for _ in range(20):
            getattr(database_proxy, ending)()
            time.sleep(0.05)
    load.judge()
    proxied.until_ready()


def test_commits_of_other_processes_are_noticed_again_once_the_database_is_back(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str
) -> None:
    listening = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    until(lambda: proxied.server.rows(listening)[0]["n"] == 1)
    database_proxy.reset()
    until(lambda: proxied.server.rows(listening)[0]["n"] == 0, why="the listener was not lost")
    until(lambda: proxied.server.rows(listening)[0]["n"] == 1, why="there is no listener any more")
    proxied.submit(nonce)
    judge(proxied, nonce)


def _ended(proxied: deployments.ProxiedDeployment, nonce: str) -> harness.Row:
    """End a run upstream without a callback."""
    proxied.sandbox.faults(callback_states=[])
    run = proxied.submit(nonce)
    proxied.until_named(nonce, "completed")
    return run


@pytest.mark.parametrize("after", [False, True])
def test_a_callback_whose_commit_is_lost_is_not_acknowledged_and_its_repeat_is_the_same(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str, after: bool
) -> None:
    run = _ended(proxied, nonce)
    callback, body = proxied.callback(nonce), {"runId": proxied.named(nonce)[0]["id"], "word": nonce}
    trap = database_proxy.trap([nonce.encode(), b"COMMIT"], after=after)
    lost = httpx.post(callback, json=body, timeout=60)
    assert trap.sprung.is_set()
    assert (lost.status_code, "retry-after" in lost.headers) == (503, True)
    assert len(proxied.deliveries(run)) == (1 if after else 0)
    again = httpx.post(callback, json=body, timeout=60)
    assert (again.status_code, again.json()["verdict"]) == (200, "duplicate" if after else "accepted")
    assert [each["verdict"] for each in proxied.deliveries(run)] == ["accepted"] + ["duplicate"] * after
    judge(proxied, nonce)
    proxied.until_ready()


@pytest.mark.parametrize("after", [False, True])
def test_a_submission_whose_commit_is_lost_is_not_acknowledged_and_its_repeat_is_the_same(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str, after: bool
) -> None:
    body = {"agentId": proxied.agent, "prompt": f"Review the lease. {nonce}"}
    trap = database_proxy.trap([nonce.encode(), b"COMMIT"], after=after)
    lost = proxied.api.post("/v1/runs", json=body, headers={"Idempotency-Key": nonce})
    assert trap.sprung.is_set()
    assert (lost.status_code, "retry-after" in lost.headers) == (503, True)
    again = proxied.api.post("/v1/runs", json=body, headers={"Idempotency-Key": nonce})
    assert again.status_code == (200 if after else 202)
    judge(proxied, nonce)
    proxied.until_ready()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("words", [b"INSERT INTO upstream_links", b"INSERT INTO run_documents"])
def test_a_worker_whose_commit_is_lost_does_nothing_twice(
    proxied: deployments.ProxiedDeployment, database_proxy: proxy.Proxy, nonce: str, words: bytes, after: bool
) -> None:
    database_proxy.reset()  # over a new connection statements are sent in full
    trap = database_proxy.trap([words, b"COMMIT"], after=after)
    proxied.submit(nonce)
    assert trap.sprung.wait(60)
    judge(proxied, nonce)
    proxied.until_ready()
