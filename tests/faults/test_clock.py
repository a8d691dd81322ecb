"""The clock of this machine goes back or forward by an hour: nothing waits that long, nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults import deployments
from tests.faults.conftest import Sites
from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until

HOUR = 3600.0
TIMING = {"sweep": 0.2, "lost_create": 60.0, "pause_most": 0.2}


def _wrong(deployment: harness.Deployment, seconds: float) -> None:
    """Make this machine's clock wrong by this many seconds."""
    new = deployment.server.folder / "clock.new"
    new.write_text(str(seconds))
    new.rename(deployment.server.folder / "clock")


@pytest.fixture(scope="module")
def clocked(sites: Sites) -> Iterator[Callable[[str], harness.Deployment]]:
    make = lambda site: harness.opened(site, timing=TIMING, switches=deployments.SWITCHES)  # noqa: E731
    with harness.shared(sites, make) as opened:
        yield opened


@pytest.fixture
def deployment(clocked: Callable[[str], harness.Deployment], kind: str) -> Iterator[harness.Deployment]:
    """Return a deployment whose clock is right, at first."""
    opened = clocked(kind)
    yield opened
    _wrong(opened, 0)
    until(lambda: deployments.readiness(opened) == 200, why="it did not become ready again by itself")


def _waiting(deployment: harness.Deployment, nonce: str) -> harness.Row:
    """Submit a run while the upstream is down, so that it waits and a pause holds."""
    deployment.sandbox.faults(down=True)
    run = deployment.submit(nonce)
    deployment.until_unready()
    until(lambda: deployment.server.rows("SELECT 1 FROM jobs WHERE kind = 'start' AND last_error IS NOT NULL"))
    return run


def test_a_clock_that_goes_back_delays_nothing(deployment: harness.Deployment, nonce: str) -> None:
    _waiting(deployment, nonce)
    _wrong(deployment, -HOUR)
    deployment.sandbox.faults(down=False)
    judge(deployment, nonce)
    until(lambda: deployments.readiness(deployment) == 200)


def test_a_clock_that_goes_back_while_the_server_is_down_delays_nothing(
    deployment: harness.Deployment, nonce: str
) -> None:
    _waiting(deployment, nonce)
    deployment.server.kill()
    _wrong(deployment, -HOUR)
    deployment.sandbox.faults(down=False)
    deployment.restart()
    judge(deployment, nonce)
    until(lambda: deployments.readiness(deployment) == 200)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_clock_that_jumps_under_load_and_is_set_right_loses_nothing(
    deployment: harness.Deployment, nonce: str, seconds: float
) -> None:
    with deployments.under_load(deployment, nonce) as load:
        for wrong in (seconds, 0.0):
            _wrong(deployment, wrong)
            taken = load.submitted
            until(lambda taken=taken: load.submitted > taken + 5)  # type: ignore[misc]
    assert set(load.answers) == {202}
    load.judge()
