"""SIGKILL around the one call that creates and starts a run: never executed twice, and the record is honest."""

from __future__ import annotations

import pytest

from tests.faults import test_kill_points
from tests.faults.test_kill_points import Survivor, Survivors, survivors

__all__ = ["survivors"]

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


class OneCall(test_kill_points.Submission):
    """A backend that submits a run without an agent, and accepts that it may have to submit it again."""

    def __init__(self, survivor: Survivor) -> None:
        super().__init__(survivor)
        self.body = {"instructions": "You review leases.", "prompt": self.body["prompt"]}

    def is_settled(self) -> bool:
        return self.record()["settled_at"] is not None


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_around_the_one_call_executes_at_most_once(survivors: Survivors, kind: str, point: str) -> None:
    survivor = survivors(kind)
    survivor.revive()
    submission, before = OneCall(survivor), len(survivor.sandbox.calls("execute"))
    submission.die_at(point)
    assert len(survivor.sandbox.calls("execute")) == before + POINTS[point]
    if POINTS[point]:
        submission.judge()
        return
    run = submission.record()
    assert (run["status"], run["failure_source"]) == ("refused", "runledger")
    assert not [run for run in survivor.sandbox.runs() if submission.nonce in run["prompt"]]
