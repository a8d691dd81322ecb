"""The way to the upstream is slow, hangs, breaks or is gone for an hour: runs are accepted, and wait for it."""

from __future__ import annotations

import time

import pytest

from tests.faults import houses
from tests.journeys.judging import judge
from tests.patience import until

ROUGH: dict[str, dict[str, object]] = {
    "hangs": {"hole": True},
    "resets": {"refusing": True},
    "half a head": {"half": 40},
    "half": {"half": 300},
}


def test_a_slow_way_to_the_upstream_is_no_trouble(far: houses.Far, nonce: str) -> None:
    far.upstream_way.delay, far.upstream_way.rate = 0.05, 500_000
    for _ in range(3):
        assert far.submit(nonce)["status"] == "accepted"
    judge(far, nonce, records=3, execs=3)
    far.until_ready()


@pytest.mark.parametrize("how", ROUGH)
def test_while_the_way_to_the_upstream_is_broken_runs_are_accepted_and_wait(
    far: houses.Far, nonce: str, how: str
) -> None:
    with houses.flowing(far, nonce) as load:
        for name, value in ROUGH[how].items():
            setattr(far.upstream_way, name, value)
        far.upstream_way.reset()
        far.until_troubled()
        accepted = load.submitted
        until(lambda: load.submitted > accepted + 2)
        far.calm()
    assert set(load.answers) == {202}
    load.judge()
    far.until_ready()


def test_connections_to_the_upstream_that_break_all_the_time_double_nothing(far: houses.Far, nonce: str) -> None:
    with houses.flowing(far, nonce) as load:
        for _ in range(20):
            far.upstream_way.reset()
            time.sleep(0.05)
    load.judge()
    far.until_ready()


def test_after_an_hour_without_the_upstream_everything_is_caught_up_with(far: houses.Far, nonce: str) -> None:
    far.sandbox.faults(callback_delay=houses.HOUR / 3)
    under_way = [far.submit(f"before_{nonce}") for _ in range(3)]
    for run in under_way:
        far.until_run(run, "running", "completed")
    with houses.flowing(far, f"during_{nonce}", pace=0.2) as load:
        far.upstream_way.refusing = True
        far.upstream_way.reset()
        far.until_troubled()
        ends = time.monotonic() + houses.HOUR
        while time.monotonic() < ends:
            assert far.ready()[0] == 503
            time.sleep(0.2)
        assert {far.run(run)["status"] for run in under_way} <= {"running", "completed"}
        far.calm()
    assert set(load.answers) == {202}
    judge(far, f"before_{nonce}", records=3, execs=3)
    load.judge()
    far.until_ready()
