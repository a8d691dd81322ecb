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
    "before commit calling": 1,
    "after commit calling": 0,
    "before request POST /agent/v1/execute": 0,
    "after request POST /agent/v1/execute": 1,
    "before commit called": 1,
    "after commit called": 1,
    "before request POST /agent/v1/run/{id}/watch": 1,
    "after request POST /agent/v1/run/{id}/watch": 1,
    "before request GET /agent/v1/run/{id}/status": 1,
    "after request GET /agent/v1/run/{id}/status": 1,
    "before commit watching": 1,
    "after commit watching": 1,
}


class Story(test_kill_points.Story):
    """A backend that submits a run without an agent, and accepts that it may have to submit it again."""

    def __init__(self, sandbox: sandbox_server.Sandbox, house: server.Server) -> None:
        super().__init__(sandbox, house)
        self._wish = {"instructions": "You review leases.", "prompt": self._wish["prompt"]}

    def settled(self) -> bool:
        return bool(self.house.rows("SELECT 1 FROM runs WHERE settled_at IS NOT NULL"))


@pytest.fixture
def story(sandbox: sandbox_server.Sandbox, site: server.Site) -> Iterator[Story]:
    house = server.Server(site, sandbox.url, HURRIED, {})
    try:
        yield Story(sandbox, house)
    finally:
        house.kill()


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_around_the_one_call_executes_at_most_once(story: Story, point: str) -> None:
    story.house.start(kill=point)
    story.run()
    assert story.house.starts == 2
    assert len(story.sandbox.calls("execute")) == POINTS[point]
    (run,) = story.house.rows("SELECT * FROM runs")
    if POINTS[point]:
        story.judge()
    else:
        assert (run["status"], run["failure_source"]) == ("refused", "runledger")
        assert story.sandbox.runs() == []
