"""SIGKILL around the one call that creates and starts a run: never executed twice, and the record is honest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import sandbox_server, server
from tests.faults import test_kill_points
from tests.faults.test_kill_points import HURRIED, sandbox

__all__ = ["sandbox"]

#: The points of such a life that another run does not have, and how often the run is then executed.
POINTS = {
    "before commit mark_call": 1,
    "after commit mark_call": 0,
    "before request POST /agent/v1/execute": 0,
    "after request POST /agent/v1/execute": 1,
    "before commit record_call": 1,
    "after commit record_call": 1,
    "before request POST /agent/v1/run/{id}/watch": 1,
    "after request POST /agent/v1/run/{id}/watch": 1,
    "before request GET /agent/v1/run/{id}/status": 1,
    "after request GET /agent/v1/run/{id}/status": 1,
    "before commit record_watcher": 1,
    "after commit record_watcher": 1,
}


class Scenario(test_kill_points.Scenario):
    """A backend that submits a run without an agent, and accepts that it may have to submit it again."""

    def __init__(self, sandbox: sandbox_server.Sandbox, deployment: server.Server) -> None:
        super().__init__(sandbox, deployment)
        self._body = {"instructions": "You review leases.", "prompt": self._body["prompt"]}

    def settled(self) -> bool:
        return bool(self.deployment.rows("SELECT 1 FROM runs WHERE settled_at IS NOT NULL"))


@pytest.fixture
def scenario(sandbox: sandbox_server.Sandbox, site: server.Site) -> Iterator[Scenario]:
    deployment = server.Server(site, sandbox.url, HURRIED, {})
    try:
        yield Scenario(sandbox, deployment)
    finally:
        deployment.kill()


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_around_the_one_call_executes_at_most_once(scenario: Scenario, point: str) -> None:
    scenario.deployment.start(kill=point)
    scenario.run()
    assert scenario.deployment.starts == 2
    assert len(scenario.sandbox.calls("execute")) == POINTS[point]
    (run,) = scenario.deployment.rows("SELECT * FROM runs")
    if POINTS[point]:
        scenario.judge()
    else:
        assert (run["status"], run["failure_source"]) == ("refused", "runledger")
        assert scenario.sandbox.runs() == []
