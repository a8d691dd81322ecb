"""The connection to the upstream is slow, hangs, breaks or is gone for an hour: runs are accepted and wait."""

from __future__ import annotations

import time

import pytest

from tests.faults import deployments
from tests.journeys.judging import judge
from tests.patience import until

ROUGH: dict[str, dict[str, object]] = {
    "hangs": {"blackhole": True},
    "resets": {"refusing": True},
    "half a head": {"half": 40},
    "half": {"half": 300},
}


def test_runs_end_over_a_slow_connection_to_the_upstream(
    proxied: deployments.ProxiedDeployment, nonce: str
) -> None:
    proxied.upstream_proxy.delay, proxied.upstream_proxy.rate = 0.05, 500_000
    for _ in range(3):
        assert proxied.submit(nonce)["status"] == "accepted"
    judge(proxied, nonce, records=3, execs=3)
    proxied.until_ready()


@pytest.mark.parametrize("how", ROUGH)
def test_while_the_connection_to_the_upstream_is_broken_runs_are_accepted_and_wait(
    proxied: deployments.ProxiedDeployment, nonce: str, how: str
) -> None:
    with deployments.under_load(proxied, nonce) as load:
        for name, value in ROUGH[how].items():
            setattr(proxied.upstream_proxy, name, value)
        proxied.upstream_proxy.reset()
        proxied.until_unready()
        accepted = load.submitted
        until(lambda: load.submitted > accepted + 2)
        proxied.clear_faults()
    assert set(load.answers) == {202}
    load.judge()
    proxied.until_ready()


def test_connections_to_the_upstream_that_break_all_the_time_duplicate_nothing(
    proxied: deployments.ProxiedDeployment, nonce: str
) -> None:
    with deployments.under_load(proxied, nonce) as load:
        for _ in range(20):
            proxied.upstream_proxy.reset()
            time.sleep(0.05)
    load.judge()
    proxied.until_ready()


def test_after_an_hour_without_the_upstream_every_run_ends(
    proxied: deployments.ProxiedDeployment, nonce: str
) -> None:
    proxied.sandbox.faults(callback_delay=deployments.HOUR / 3)
    under_way = [proxied.submit(f"before_{nonce}") for _ in range(3)]
    for run in under_way:
        proxied.until_run(run, "running", "completed")
    with deployments.under_load(proxied, f"during_{nonce}", interval=0.2) as load:
        proxied.upstream_proxy.refusing = True
        proxied.upstream_proxy.reset()
        proxied.until_unready()
        ends = time.monotonic() + deployments.HOUR
        while time.monotonic() < ends:
            assert proxied.ready()[0] == 503
            time.sleep(0.2)
        assert {proxied.run(run)["status"] for run in under_way} <= {"running", "completed"}
        proxied.clear_faults()
    assert set(load.answers) == {202}
    judge(proxied, f"before_{nonce}", records=3, execs=3)
    load.judge()
    proxied.until_ready()
