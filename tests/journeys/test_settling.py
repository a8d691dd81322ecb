"""From the news of an end to the stored result."""

from __future__ import annotations

from tests.journeys import harness
from tests.journeys.judging import judge
from tests.patience import until


def test_a_callback_that_arrives_during_a_settle_is_not_swallowed(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    run = slow_deployment.submit(nonce)
    slow_deployment.until_run(run, "running")
    slow_deployment.script({"route": "details", "prompt": nonce, "times": 1, "action": "hold_answer"})
    slow_deployment.refresh(run)
    slow_deployment.until_held("details", nonce)
    slow_deployment.sandbox.finish(slow_deployment.named(nonce)[0]["id"])
    until(lambda: slow_deployment.deliveries(run))
    assert slow_deployment.run(run)["status"] == "running"
    slow_deployment.release("details")
    judge(slow_deployment, nonce, settled_by="watcher")
    assert len(slow_deployment.calls("details", nonce)) == 2


def test_a_callback_during_a_settle_that_fails_is_not_swallowed(
    slow_deployment: harness.Deployment, nonce: str
) -> None:
    run = slow_deployment.submit(nonce)
    slow_deployment.until_run(run, "running")
    slow_deployment.script(
        {"route": "details", "prompt": nonce, "times": 1, "action": "hold_answer"},
        {"route": "details", "prompt": nonce, "times": 2, "action": "status:500"},
    )
    slow_deployment.refresh(run)
    slow_deployment.until_held("details", nonce)
    slow_deployment.sandbox.finish(slow_deployment.named(nonce)[0]["id"])
    until(lambda: slow_deployment.deliveries(run))
    slow_deployment.release("details")
    judge(slow_deployment, nonce, settled_by="watcher")


def test_what_was_not_there_yet_is_fetched_again(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(incomplete_seconds=0.8)
    run = deployment.submit(nonce)
    settled = judge(deployment, nonce, settled_by="watcher")[0]
    assert settled["cost_micros"] is None
    filled = deployment.until_shown(run, lambda shown: shown["costMicros"])
    assert filled["output"]
    assert filled["inputTokens"] > 0
    assert filled["settledAt"] == deployment.run(run)["settledAt"]
    documents = deployment.server.rows("SELECT * FROM run_documents WHERE run_id = ?", run["id"])
    assert [each["version"] for each in documents] == [1, 2]
    assert deployment.ledger_kinds(run).count("run.document") == 1
    judge(deployment, nonce)


def test_a_refresh_of_a_settled_run_fetches_a_further_version(deployment: harness.Deployment, nonce: str) -> None:
    deployment.sandbox.faults(incomplete_fetches=3)
    run = deployment.submit(nonce)
    judge(deployment, nonce)
    for fetches in (2, 3, 4):
        deployment.refresh(run)
        _until_fetched(deployment, nonce, fetches)
    deployment.until_shown(run, lambda shown: shown["costMicros"])
    judge(deployment, nonce)


def _until_fetched(deployment: harness.Deployment, nonce: str, times: int) -> None:
    until(lambda: len(deployment.calls("details", nonce)) >= times)


def test_one_broken_run_does_not_stop_the_deployment(deployment: harness.Deployment, nonce: str) -> None:
    broken = f"broken_{nonce}"
    deployment.sandbox.faults(broken_runs=[broken])
    sick = deployment.submit(broken)
    until(lambda: deployment.server.rows("SELECT 1 FROM jobs WHERE run_id = ? AND last_error <> ''", sick["id"]))
    for at in range(5):
        deployment.submit(f"well{at}_{nonce}")
        judge(deployment, f"well{at}_{nonce}", settled_by="watcher")
        deployment.judge_ready()
    shown = deployment.api.get("/v1/jobs", params={"run": sick["id"]}).json()["jobs"]
    assert [(job["kind"], job["state"]) for job in shown] in ([("settle", "failing")], [("settle", "leased")])
    assert deployment.server.rows("SELECT pause_streak FROM system_state") in ([{"pause_streak": 0}], [])
    deployment.sandbox.faults(broken_runs=[])
    judge(deployment, broken, settled_by="watcher")


def test_a_broken_run_does_not_stop_the_sweep(swept_deployment: harness.Deployment, nonce: str) -> None:
    broken, well = f"broken_{nonce}", f"well_{nonce}"
    swept_deployment.sandbox.faults(callback_states=[])
    swept_deployment.script(
        {"route": "details", "prompt": broken, "action": "malformed"},
        {"route": "status", "prompt": broken, "action": "truncated"},
    )
    swept_deployment.submit(broken)
    swept_deployment.until_named(broken, "completed")
    swept_deployment.submit(well)
    judge(swept_deployment, well, settled_by="sweep")
    swept_deployment.script()
    judge(swept_deployment, broken)


def test_a_settled_run_that_the_upstream_no_longer_has_keeps_its_end(
    deployment: harness.Deployment, nonce: str
) -> None:
    run = deployment.submit(nonce)
    judge(deployment, nonce)
    deployment.sandbox.faults(not_found=[nonce])
    deployment.refresh(run)
    asked = deployment.until_shown(run, lambda shown: shown["refreshRequestedAt"] is None)
    assert asked["status"] == "completed"
    assert deployment.ledger_kinds(run).count("run.conflict") == 1
    deployment.sandbox.faults(not_found=[])
    judge(deployment, nonce)
