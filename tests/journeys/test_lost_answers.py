"""Answers that come late or never: create and exec are never repeated blindly, so nothing is executed twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.journeys import harness
from tests.journeys.conftest import Deployments, Sites
from tests.journeys.judging import judge
from tests.patience import until


def test_a_callback_before_the_answer_to_exec_settles_the_run(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(callback_before_exec_answer=True)
    run = deployment.submit(nonce)
    judge(deployment, nonce, settled_by="watcher")
    assert deployment.ledger_kinds(run).index("run.completed") > deployment.ledger_kinds(run).index("run.created")


def test_a_lost_answer_to_create_is_found_again(deployment: harness.Deployment, nonce: str) -> None:
    deployment.script({"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"})
    deployment.submit(nonce)
    judge(deployment, nonce, settled_by="watcher")
    assert len(deployment.named(nonce)) == 1
    assert len(deployment.calls("create", nonce)) == 1


@pytest.mark.parametrize("action", ["lose_answer", "malformed", "truncated", "hold_answer"])
def test_a_lost_answer_to_exec_is_recovered_by_status(
    deployment: harness.Deployment, nonce: str, action: str
) -> None:
    deployment.script({"route": "exec", "prompt": nonce, "times": 1, "action": action})
    deployment.submit(nonce)
    judge(deployment, nonce, settled_by="watcher")
    assert len(deployment.calls("exec", nonce)) == 1


@pytest.mark.parametrize("action", ["malformed", "truncated", "status:500", "html:502", "empty:503"])
def test_an_unusable_answer_to_create_duplicates_nothing(
    deployment: harness.Deployment, nonce: str, action: str
) -> None:
    deployment.script({"route": "create", "prompt": nonce, "times": 1, "action": action})
    deployment.submit(nonce)
    judge(deployment, nonce, settled_by="watcher")
    assert len(deployment.named(nonce)) == 1


def test_a_lost_create_of_a_cancelled_run_is_swept_up(swept_deployment: harness.Deployment, nonce: str) -> None:
    swept_deployment.script({"route": "create", "prompt": nonce, "times": 1, "action": "hold_answer"})
    run = swept_deployment.submit(nonce)
    swept_deployment.until_named(nonce)
    assert swept_deployment.cancel(run, 200)["status"] == "cancelled"
    judge(swept_deployment, nonce, status="cancelled", settled_by="request", execs=0)
    assert "run.orphan" in swept_deployment.ledger_kinds(run)


def create_late(deployment: harness.Deployment, nonce: str) -> None:
    """Let a create be done only after its run has ended by another one, and check that it leaves an orphan."""
    deployment.script({"route": "create", "prompt": nonce, "times": 1, "action": "hold"})
    run = deployment.submit(nonce)
    judge(deployment, nonce)
    deployment.release("create")
    until(lambda: "run.orphan" in deployment.ledger_kinds(run))
    judge(deployment, nonce)
    assert sorted(each["status"] for each in deployment.named(nonce)) == ["cancelled", "completed"]


def test_a_create_that_is_done_long_after_it_was_given_up_is_swept_up(
    swept_deployment: harness.Deployment, nonce: str
) -> None:
    create_late(swept_deployment, nonce)


#: Leases that are not renewed, so that a slow job is claimed again.
UNRENEWED = {"lease": 0.7, "heartbeat": harness.NEVER, "call": 60.0, "sweep": 0.3, "lost_create": 60.0}


@pytest.fixture(scope="module")
def deployments(sites: Sites) -> Iterator[Deployments]:
    """A server that loses its leases."""
    with harness.shared(sites, lambda site: harness.opened(site, timing=UNRENEWED)) as opened:
        yield opened


@pytest.fixture
def unrenewed(deployments: Deployments, kind: str) -> harness.Deployment:
    return deployments(kind)


def test_a_create_that_outlives_its_lease_leaves_an_orphan(unrenewed: harness.Deployment, nonce: str) -> None:
    create_late(unrenewed, nonce)


def test_a_late_answer_to_a_run_that_was_found_meanwhile_is_no_second_start(
    unrenewed: harness.Deployment, nonce: str
) -> None:
    unrenewed.script(
        {"route": "create", "prompt": nonce, "times": 1, "action": "hold_answer"},
        {"route": "exec", "prompt": nonce, "times": 1, "action": "hold"},
    )
    run = unrenewed.submit(nonce)
    unrenewed.until_held("exec", nonce)
    unrenewed.release("create")
    unrenewed.release("exec")
    judge(unrenewed, nonce)
    assert unrenewed.named(nonce)[0]["id"] == unrenewed.run(run)["upstreamId"]


def test_an_orphan_that_was_about_to_be_found_does_not_end_the_search(
    unrenewed: harness.Deployment, nonce: str
) -> None:
    unrenewed.script(
        {"route": "create", "prompt": nonce, "times": 1, "action": "hold_answer"},
        {"route": "details", "prompt": nonce, "times": 1, "action": "hold"},
    )
    unrenewed.submit(nonce)
    unrenewed.until_held("details", nonce)
    unrenewed.release("create")
    unrenewed.release("details")
    judge(unrenewed, nonce)
