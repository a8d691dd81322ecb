"""A request to cancel, in every state of a run: it ends here at once, or as the upstream says."""

from __future__ import annotations

from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until

UNAVAILABLE = "status:503"


def test_a_run_that_someone_else_cancels_before_exec_is_never_executed(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script({"route": "exec", "prompt": nonce, "action": UNAVAILABLE})
    run = deployment.submit(nonce)
    deployment.until_run(run, "queued")
    deployment.upstream.post(f"/agent/v1/run/{deployment.until_named(nonce)['id']}/cancel").raise_for_status()
    deployment.script()
    judge(deployment, nonce, status="cancelled", execs=0)


def test_while_the_upstream_is_down_a_cancelled_run_is_never_created(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.sandbox.faults(down=True)
    run = deployment.submit(nonce)
    deployment.until_unready()
    assert deployment.cancel(run, 200)["status"] == "cancelled"
    deployment.sandbox.faults(down=False)
    judge(deployment, nonce, status="cancelled", settled_by="request", execs=0)
    assert deployment.named(nonce) == []


def test_a_create_that_was_under_way_at_the_cancel_leaves_an_orphan(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script({"route": "create", "prompt": nonce, "times": 1, "action": "hold"})
    run = deployment.submit(nonce)
    deployment.until_held("create", nonce)
    assert deployment.cancel(run, 200)["status"] == "cancelled"
    deployment.release("create")
    until(lambda: "run.orphan" in deployment.ledger_kinds(run))
    judge(deployment, nonce, status="cancelled", settled_by="request", execs=0)
    assert deployment.named(nonce)[0]["status"] == "cancelled"


def test_a_lost_create_then_a_cancel_while_all_is_down_is_cleaned_up(
    swept_deployment: harness.Deployment, nonce: str
) -> None:
    swept_deployment.script({"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"})
    swept_deployment.script(
        {"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"}, {"action": "refuse_before"}
    )
    run = swept_deployment.submit(nonce)
    swept_deployment.until_named(nonce, "queued")
    swept_deployment.cancel(run, 200)
    swept_deployment.script()
    judge(swept_deployment, nonce, status="cancelled", settled_by="request", execs=0)


def test_a_callback_for_a_run_without_an_upstream_id_leaves_no_work_behind(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script(
        {"route": "create", "prompt": nonce, "times": 1, "action": "lose_answer"},
        {"route": "list", "action": "status:500"},
    )
    run = deployment.submit(nonce)
    deployment.upstream.post(f"/agent/v1/run/{deployment.until_named(nonce)['id']}/cancel").raise_for_status()
    until(lambda: deployment.deliveries(run))
    assert deployment.cancel(run, 200)["status"] == "cancelled"
    deployment.script()
    judge(deployment, nonce, status="cancelled", settled_by="request", execs=0)


def test_a_queued_run_whose_exec_fails_can_be_cancelled(deployment: harness.Deployment, nonce: str) -> None:
    deployment.script({"route": "exec", "prompt": nonce, "action": UNAVAILABLE})
    run = deployment.submit(nonce)
    deployment.until_run(run, "queued")
    assert deployment.cancel(run)["cancelRequestedAt"]
    judge(deployment, nonce, status="cancelled", execs=0)
    assert deployment.ledger_kinds(run).count("run.cancel_requested") == 1


def test_a_cancel_that_overtakes_exec_wins(deployment: harness.Deployment, nonce: str) -> None:
    deployment.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold"})
    run = deployment.submit(nonce)
    deployment.until_held("exec", nonce)
    deployment.cancel(run)
    deployment.until_named(nonce, "cancelled")
    deployment.release("exec")
    judge(deployment, nonce, status="cancelled", execs=0)


def test_a_cancel_while_exec_is_answered_slowly_ends_a_running_run(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script({"route": "exec", "prompt": nonce, "times": 1, "action": "hold_answer"})
    deployment.sandbox.faults(callback_delay=0.2)
    run = deployment.submit(nonce)
    deployment.until_held("exec", nonce)
    deployment.cancel(run)
    deployment.release("exec")
    settled = "SELECT * FROM runs WHERE id = ? AND settled_at IS NOT NULL"
    ended = until(lambda: deployment.server.rows(settled, run["id"]))[0]
    judge(deployment, nonce, status=ended["status"])
    assert deployment.named(nonce)[0]["status"] == ended["status"]


def test_a_running_run_is_cancelled_upstream(slow_deployment: harness.Deployment, nonce: str) -> None:
    slow_deployment.sandbox.faults(callback_states=["completed", "failed"])
    run = slow_deployment.submit(nonce)
    slow_deployment.until_run(run, "running")
    assert slow_deployment.cancel(run)["status"] == "running"
    judge(slow_deployment, nonce, status="cancelled", settled_by="request")
    assert slow_deployment.named(nonce)[0]["status"] == "cancelled"
    assert slow_deployment.cancel(run, 200)["status"] == "cancelled"


def test_a_running_adopted_run_is_cancelled_upstream(slow_deployment: harness.Deployment, nonce: str) -> None:
    upstream_id = slow_deployment.elsewhere(nonce)
    slow_deployment.execute(upstream_id)
    run = slow_deployment.adopt(upstream_id)
    slow_deployment.cancel(run)
    judge(slow_deployment, nonce, status="cancelled")


def test_a_completed_run_stays_as_it_is(deployment: harness.Deployment, nonce: str) -> None:
    run = deployment.submit(nonce)
    judge(deployment, nonce)
    before = deployment.run(run)
    assert deployment.cancel(run, 200) == before
    judge(deployment, nonce)
    assert not deployment.calls("cancel", nonce)


def test_a_refused_run_stays_as_it_is(deployment: harness.Deployment, nonce: str) -> None:
    run = deployment.submit(nonce, agentId="agent_of_nobody")
    deployment.until_run(run, "refused")
    assert deployment.cancel(run, 200)["status"] == "refused"
    judge(deployment, nonce, status="refused", execs=0)


def test_a_cancel_while_create_is_being_refused_ends_as_cancelled(
    deployment: harness.Deployment, nonce: str
) -> None:
    deployment.script({"route": "create", "prompt": nonce, "times": 1, "action": "hold"})
    run = deployment.submit(nonce, agentId="agent_of_nobody")
    deployment.until_held("create", nonce)
    assert deployment.cancel(run, 200)["status"] == "cancelled"
    deployment.release("create")
    judge(deployment, nonce, status="cancelled", settled_by="request", execs=0)
    assert deployment.named(nonce) == []
