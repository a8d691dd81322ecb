"""The way to the upstream is slow, hangs, breaks or is gone for an hour: runs are accepted, and wait for it."""

from __future__ import annotations

import time

import pytest

from tests.faults import deployments
from tests.journeys.judging import judge
from tests.patience import until

ROUGH: dict[str, dict[str, object]] = {
    "hangs": {"hole": True},
    "resets": {"refusing": True},
    "half a head": {"half": 40},
    "half": {"half": 300},
}


def test_a_slow_way_to_the_upstream_is_no_trouble(proxied: deployments.ProxiedDeployment, nonce: str) -> None:
    proxied.upstream_way.delay, proxied.upstream_way.rate = 0.05, 500_000
    for _ in range(3):
        assert proxied.submit(nonce)["status"] == "accepted"
    judge(proxied, nonce, records=3, execs=3)
    proxied.until_ready()


@pytest.mark.parametrize("how", ROUGH)
def test_while_the_way_to_the_upstream_is_broken_runs_are_accepted_and_wait(
    proxied: deployments.ProxiedDeployment, nonce: str, how: str
) -> None:
    with deployments.flowing(proxied, nonce) as load:
        for name, value in ROUGH[how].items():
            setattr(proxied.upstream_way, name, value)
        proxied.upstream_way.reset()
        proxied.until_troubled()
        accepted = load.submitted
        until(lambda: load.submitted > accepted + 2)
        proxied.calm()
    assert set(load.answers) == {202}
    load.judge()
    proxied.until_ready()


def test_connections_to_the_upstream_that_break_all_the_time_double_nothing(
    proxied: deployments.ProxiedDeployment, nonce: str
) -> None:
    with deployments.flowing(proxied, nonce) as load:
        for _ in range(20):
            proxied.upstream_way.reset()
            time.sleep(0.05)
    load.judge()
    proxied.until_ready()


def test_after_an_hour_without_the_upstream_everything_is_caught_up_with(
    proxied: deployments.ProxiedDeployment, nonce: str
) -> None:
    proxied.sandbox.faults(callback_delay=deployments.HOUR / 3)
    under_way = [proxied.submit(f"before_{nonce}") for _ in range(3)]
    for run in under_way:
        proxied.until_run(run, "running", "completed")
    with deployments.flowing(proxied, f"during_{nonce}", pace=0.2) as load:
        proxied.upstream_way.refusing = True
        proxied.upstream_way.reset()
        proxied.until_troubled()
        ends = time.monotonic() + deployments.HOUR
        while time.monotonic() < ends:
            assert proxied.ready()[0] == 503
            time.sleep(0.2)
        assert {proxied.run(run)["status"] for run in under_way} <= {"running", "completed"}
        proxied.calm()
    assert set(load.answers) == {202}
    judge(proxied, f"before_{nonce}", records=3, execs=3)
    load.judge()
    proxied.until_ready()
