"""Runs that were created elsewhere: taken care of in whatever state they are, and never executed by us."""

from __future__ import annotations

import pytest

from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until
from tests.server import Site


def test_a_queued_run_is_watched_and_left_to_its_creator(deployment: harness.Deployment, nonce: str) -> None:
    upstream_id = deployment.elsewhere(nonce)
    run = deployment.adopt(upstream_id)
    assert deployment.until_run(run, "queued")["origin"] == "adopted"
    deployment.until_shown(run, lambda shown: shown["watched"])
    assert deployment.named(nonce)[0]["status"] == "queued"
    assert not deployment.calls("exec", nonce)
    deployment.execute(upstream_id)
    settled = judge(deployment, nonce, settled_by="watcher")[0]
    assert settled["prompt"].endswith(nonce)


def test_a_running_run_is_followed_to_its_end(slow_deployment: harness.Deployment, nonce: str) -> None:
    upstream_id = slow_deployment.elsewhere(nonce)
    slow_deployment.execute(upstream_id)
    run = slow_deployment.adopt(upstream_id)
    slow_deployment.until_run(run, "running")
    slow_deployment.until_shown(run, lambda shown: shown["watched"])
    slow_deployment.sandbox.finish(upstream_id)
    judge(slow_deployment, nonce, settled_by="watcher")


def test_an_end_just_before_the_watcher_is_registered_is_not_missed(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    upstream_id = slow_deployment.elsewhere(nonce)
    slow_deployment.execute(upstream_id)
    slow_deployment.script({"route": "details", "prompt": nonce, "times": 1, "action": "hold_answer"})
    slow_deployment.adopt(upstream_id)
    slow_deployment.until_held("details", nonce)
    slow_deployment.sandbox.finish(upstream_id)
    slow_deployment.release("details")
    judge(slow_deployment, nonce, settled_by="request")


def test_a_spent_limit_while_a_watcher_is_registered_is_waited_out(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    upstream_id = slow_deployment.elsewhere(nonce)
    slow_deployment.execute(upstream_id)
    slow_deployment.script({"route": "status", "prompt": nonce, "action": "status:429"})
    run = slow_deployment.adopt(upstream_id)
    slow_deployment.until_unready("429")
    slow_deployment.script()
    slow_deployment.until_shown(run, lambda shown: shown["watched"])
    slow_deployment.sandbox.finish(upstream_id)
    judge(slow_deployment, nonce, settled_by="watcher")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_an_ended_run_is_stored_at_once(slow_deployment: harness.Deployment, nonce: str, status: str) -> None:
    upstream_id = slow_deployment.elsewhere(nonce)
    slow_deployment.execute(upstream_id)
    slow_deployment.sandbox.finish(upstream_id, status)
    run = slow_deployment.adopt(upstream_id)
    judge(slow_deployment, nonce, status=status, settled_by="request")
    assert slow_deployment.run(run)["agentId"] == slow_deployment.agent
    assert not slow_deployment.named(nonce)[0]["watchers"]


def test_an_unknown_run_is_refused(deployment: harness.Deployment, nonce: str) -> None:
    run = deployment.adopt(f"run_{nonce}")
    refused = deployment.until_run(run, "refused")
    assert refused["failureReason"]
    until(lambda: not deployment.server.rows("SELECT 1 FROM jobs WHERE run_id = ?", run["id"]))
    assert deployment.ledger_kinds(run).count("run.refused") == 1


def test_a_known_run_answers_its_record(deployment: harness.Deployment, nonce: str) -> None:
    run = deployment.submit(nonce)
    judge(deployment, nonce)
    known = deployment.adopt(deployment.named(nonce)[0]["id"])
    assert (known["id"], known["origin"]) == (run["id"], "submitted")
    judge(deployment, nonce)


def test_an_adoption_waits_while_the_upstream_is_down(deployment: harness.Deployment, nonce: str) -> None:
    upstream_id = deployment.elsewhere(nonce)
    deployment.execute(upstream_id)
    deployment.sandbox.faults(down=True)
    run = deployment.adopt(upstream_id)
    deployment.until_unready()
    assert deployment.run(run)["status"] == "accepted"
    deployment.sandbox.faults(down=False)
    judge(deployment, nonce)


def test_an_event_about_an_unknown_run_waits_for_it_to_become_ours(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.sandbox.faults(event_states=["completed"])
    upstream_id = deployment.elsewhere(nonce)
    deployment.execute(upstream_id)
    waiting = "SELECT * FROM deliveries WHERE upstream_id = ? AND run_id IS NULL"
    kept = until(lambda: deployment.server.rows(waiting, upstream_id))[0]
    assert kept["verdict"] == "accepted"
    run = deployment.adopt(upstream_id)
    judge(deployment, nonce)
    assert [each["id"] for each in deployment.deliveries(run)] == [kept["id"]]
    assert not deployment.server.rows(waiting, upstream_id)


def test_the_sweep_adopts_unknown_runs_that_are_no_longer_queued(site: Site, nonce: str) -> None:
    with harness.opened(site, timing={"sweep": 0.2}, adopt="all", switches=harness.NO_FAULTS) as deployment:
        queued = deployment.elsewhere(f"queued_{nonce}")
        started = deployment.elsewhere(f"started_{nonce}")
        deployment.execute(started)
        settled = judge(deployment, f"started_{nonce}")[0]
        assert (settled["origin"], settled["submitted_by"]) == ("adopted", "sweep")
        deployment.submit(f"ours_{nonce}")
        judge(deployment, f"ours_{nonce}")
        assert deployment.sandbox.run(queued)["status"] == "queued"
        assert not deployment.server.rows("SELECT 1 FROM upstream_links WHERE upstream_id = ?", queued)
        deployment.execute(queued)
        judge(deployment, f"queued_{nonce}")
