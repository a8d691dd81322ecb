"""The way to the database is slow, hangs, breaks, or breaks in a commit: only what was committed is promised."""

from __future__ import annotations

import time

import httpx2 as httpx
import pytest

from tests.faults import deployments, proxy
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until

#: On an embedded database there is no such way.
pytestmark = pytest.mark.parametrize("kind", ["postgresql"])


@pytest.fixture
def way(proxied: deployments.ProxiedDeployment) -> proxy.Proxy:
    """What stands between the server and its database."""
    assert proxied.database_way is not None
    return proxied.database_way


def test_a_slow_way_to_the_database_is_no_trouble(
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str
) -> None:
    way.delay, way.rate = 0.002, 1_000_000
    for _ in range(2):
        proxied.submit(nonce)
    judge(proxied, nonce, records=2, execs=2)
    proxied.until_ready()


@pytest.mark.parametrize("how", ["hole", "refusing"])
def test_while_the_database_hangs_or_is_gone_nothing_is_promised(
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str, how: str
) -> None:
    run = proxied.submit(nonce)
    judge(proxied, nonce)
    until(lambda: proxied.deliveries(run))  # the sweep may have been first
    callback = proxied.callback(nonce)
    setattr(way, how, True)
    if how == "refusing":
        way.reset()
    deployments.until_not_ready(proxied)
    assert httpx.get(f"{proxied.server.url}/healthz", timeout=60).status_code == 200
    refused = deployments.at_once(
        lambda: httpx.post(callback, json={"runId": run["upstreamId"]}, timeout=60),
        lambda: proxied.api.post("/v1/runs", json={"agentId": proxied.agent, "prompt": nonce}),
        lambda: proxied.api.get(f"/v1/runs/{run['id']}"),
    )
    assert [(each.status_code, "retry-after" in each.headers) for each in refused] == [(503, True)] * 3
    way.calm()
    proxied.until_ready()
    assert httpx.post(callback, json={"runId": run["upstreamId"]}, timeout=60).status_code == 200


def test_while_the_database_hangs_under_load_nothing_is_lost(
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str
) -> None:
    with deployments.flowing(proxied, nonce) as load:
        way.hole = True
        until(lambda: load.answers[503])
        assert deployments.readiness(proxied) == 503
        way.calm()
    load.judge()
    proxied.until_ready()


@pytest.mark.parametrize("ending", ["reset", "cut"])
def test_connections_to_the_database_that_break_all_the_time_lose_nothing(
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str, ending: str
) -> None:
    with deployments.flowing(proxied, nonce) as load:
        for _ in range(20):
            getattr(way, ending)()
            time.sleep(0.05)
    load.judge()
    proxied.until_ready()


def test_commits_of_other_processes_are_noticed_again_once_the_database_is_back(
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str
) -> None:
    listening = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    )
    until(lambda: proxied.server.rows(listening)[0]["n"] == 1)
    way.reset()
    until(lambda: proxied.server.rows(listening)[0]["n"] == 0, why="the listener was not lost")
    until(lambda: proxied.server.rows(listening)[0]["n"] == 1, why="there is no listener any more")
    proxied.submit(nonce)
    judge(proxied, nonce)


def _ended(proxied: deployments.ProxiedDeployment, nonce: str) -> harness.Row:
    """A run that has ended upstream and of which no callback was sent."""
    proxied.sandbox.faults(callback_states=[])
    run = proxied.submit(nonce)
    proxied.until_named(nonce, "completed")
    return run


@pytest.mark.parametrize("after", [False, True])
def test_a_callback_whose_commit_is_lost_is_not_promised_and_its_repeat_is_the_same(
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str, after: bool
) -> None:
    run = _ended(proxied, nonce)
    callback, body = proxied.callback(nonce), {"runId": proxied.named(nonce)[0]["id"], "word": nonce}
    trap = way.trap([nonce.encode(), b"COMMIT"], after=after)
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
def test_a_submission_whose_commit_is_lost_is_not_promised_and_its_repeat_is_the_same(
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str, after: bool
) -> None:
    body = {"agentId": proxied.agent, "prompt": f"Review the lease. {nonce}"}
    trap = way.trap([nonce.encode(), b"COMMIT"], after=after)
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
    proxied: deployments.ProxiedDeployment, way: proxy.Proxy, nonce: str, words: bytes, after: bool
) -> None:
    way.reset()  # over a new connection statements are said in full
    trap = way.trap([words, b"COMMIT"], after=after)
    proxied.submit(nonce)
    assert trap.sprung.wait(60)
    judge(proxied, nonce)
    proxied.until_ready()
